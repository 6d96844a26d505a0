//! `Keys`: a cursor over `config.json` that accounts for every key.
//!
//! A family reads what it needs, one line per key and no `?`: a missing or bad value is *collected* and a harmless
//! placeholder returned (at least 1 for sizes), and [`Keys::finish`] reports all of them at once. Each read marks its
//! key; what nobody read is left in [`Accounting::unread`]. So a multiplier that a family forgot cannot be ignored in
//! silence.
//!
//! ```
//! # use hfcore_config::{Activation, PretrainedConfig};
//! let config = PretrainedConfig::from_slice(br#"{
//!     "model_type": "tiny", "hidden_size": 64, "num_attention_heads": 4, "hidden_act": "silu", "logit_scale": 0.5
//! }"#)?;
//! let keys = config.keys();
//! let hidden_size = keys.dim("hidden_size");
//! let heads = keys.heads("num_attention_heads");
//! let head_dim = keys.opt_dim("head_dim").unwrap_or_else(|| keys.divide("hidden_size", hidden_size, "num_attention_heads", heads));
//! assert_eq!((head_dim, keys.activation("hidden_act")), (16, Activation::Silu));
//! let accounting = keys.finish()?;
//! assert_eq!(accounting.unread[0].0, "logit_scale");
//! # Ok::<(), hfcore_config::ConfigError>(())
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::activation::Activation;
use crate::error::{ConfigError, Problem, found};
use crate::inert::is_common;
use crate::json::{integer, number, object};
use crate::layer_type::LayerType;

/// The largest size of a dimension: 2²⁴. The largest vocabularies and MLPs of published models are below 2¹⁹.
pub const MAX_DIM: usize = 1 << 24;
/// The largest number of layers.
pub const MAX_LAYERS: usize = 100_000;
/// The largest number of attention heads.
pub const MAX_HEADS: usize = 4096;
/// The largest number of experts in a layer.
pub const MAX_EXPERTS: usize = 4096;
/// The largest number of positions: 2³¹.
pub const MAX_POSITIONS: usize = 1 << 31;

/// A cursor over one object of a configuration. See the [module](self).
///
/// Cursors made by [`Keys::nested`] share their record with the one they came from: finish only the outermost.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    map: &'a Map<String, Value>,
    /// `"text_config."`, or empty at the root.
    prefix: String,
    record: Rc<RefCell<Record<'a>>>,
}

/// What all cursors over one file have seen.
#[derive(Debug, Default)]
struct Record<'a> {
    model_type: Option<String>,
    /// Full names of the keys read or declared, whether the file has them or not.
    accounted: BTreeSet<String>,
    /// The objects that were opened, by prefix.
    opened: BTreeMap<String, &'a Map<String, Value>>,
    problems: Vec<Problem>,
}

/// What became of the keys of a file.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Accounting {
    /// Every key the family reads or declares (full names, sorted), whether or not the file has it.
    pub accounted: Vec<String>,
    /// The keys of the file that nobody accounted for, with their values, in file order by object.
    pub unread: Vec<(String, Value)>,
}

impl Accounting {
    /// Whether `key` (its full name) is read, declared or refused by the family, or inert for every model.
    #[must_use]
    pub fn accounts_for(&self, key: &str) -> bool {
        let last = key.rsplit('.').next().unwrap_or(key);
        self.accounted.iter().any(|accounted| accounted == key) || is_common(last)
    }
}

impl<'a> Keys<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>, model_type: Option<&str>) -> Self {
        let record = Record {
            model_type: model_type.map(str::to_owned),
            opened: BTreeMap::from([(String::new(), map)]),
            ..Record::default()
        };
        Self {
            map,
            prefix: String::new(),
            record: Rc::new(RefCell::new(record)),
        }
    }

    // ---- sizes -------------------------------------------------------------------------------------------------

    /// A required size in `1..=2^24`. `4096.0` is accepted. Placeholder: 1.
    #[must_use]
    pub fn dim(&self, key: &str) -> usize {
        self.required_size(key, 1, MAX_DIM)
    }

    /// A size in `1..=2^24`, or `default` where the key is absent or null.
    #[must_use]
    pub fn dim_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 1, MAX_DIM).unwrap_or(default)
    }

    /// A size in `1..=2^24`, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_dim(&self, key: &str) -> Option<usize> {
        self.size(key, 1, MAX_DIM)
    }

    /// A size that null switches off, where the class has a default: absent is `Some(default)`, null is `None`
    /// (`sliding_window`).
    #[must_use]
    pub fn nullable_dim(&self, key: &str, default: usize) -> Option<usize> {
        match self.value(key) {
            None => Some(default),
            Some(_) => self.size(key, 1, MAX_DIM),
        }
    }

    /// A required number in `0..=2^24`. Placeholder: 0.
    #[must_use]
    pub fn count(&self, key: &str) -> usize {
        self.required_size(key, 0, MAX_DIM)
    }

    /// A number in `0..=2^24`, or `default` where the key is absent or null.
    #[must_use]
    pub fn count_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 0, MAX_DIM).unwrap_or(default)
    }

    /// A number in `0..=2^24`, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_count(&self, key: &str) -> Option<usize> {
        self.size(key, 0, MAX_DIM)
    }

    /// A required number of layers in `1..=100_000`. Placeholder: 1.
    #[must_use]
    pub fn layers(&self, key: &str) -> usize {
        self.required_size(key, 1, MAX_LAYERS)
    }

    /// A number of layers in `1..=100_000`, or `default` where the key is absent or null.
    #[must_use]
    pub fn layers_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 1, MAX_LAYERS).unwrap_or(default)
    }

    /// A required number of heads in `1..=4096`. Placeholder: 1.
    #[must_use]
    pub fn heads(&self, key: &str) -> usize {
        self.required_size(key, 1, MAX_HEADS)
    }

    /// A number of heads in `1..=4096`, or `default` where the key is absent or null.
    #[must_use]
    pub fn heads_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 1, MAX_HEADS).unwrap_or(default)
    }

    /// A number of heads in `1..=4096`, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_heads(&self, key: &str) -> Option<usize> {
        self.size(key, 1, MAX_HEADS)
    }

    /// A number of experts in `1..=4096`, or `default` where the key is absent or null. The tensors of an expert are
    /// looked up one by one, so that this bounds what a file can make a loader do.
    #[must_use]
    pub fn experts_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 1, MAX_EXPERTS).unwrap_or(default)
    }

    /// A required number of positions in `1..=2^31`. Placeholder: 1. Nothing may be allocated in proportion to it.
    #[must_use]
    pub fn positions(&self, key: &str) -> usize {
        self.required_size(key, 1, MAX_POSITIONS)
    }

    /// A number of positions in `1..=2^31`, or `default` where the key is absent or null.
    #[must_use]
    pub fn positions_or(&self, key: &str, default: usize) -> usize {
        self.size(key, 1, MAX_POSITIONS).unwrap_or(default)
    }

    /// A list of sizes in `0..=2^24`. `None` where the key is absent, null or bad.
    #[must_use]
    pub fn dims(&self, key: &str) -> Option<Vec<usize>> {
        self.list(key, "whole numbers from 0 to 16777216", |item| {
            usize::try_from(integer(item)?)
                .ok()
                .filter(|n| *n <= MAX_DIM)
        })
    }

    /// `whole / parts`, where the division must be exact. Reported once, and not where one of the two numbers was
    /// already bad. Placeholder: 1.
    #[must_use]
    pub fn divide(&self, whole_key: &str, whole: usize, parts_key: &str, parts: usize) -> usize {
        match whole.checked_div(parts) {
            Some(each) if each * parts == whole && each > 0 => each,
            _ => {
                if !self.has_problem(whole_key) && !self.has_problem(parts_key) {
                    self.problem(
                        whole_key,
                        format!("{whole} cannot be divided by `{parts_key}` = {parts} without a remainder"),
                    );
                }
                1
            }
        }
    }

    // ---- numbers, words, switches --------------------------------------------------------------------------------

    /// A required finite number. Placeholder: 1.
    #[must_use]
    pub fn float(&self, key: &str) -> f32 {
        self.required(key, "a finite number", Self::as_f32)
            .unwrap_or(1.0)
    }

    /// A finite number, or `default` where the key is absent or null.
    #[must_use]
    pub fn float_or(&self, key: &str, default: f32) -> f32 {
        self.opt_float(key).unwrap_or(default)
    }

    /// A finite number, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_float(&self, key: &str) -> Option<f32> {
        self.optional(key, "a finite number", Self::as_f32)
    }

    /// A finite number in double precision, as Python computes with it, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_double(&self, key: &str) -> Option<f64> {
        self.optional(key, "a finite number", |value| {
            number(value).filter(|float| float.is_finite())
        })
    }

    /// A list of finite numbers. `None` where the key is absent, null or bad.
    #[must_use]
    pub fn floats(&self, key: &str) -> Option<Vec<f32>> {
        self.list(key, "finite numbers", Self::as_f32)
    }

    /// True or false, or `default` where the key is absent or null.
    #[must_use]
    pub fn flag_or(&self, key: &str, default: bool) -> bool {
        self.opt_flag(key).unwrap_or(default)
    }

    /// True or false, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_flag(&self, key: &str) -> Option<bool> {
        self.optional(key, "true or false", Value::as_bool)
    }

    /// A required word. Placeholder: empty.
    #[must_use]
    pub fn text(&self, key: &str) -> String {
        self.required(key, "a string", |value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// A word, or `default` where the key is absent or null.
    #[must_use]
    pub fn text_or(&self, key: &str, default: &str) -> String {
        self.opt_text(key).unwrap_or_else(|| default.to_owned())
    }

    /// A word, or `None` where the key is absent or null.
    #[must_use]
    pub fn opt_text(&self, key: &str) -> Option<String> {
        self.optional(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A list of words. `None` where the key is absent, null or bad.
    #[must_use]
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key, "strings", |item| item.as_str().map(str::to_owned))
    }

    /// A required activation function. Placeholder: [`Activation::Linear`].
    #[must_use]
    pub fn activation(&self, key: &str) -> Activation {
        match self.present(key) {
            Some(_) => self.activation_or(key, Activation::Linear),
            None => {
                self.missing(key, "the name of an activation function");
                Activation::Linear
            }
        }
    }

    /// An activation function, or `default` where the key is absent or null.
    #[must_use]
    pub fn activation_or(&self, key: &str, default: Activation) -> Activation {
        let Some(value) = self.present(key) else {
            return default;
        };
        value
            .as_str()
            .and_then(Activation::from_name)
            .unwrap_or_else(|| {
                let names: Vec<_> = Activation::NAMES.iter().map(|(name, _)| *name).collect();
                self.problem(
                    key,
                    format!(
                        "the activation function {} is not implemented; known are {}",
                        found(value),
                        names.join(", ")
                    ),
                );
                Activation::Linear
            })
    }

    /// `layer_types`: one per layer. `None` where the key is absent or null. Placeholder: full attention everywhere.
    #[must_use]
    pub fn layer_types(&self, num_layers: usize) -> Option<Vec<LayerType>> {
        let key = "layer_types";
        let value = self.present(key)?;
        let placeholder = || Some(vec![LayerType::FullAttention; num_layers.min(MAX_LAYERS)]);
        let Some(items) = value.as_array() else {
            self.expected(key, "a list of layer types", value);
            return placeholder();
        };
        if items.len() != num_layers {
            if !self.has_problem("num_hidden_layers") {
                self.problem(
                    key,
                    format!(
                        "expected one entry for each of the {num_layers} layers, found {}",
                        items.len()
                    ),
                );
            }
            return placeholder();
        }
        let mut types = Vec::with_capacity(items.len());
        for item in items {
            let Some(layer_type) = item.as_str().and_then(LayerType::from_name) else {
                let names: Vec<_> = LayerType::ALL.iter().map(|known| known.name()).collect();
                self.problem(
                    key,
                    format!(
                        "unknown layer type {}; known are {}",
                        found(item),
                        names.join(", ")
                    ),
                );
                return placeholder();
            };
            types.push(layer_type);
        }
        Some(types)
    }

    // ---- accounting ------------------------------------------------------------------------------------------------

    /// Declares keys that cannot change an output. Keys common to all models (token ids, dropout, cache and output
    /// switches, …) need no declaration.
    pub fn inert(&self, keys: &[&str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Refuses every value of `key` but `allowed`; absent and null are accepted. `why` completes "… because".
    pub fn only(&self, key: &str, allowed: &[Value], why: &str) {
        let Some(value) = self.present(key) else {
            return;
        };
        let same = |other: &Value| {
            // 0 and 0.0 are one number.
            *other == *value
                || matches!((number(other), number(value)), (Some(a), Some(b)) if a == b)
        };
        if !allowed.iter().any(same) {
            let allowed: Vec<_> = allowed.iter().map(found).collect();
            let allowed = if allowed.is_empty() {
                "null".to_owned()
            } else {
                allowed.join(" or ")
            };
            self.problem(
                key,
                format!(
                    "only {allowed} is supported ({why}), found {}",
                    found(value)
                ),
            );
        }
    }

    /// Refuses `key` unless it is absent or null.
    pub fn refuse_unless_null(&self, key: &str, why: &str) {
        self.only(key, &[], why);
    }

    /// Refuses `key` unless it is absent, null or false.
    pub fn refuse_unless_false(&self, key: &str, why: &str) {
        self.only(key, &[Value::Bool(false)], why);
    }

    /// Reports a problem that the family found with `key`. Repeated reports count once.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let problem = Problem::new(format!("{}{key}", self.prefix), message);
        let mut record = self.record.borrow_mut();
        if !record.problems.contains(&problem) {
            record.problems.push(problem);
        }
    }

    /// Whether a problem with `key` was reported: its value is then a placeholder.
    #[must_use]
    pub fn has_problem(&self, key: &str) -> bool {
        let path = format!("{}{key}", self.prefix);
        let record = self.record.borrow();
        record.problems.iter().any(|problem| problem.key == path)
    }

    /// The value of `key` as it is in the file; the key counts as read. For what no other reader fits.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.take(key);
        self.map.get(key)
    }

    /// Whether the file has `key` with a value other than null. Does not count as read.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// The first of several spellings of one key that the file has (and the first spelling where it has none). All
    /// count as read; two spellings with different values are a problem.
    #[must_use]
    pub fn spelling<'k>(&self, keys: &[&'k str]) -> &'k str {
        self.inert(keys);
        let mut present = keys.iter().filter(|key| self.has(key));
        let first = present.next();
        if let Some(first) = first {
            for other in present {
                if self.map.get(*first) != self.map.get(*other) {
                    self.problem(
                        other,
                        format!("has another value than `{first}`, which is the same key"),
                    );
                }
            }
        }
        first.or(keys.first()).copied().unwrap_or("")
    }

    /// A cursor over the object under `key`. `None` where the key is absent or null, or is not an object, which is a
    /// problem.
    #[must_use]
    pub fn nested(&self, key: &str) -> Option<Self> {
        let value = self.present(key)?;
        let Some(map) = object(value) else {
            self.expected(key, "an object", value);
            return None;
        };
        let prefix = format!("{}{key}.", self.prefix);
        self.record.borrow_mut().opened.insert(prefix.clone(), map);
        Some(Self {
            map,
            prefix,
            record: Rc::clone(&self.record),
        })
    }

    /// The object the cursor is over.
    #[must_use]
    pub fn raw(&self) -> &'a Map<String, Value> {
        self.map
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Problems`] with everything that was wrong.
    pub fn finish(self) -> Result<Accounting, ConfigError> {
        let record = self.record.borrow();
        if !record.problems.is_empty() {
            return Err(ConfigError::Problems {
                file: "config.json",
                model_type: record.model_type.clone(),
                problems: record.problems.clone(),
            });
        }
        let mut unread = Vec::new();
        for (prefix, map) in &record.opened {
            for (key, value) in *map {
                let path = format!("{prefix}{key}");
                if !record.accounted.contains(&path) && !is_common(key) {
                    unread.push((path, value.clone()));
                }
            }
        }
        Ok(Accounting {
            accounted: record.accounted.iter().cloned().collect(),
            unread,
        })
    }

    // ---- the parts the readers are made of -----------------------------------------------------------------------

    pub(crate) fn take(&self, key: &str) {
        let path = format!("{}{key}", self.prefix);
        self.record.borrow_mut().accounted.insert(path);
    }

    /// The value of `key` where it is not null.
    pub(crate) fn present(&self, key: &str) -> Option<&'a Value> {
        self.value(key).filter(|value| !value.is_null())
    }

    pub(crate) fn missing(&self, key: &str, expected: &str) {
        let state = if self.map.contains_key(key) {
            "is null"
        } else {
            "is missing"
        };
        self.problem(key, format!("{state}; expected {expected}"));
    }

    pub(crate) fn expected(&self, key: &str, expected: &str, value: &Value) {
        self.problem(key, format!("expected {expected}, found {}", found(value)));
    }

    pub(crate) fn optional<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.present(key)?;
        let result = read(value);
        if result.is_none() {
            self.expected(key, expected, value);
        }
        result
    }

    pub(crate) fn required<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if self.present(key).is_none() {
            self.missing(key, expected);
            return None;
        }
        self.optional(key, expected, read)
    }

    pub(crate) fn problem_count(&self) -> usize {
        self.record.borrow().problems.len()
    }

    /// Whether anything was wrong so far: some numbers are then placeholders, and checks between them mean nothing.
    #[must_use]
    pub fn has_any_problem(&self) -> bool {
        self.problem_count() > 0
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.present(key)?;
        let Some(items) = value.as_array() else {
            self.expected(key, &format!("a list of {expected}"), value);
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let Some(item) = read(item) else {
                self.expected(key, &format!("a list of {expected}"), item);
                return None;
            };
            list.push(item);
        }
        Some(list)
    }

    fn as_f32(value: &Value) -> Option<f32> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "rounding to f32 is what torch does with a Python float; overflow is refused"
        )]
        let float = number(value)? as f32;
        float.is_finite().then_some(float)
    }

    fn required_size(&self, key: &str, least: usize, most: usize) -> usize {
        if self.present(key).is_none() {
            self.missing(key, &format!("a whole number from {least} to {most}"));
            return least;
        }
        self.size(key, least, most).unwrap_or(least)
    }

    /// A size in `least..=most`; absent and null are `None`; a bad value is a problem and becomes `Some(least)`.
    pub(crate) fn size(&self, key: &str, least: usize, most: usize) -> Option<usize> {
        let value = self.present(key)?;
        let size = integer(value).and_then(|n| usize::try_from(n).ok());
        match size.filter(|n| (least..=most).contains(n)) {
            Some(size) => Some(size),
            None => {
                self.expected(
                    key,
                    &format!("a whole number from {least} to {most}"),
                    value,
                );
                Some(least)
            }
        }
    }
}
