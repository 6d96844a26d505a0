//! The header of a safetensors file: the parser that meets untrusted bytes.
//!
//! A file is eight bytes of header length (little-endian), the header (JSON), the tensors' bytes. The header maps names
//! to `{"dtype", "shape", "data_offsets"}`, and `__metadata__` to strings.
//! Format: <https://github.com/huggingface/safetensors#format>; reference implementation: `safetensors/src/tensor.rs` of
//! crate safetensors 0.8.0. This parser accepts what that one accepts, except that
//!
//! - a name, a key of a description or a key of `__metadata__` that occurs twice is refused (the reference takes one of
//!   the two, as parsers happen to);
//! - the header must start with `{`, as the format says (the reference skips white space);
//! - a shape is refused whose product overflows with its zeros taken for ones, so that strides never overflow (the
//!   reference accepts `[2^64-1, 0]` and refuses `[2^63, 2, 0]`);
//! - a tensor's description must be an object (serde also accepts an array for a struct) and its `dtype` a string;
//! - rank, name length and counts are limited ([`Limits`]);
//!
//! and that an unknown `dtype` is refused only when its tensor is asked for, so that a file of a newer format with one
//! exotic tensor can still be used for the others.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::number::{u64_of, usize_of};
use crate::table::{Entry, Span, Table};
use crate::view::checked_elements;
use crate::{DType, HeaderProblem, Limits};

/// Bytes before the header.
pub(crate) const LENGTH_BYTES: u64 = 8;

/// A parsed and validated header.
///
/// What [`Weights`](crate::Weights) keeps of each file; public for tools that look at headers alone, such as one that
/// fetched the first bytes of a remote file.
#[derive(Debug)]
pub struct SafetensorsHeader {
    pub(crate) table: Table,
    pub(crate) metadata: Vec<(String, String)>,
    data_len: u64,
}

impl SafetensorsHeader {
    /// The header's length, from the first eight bytes of a file of `file_len` bytes.
    ///
    /// # Errors
    /// If it is over the limit or reaches beyond the file.
    pub fn length(first: [u8; 8], file_len: u64, limits: &Limits) -> Result<u64, HeaderProblem> {
        let header_len = u64::from_le_bytes(first);
        if header_len > limits.max_header_bytes {
            return Err(HeaderProblem::TooLong {
                header_len,
                max: limits.max_header_bytes,
            });
        }
        if file_len < LENGTH_BYTES || header_len > file_len - LENGTH_BYTES {
            return Err(HeaderProblem::BeyondEnd {
                header_len,
                len: file_len,
            });
        }
        Ok(header_len)
    }

    /// Parses a header (without its length), and holds it to `data_len` bytes of data after it.
    ///
    /// Takes time linear in `header` (and `n log n` in its tensors), and memory of a small multiple of it.
    ///
    /// # Errors
    /// Whatever breaks the format's rules; see [`HeaderProblem`].
    pub fn parse(header: &[u8], data_len: u64, limits: &Limits) -> Result<Self, HeaderProblem> {
        let text = std::str::from_utf8(header).map_err(|error| HeaderProblem::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        if !text.starts_with('{') {
            return Err(HeaderProblem::NotAnObject {
                found: header.first().copied().unwrap_or(0),
            });
        }

        let mut parser = Parser {
            limits,
            table: Table::default(),
            metadata: None,
            tensor: None,
            problem: None,
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let parsed = deserializer
            .deserialize_map(&mut parser)
            .and_then(|()| deserializer.end());
        if let Err(error) = parsed {
            return Err(parser.problem(text, &error));
        }

        let (mut table, metadata) = (parser.table, parser.metadata.unwrap_or_default());
        table.shrink();
        let end = check_contiguous(&table)?;
        if end != data_len {
            return Err(HeaderProblem::WrongLength {
                needed: end,
                found: data_len,
            });
        }
        if let Err((entry, _)) = table.sort() {
            return Err(HeaderProblem::DuplicateName {
                name: table.name(&entry).to_owned(),
            });
        }
        Ok(Self {
            table,
            metadata,
            data_len,
        })
    }

    /// Parses the header of a whole file in memory.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_file_bytes(file: &[u8], limits: &Limits) -> Result<Self, HeaderProblem> {
        let len = u64_of(file.len());
        let Some((first, rest)) = file.split_first_chunk() else {
            return Err(HeaderProblem::TooShort { len });
        };
        let header_len = Self::length(*first, len, limits)?;
        let beyond_end = HeaderProblem::BeyondEnd { header_len, len };
        let (header, data) = usize::try_from(header_len)
            .ok()
            .and_then(|header_len| rest.split_at_checked(header_len))
            .ok_or(beyond_end)?;
        Self::parse(header, u64_of(data.len()), limits)
    }

    /// Number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Each tensor in the order of names: name, type (`Err` holds the name of an unknown one), shape, and first and
    /// last-plus-one byte from the end of the header.
    pub fn tensors(
        &self,
    ) -> impl Iterator<Item = (&str, Result<DType, &str>, &[usize], std::ops::Range<u64>)> {
        self.table.entries().iter().map(|entry| {
            (
                self.table.name(entry),
                self.table.dtype(entry),
                self.table.shape(entry),
                entry.begin..entry.end,
            )
        })
    }

    /// `__metadata__`, in file order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Bytes of data after the header.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.data_len
    }
}

/// The tensors' bytes follow each other from 0 without hole or overlap. Returns where they end.
fn check_contiguous(table: &Table) -> Result<u64, HeaderProblem> {
    let order = table.by_offset();
    let mut expected = 0;
    for position in 0..table.len() {
        let index = match &order {
            None => position,
            Some(order) => usize_of(order[position]),
        };
        let entry = table.entry(index);
        if entry.begin != expected {
            return Err(HeaderProblem::NotContiguous {
                tensor: table.name(entry).to_owned(),
                begin: entry.begin,
                expected,
            });
        }
        expected = entry.end;
    }
    Ok(expected)
}

/// `serde_json`'s message without its place, which the caller gives its own way, and cut: it may quote a whole value.
pub(crate) fn json_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    match message.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &message[..cut]),
        None => message.to_owned(),
    }
}

/// What is collected while `serde_json` walks the text. Nothing in it outgrows the text.
struct Parser<'a> {
    limits: &'a Limits,
    table: Table,
    metadata: Option<Vec<(String, String)>>,
    /// The tensor whose description is being read.
    tensor: Option<Span>,
    /// The typed reason of a refusal, where it is not `serde_json`'s.
    problem: Option<HeaderProblem>,
}

impl Parser<'_> {
    /// Notes the reason, and returns what makes serde stop.
    fn refuse<E: de::Error>(&mut self, problem: HeaderProblem) -> E {
        self.problem = Some(problem);
        E::custom("refused")
    }

    fn tensor_name(&self) -> Option<String> {
        self.tensor.map(|span| self.table.name_at(span).to_owned())
    }

    fn problem(self, text: &str, error: &serde_json::Error) -> HeaderProblem {
        if let Some(problem) = self.problem {
            return problem;
        }
        // `serde_json` counts lines and columns, from 1; the header is one line unless somebody edited it.
        let lines = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1));
        let offset = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
        HeaderProblem::Json {
            tensor: self.tensor_name(),
            offset,
            message: json_message(error),
        }
    }
}

/// The whole header.
impl<'de> Visitor<'de> for &mut Parser<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed(self))? {
            if self.table.name_at(name) == "__metadata__" {
                self.table.truncate_names(name);
                if self.metadata.is_some() {
                    return Err(self.refuse(HeaderProblem::DuplicateKey {
                        tensor: None,
                        key: "__metadata__".to_owned(),
                    }));
                }
                map.next_value_seed(MetadataSeed(self))?;
                continue;
            }
            if self.table.len() >= self.limits.max_tensors {
                let max = self.limits.max_tensors;
                return Err(self.refuse(HeaderProblem::TooMany {
                    tensor: None,
                    what: "tensors",
                    limit: "max_tensors",
                    max,
                }));
            }
            self.tensor = Some(name);
            map.next_value_seed(TensorSeed(self))?;
            self.tensor = None;
        }
        Ok(())
    }
}

/// A tensor's name, appended to the table's names without an allocation of its own.
struct NameSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = Span;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_> {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Span, E> {
        let max = self.0.limits.max_name_bytes;
        if name.len() > max {
            let start: String = name.chars().take(40).collect();
            return Err(self.0.refuse(HeaderProblem::TooMany {
                tensor: Some(format!("{start}…")),
                what: "bytes of its name",
                limit: "max_name_bytes",
                max,
            }));
        }
        Ok(self.0.table.push_name(name))
    }
}

/// `__metadata__`: strings to strings, or null.
struct MetadataSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings in __metadata__")
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.0.metadata = Some(Vec::new());
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut entries: Vec<(String, String)> = Vec::new();
        while let Some(entry) = map.next_entry()? {
            if entries.len() >= self.0.limits.max_metadata_entries {
                let max = self.0.limits.max_metadata_entries;
                return Err(self.0.refuse(HeaderProblem::TooMany {
                    tensor: None,
                    what: "entries of __metadata__",
                    limit: "max_metadata_entries",
                    max,
                }));
            }
            entries.push(entry);
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            let key = pair[0].to_owned();
            return Err(self
                .0
                .refuse(HeaderProblem::DuplicateKey { tensor: None, key }));
        }
        self.0.metadata = Some(entries);
        Ok(())
    }
}

/// A tensor's description.
struct TensorSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for TensorSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parser = self.0;
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let again = match key {
                Key::DType => dtype
                    .replace(map.next_value_seed(DTypeSeed(parser))?)
                    .is_some(),
                Key::Shape => shape
                    .replace(map.next_value_seed(ShapeSeed(parser))?)
                    .is_some(),
                Key::DataOffsets => offsets.replace(map.next_value_seed(OffsetsSeed)?).is_some(),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if again {
                let tensor = parser.tensor_name();
                return Err(parser.refuse(HeaderProblem::DuplicateKey {
                    tensor,
                    key: key.name().to_owned(),
                }));
            }
        }
        let dtype: u8 = dtype.ok_or_else(|| de::Error::missing_field("dtype"))?;
        let shape: Span = shape.ok_or_else(|| de::Error::missing_field("shape"))?;
        let (begin, end): (u64, u64) =
            offsets.ok_or_else(|| de::Error::missing_field("data_offsets"))?;

        let entry = Entry {
            name: parser.tensor.expect("set by the header's visitor"),
            dims: shape,
            dtype,
            source: 0,
            begin,
            end,
        };
        if let Err(problem) = check_size(&parser.table, &entry) {
            return Err(parser.refuse(problem));
        }
        parser.table.push(entry);
        Ok(())
    }
}

/// The bytes that a tensor claims are those its type and shape need.
fn check_size(table: &Table, entry: &Entry) -> Result<(), HeaderProblem> {
    let (begin, end) = (entry.begin, entry.end);
    let tensor = || table.name(entry).to_owned();
    if end < begin {
        return Err(HeaderProblem::Reversed {
            tensor: tensor(),
            begin,
            end,
        });
    }
    let shape = table.dims_at(entry.dims);
    let Ok(dtype) = table.dtype(entry) else {
        return Ok(());
    };
    let overflow = || HeaderProblem::ShapeOverflow {
        tensor: tensor(),
        shape: shape.iter().map(|&dim| u64_of(dim)).collect(),
    };
    let elements = checked_elements(shape).ok_or_else(overflow)?;
    elements.checked_mul(dtype.bits()).ok_or_else(overflow)?;
    let expected = dtype.byte_len(elements);
    if expected.and_then(|bytes| u64::try_from(bytes).ok()) != Some(end - begin) {
        return Err(HeaderProblem::SizeMismatch {
            tensor: tensor(),
            dtype,
            shape: shape.to_vec(),
            expected,
            begin,
            end,
        });
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Key {
    DType,
    Shape,
    DataOffsets,
    /// The reference ignores other keys too.
    Other,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::DType => "dtype",
            Self::Shape => "shape",
            Self::DataOffsets => "data_offsets",
            Self::Other => "other",
        }
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "dtype" => Key::DType,
            "shape" => Key::Shape,
            "data_offsets" => Key::DataOffsets,
            _ => Key::Other,
        })
    }
}

struct DTypeSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for DTypeSeed<'_, '_> {
    type Value = u8;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for DTypeSeed<'_, '_> {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an element type in dtype")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<u8, E> {
        if let Some(dtype) = DType::from_name(name) {
            return Ok(dtype.code());
        }
        // A type of a format to come has a name like those there are; anything else is not one.
        let plausible = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let code = if plausible {
            self.0.table.unknown_dtype(name)
        } else {
            None
        };
        code.ok_or_else(|| {
            let start: String = name.chars().take(40).collect();
            E::custom(format_args!("{start:?} in dtype is no element type"))
        })
    }
}

struct ShapeSeed<'p, 'a>(&'p mut Parser<'a>);

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_, '_> {
    type Value = Span;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_, '_> {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of dimensions in shape")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Span, A::Error> {
        let parser = self.0;
        let start = parser.table.dims_len();
        while let Some(dim) = seq.next_element::<u64>()? {
            if parser.table.dims_len() - start >= parser.limits.max_rank {
                let (tensor, max) = (parser.tensor_name(), parser.limits.max_rank);
                return Err(parser.refuse(HeaderProblem::TooMany {
                    tensor,
                    what: "dimensions",
                    limit: "max_rank",
                    max,
                }));
            }
            let Ok(dim) = usize::try_from(dim) else {
                let tensor = parser.tensor_name().unwrap_or_default();
                return Err(parser.refuse(HeaderProblem::ShapeOverflow {
                    tensor,
                    shape: vec![dim],
                }));
            };
            parser.table.push_dim(dim);
        }
        Ok(parser.table.dims_since(start))
    }
}

struct OffsetsSeed;

impl<'de> DeserializeSeed<'de> for OffsetsSeed {
    type Value = (u64, u64);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(u64, u64), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OffsetsSeed {
    type Value = (u64, u64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two numbers in data_offsets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(u64, u64), A::Error> {
        let begin = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let end = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(1, &self))?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(3, &self));
        }
        Ok((begin, end))
    }
}
