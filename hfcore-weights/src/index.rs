//! `model.safetensors.index.json`: which shard holds which tensor.
//!
//! Written by transformers and `huggingface_hub` as `{"metadata": {"total_size": …}, "weight_map": {name: file}}`. Only
//! `weight_map` is used: `total_size` is wrong in enough published files that nothing may depend on it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::header::json_message;
use crate::number::usize_of;
use crate::{IndexProblem, Limits, RelPath};

/// A parsed index.
#[derive(Debug, Clone)]
pub struct ShardIndex {
    shards: Vec<RelPath>,
    /// Sorted by name; the number is into `shards`.
    weight_map: Vec<(Box<str>, u32)>,
}

impl ShardIndex {
    /// Parses an index. Shard names must be plain file names ([`RelPath::file_name`]): an index must not be able to
    /// make anyone open a file outside the folder, or ask a server for another path.
    ///
    /// # Errors
    /// Whatever is malformed; see [`IndexProblem`].
    pub fn parse(json: &[u8], limits: &Limits) -> Result<Self, IndexProblem> {
        let mut parser = Parser {
            limits,
            shards: Vec::new(),
            by_name: HashMap::new(),
            weight_map: None,
            problem: None,
        };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let parsed = deserializer
            .deserialize_map(&mut parser)
            .and_then(|()| deserializer.end());
        if let Err(error) = parsed {
            return Err(parser.problem.unwrap_or_else(|| IndexProblem::Json {
                line: error.line(),
                column: error.column(),
                message: json_message(&error),
            }));
        }
        let Some(mut weight_map) = parser.weight_map else {
            return Err(IndexProblem::NoWeightMap { absent: true });
        };
        if weight_map.is_empty() {
            return Err(IndexProblem::NoWeightMap { absent: false });
        }
        weight_map.sort();
        if let Some(pair) = weight_map.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(IndexProblem::DuplicateKey {
                key: pair[0].0.to_string(),
            });
        }
        check_case(&parser.shards)?;
        Ok(Self {
            shards: parser.shards,
            weight_map,
        })
    }

    /// The shards, in the order in which the index first names them.
    #[must_use]
    pub fn shards(&self) -> &[RelPath] {
        &self.shards
    }

    /// Each tensor and the number of its shard, in the order of names.
    pub fn weight_map(&self) -> impl Iterator<Item = (&str, usize)> {
        self.weight_map
            .iter()
            .map(|(name, shard)| (&**name, usize_of(*shard)))
    }
}

/// Two names that differ in case only are one file on the usual file systems of macOS and Windows, and two on Linux.
fn check_case(shards: &[RelPath]) -> Result<(), IndexProblem> {
    let mut folded: HashMap<String, &RelPath> = HashMap::new();
    for shard in shards {
        if let Some(first) = folded.insert(shard.as_str().to_lowercase(), shard) {
            return Err(IndexProblem::SameFile {
                first: first.to_string(),
                second: shard.to_string(),
            });
        }
    }
    Ok(())
}

struct Parser<'a> {
    limits: &'a Limits,
    shards: Vec<RelPath>,
    by_name: HashMap<String, u32>,
    weight_map: Option<Vec<(Box<str>, u32)>>,
    /// The typed reason of a refusal, where it is not `serde_json`'s.
    problem: Option<IndexProblem>,
}

impl Parser<'_> {
    fn refuse<E: de::Error>(&mut self, problem: IndexProblem) -> E {
        self.problem = Some(problem);
        E::custom("refused")
    }

    /// The number of the shard of that name.
    fn shard<E: de::Error>(&mut self, tensor: &str, name: &str) -> Result<u32, E> {
        if let Some(&shard) = self.by_name.get(name) {
            return Ok(shard);
        }
        let path = RelPath::file_name(name).map_err(|problem| {
            self.refuse(IndexProblem::ShardName {
                tensor: tensor.to_owned(),
                problem,
            })
        })?;
        if self.shards.len() >= self.limits.max_shards {
            let max = self.limits.max_shards;
            return Err(self.refuse(IndexProblem::TooMany {
                what: "shards",
                limit: "max_shards",
                max,
            }));
        }
        let shard = u32::try_from(self.shards.len())
            .map_err(|_| E::custom("more shards than 32 bits count"))?;
        self.shards.push(path);
        self.by_name.insert(name.to_owned(), shard);
        Ok(shard)
    }
}

/// The whole index.
impl<'de> Visitor<'de> for &mut Parser<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_metadata = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "weight_map" {
                if self.weight_map.is_some() {
                    return Err(self.refuse(IndexProblem::DuplicateKey { key }));
                }
                map.next_value_seed(WeightMapSeed(self))?;
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            // Only these two mean anything; others come and go between writers.
            if key == "metadata" && std::mem::replace(&mut has_metadata, true) {
                return Err(self.refuse(IndexProblem::DuplicateKey { key }));
            }
        }
        Ok(())
    }
}

struct WeightMapSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for WeightMapSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMapSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of file names in weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parser = self.0;
        let mut entries = Vec::new();
        while let Some(tensor) = map.next_key::<Box<str>>()? {
            if entries.len() >= parser.limits.max_tensors {
                let max = parser.limits.max_tensors;
                return Err(parser.refuse(IndexProblem::TooMany {
                    what: "tensors",
                    limit: "max_tensors",
                    max,
                }));
            }
            let shard = map.next_value_seed(ShardSeed(parser, &tensor))?;
            entries.push((tensor, shard));
        }
        parser.weight_map = Some(entries);
        Ok(())
    }
}

/// One shard name, which is not copied where it has been seen before.
struct ShardSeed<'p, 'a, 't>(&'p mut Parser<'a>, &'t str);

impl<'de> DeserializeSeed<'de> for ShardSeed<'_, '_, '_> {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ShardSeed<'_, '_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a file name in weight_map for tensor {:?}", self.1)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<u32, E> {
        self.0.shard(self.1, name)
    }
}
