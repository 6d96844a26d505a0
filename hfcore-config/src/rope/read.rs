//! From `config.json` to [`RopeParameters`]: both spellings, flat and per layer type.
//!
//! The rules are those of `convert_rope_params_to_dict` and `standardize_rope_params`
//! (`modeling_rope_utils.py`, transformers 5.23):
//! - the object is `rope_scaling` where that is not empty, otherwise `rope_parameters`;
//! - `rope_theta` and `partial_rotary_factor` are its own, else the top level's, else the family's;
//! - the kind is `rope_type`, else `type`, else `default`;
//! - for `llama3`, `yarn` and `longrope` an `original_max_position_embeddings` at the top level overrides the
//!   object's (phi3 writes it there); with neither it is `max_position_embeddings`.
//!
//! Stricter than transformers, which warns or computes on: a kind that is not implemented, and a parameter of the
//! wrong kind or out of range, are problems with their key. Keys that a kind does not have are left unread.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::number;
use crate::keys::{Keys, MAX_POSITIONS};
use crate::layer_type::LayerType;

use super::frequencies::{as_f64, whole};
use super::{RopeParameters, RopeScaling};

const IMPLEMENTED: &str = "default, linear, dynamic, yarn, longrope, llama3, proportional";

/// What a family's configuration class says where the file does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeDefaults {
    /// `default_theta` of the class; 10 000 in most.
    pub theta: f64,
    /// The part of each head that is rotated. `None`: the family's code rotates whole heads, and a file that says
    /// otherwise is refused (transformers ignores the key there for the default kind, and fails for the others).
    pub partial_rotary_factor: Option<f64>,
}

impl RopeDefaults {
    /// Whole heads, with this base.
    #[must_use]
    pub const fn whole(theta: f64) -> Self {
        Self {
            theta,
            partial_rotary_factor: None,
        }
    }

    /// A family that honours `partial_rotary_factor`, whose class has this default.
    #[must_use]
    pub const fn partial(theta: f64, partial_rotary_factor: f64) -> Self {
        Self {
            theta,
            partial_rotary_factor: Some(partial_rotary_factor),
        }
    }
}

/// The rotary embedding of one layer type, for [`Keys::rope_by_layer_type`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerRope<'k> {
    /// Which layers.
    pub layer_type: LayerType,
    /// The top-level key that had the base before transformers 5 (`rope_theta`, `rope_local_base_freq`, …).
    pub theta_key: &'k str,
    /// Whether a `rope_scaling` of that time applies to these layers.
    pub scaled: bool,
    /// What the class says where the file does not.
    pub defaults: RopeDefaults,
    /// The width of a head in these layers.
    pub head_dim: usize,
}

impl<'a> Keys<'a> {
    /// The rotary embedding of a family that has one, from `rope_parameters` or the older keys.
    #[must_use]
    pub fn rope(
        &self,
        defaults: RopeDefaults,
        head_dim: usize,
        max_position_embeddings: usize,
    ) -> RopeParameters {
        self.rope_spelled(
            "rope_theta",
            "partial_rotary_factor",
            defaults,
            head_dim,
            max_position_embeddings,
        )
    }

    /// [`Keys::rope`] for a family whose top-level keys have other names: `gpt_neox` has `rotary_emb_base` and
    /// `rotary_pct`.
    #[must_use]
    pub fn rope_spelled(
        &self,
        theta_key: &str,
        partial_key: &str,
        defaults: RopeDefaults,
        head_dim: usize,
        max_position_embeddings: usize,
    ) -> RopeParameters {
        self.inert(&["rope_scaling", "rope_parameters"]);
        let container = if self.is_filled("rope_scaling") {
            "rope_scaling"
        } else {
            "rope_parameters"
        };
        let object = self.nested(container);
        if let Some(object) = &object
            && let Some(layer_type) = nested_type(object)
        {
            self.problem(
                container,
                format!(
                    "has parameters per layer type (`{}`), but all layers of this architecture share one rotary \
                     embedding",
                    layer_type.name()
                ),
            );
            return placeholder(defaults, head_dim, max_position_embeddings);
        }
        let truncate = object
            .as_ref()
            .and_then(|object| object.opt_flag("truncate"));
        let entry = Entry {
            root: self,
            container,
            theta_key,
            partial_key,
            root_original: self.size("original_max_position_embeddings", 1, MAX_POSITIONS),
            truncate: truncate.unwrap_or(true),
            defaults,
            head_dim,
            max_position_embeddings,
        };
        entry.read(object.as_ref())
    }

    /// The rotary embeddings of a family that has one per layer type (gemma3, modernbert, olmo3): nested in
    /// `rope_parameters`, or in the older top-level keys that each [`LayerRope`] names.
    #[must_use]
    pub fn rope_by_layer_type(
        &self,
        layers: &[LayerRope<'_>],
        max_position_embeddings: usize,
    ) -> BTreeMap<LayerType, RopeParameters> {
        self.inert(&["rope_scaling", "rope_parameters"]);
        let outer = self.nested("rope_parameters");
        let old = if self.is_filled("rope_scaling") {
            self.nested("rope_scaling")
        } else {
            None
        };
        if let Some(outer) = &outer {
            self.check_nested(outer, old.is_some(), layers);
        }
        // A quirk of the reference: YaRN's `truncate` is looked up beside the layer types, not within them.
        let truncate = outer.as_ref().and_then(|outer| outer.opt_flag("truncate"));
        let mut ropes = BTreeMap::new();
        for layer in layers {
            let name = layer.layer_type.name();
            let inner = outer.as_ref().and_then(|outer| outer.nested(name));
            let (object, container) = match inner {
                Some(inner) => (Some(inner), format!("rope_parameters.{name}")),
                None if layer.scaled => (old.clone(), "rope_scaling".to_owned()),
                None => (None, "rope_parameters".to_owned()),
            };
            let entry = Entry {
                root: self,
                container: &container,
                theta_key: layer.theta_key,
                partial_key: "partial_rotary_factor",
                root_original: None,
                truncate: truncate.unwrap_or(true),
                defaults: layer.defaults,
                head_dim: layer.head_dim,
                max_position_embeddings,
            };
            ropes.insert(layer.layer_type, entry.read(object.as_ref()));
        }
        ropes
    }

    /// Whether `key` is truthy in Python: not absent, null or `{}`.
    fn is_filled(&self, key: &str) -> bool {
        match self.value(key) {
            None | Some(Value::Null) => false,
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        }
    }

    /// Flat parameters beside or in the place of nested ones would be ignored by the reference: refused.
    fn check_nested(&self, outer: &Self, old_too: bool, layers: &[LayerRope<'_>]) {
        let names: Vec<_> = layers.iter().map(|layer| layer.layer_type.name()).collect();
        for key in outer.raw().keys() {
            if key != "truncate" && LayerType::from_name(key).is_none() {
                self.problem(
                    &format!("rope_parameters.{key}"),
                    format!(
                        "this architecture has one rotary embedding per layer type, expected only {}",
                        names.join(", ")
                    ),
                );
            }
        }
        if old_too {
            self.problem(
                "rope_scaling",
                "is given beside `rope_parameters`; keep one of them",
            );
        }
    }
}

/// The layer type under which `object` has parameters, if it is nested.
fn nested_type(object: &Keys<'_>) -> Option<LayerType> {
    let nested = object.raw().iter().find(|(_, value)| value.is_object());
    nested.and_then(|(key, _)| LayerType::from_name(key))
}

fn placeholder(defaults: RopeDefaults, head_dim: usize, max: usize) -> RopeParameters {
    RopeParameters::new(defaults.theta, head_dim.max(2), max.max(1))
}

/// What is needed to read one set of parameters, apart from the set itself.
struct Entry<'e, 'a> {
    root: &'e Keys<'a>,
    /// The full name of the object, for messages.
    container: &'e str,
    theta_key: &'e str,
    partial_key: &'e str,
    root_original: Option<usize>,
    truncate: bool,
    defaults: RopeDefaults,
    head_dim: usize,
    max_position_embeddings: usize,
}

impl<'a> Entry<'_, 'a> {
    fn read(&self, object: Option<&Keys<'a>>) -> RopeParameters {
        let mut rope = placeholder(self.defaults, self.head_dim, self.max_position_embeddings);
        rope.head_dim = self.head_dim;
        let positive = "a finite number above 0";
        // Both are read, so that a bad value at the top level is found even where it is overridden.
        let outer_theta = self.root.optional(self.theta_key, positive, above_zero);
        let inner_theta = object.and_then(|o| o.optional("rope_theta", positive, above_zero));
        rope.rope_theta = inner_theta.or(outer_theta).unwrap_or(self.defaults.theta);
        rope.partial_rotary_factor = self.partial(object);
        if let Some(object) = object
            && let Some(scaling) = self.scaling(object, &rope)
        {
            rope.scaling = scaling;
        }
        // A placeholder among the numbers would only cause problems that are none.
        if !self.root.has_any_problem()
            && let Err(message) = check(&rope)
        {
            self.root.problem(self.container, message);
        }
        if self.root.has_any_problem() {
            return placeholder(self.defaults, self.head_dim, self.max_position_embeddings);
        }
        rope
    }

    fn partial(&self, object: Option<&Keys<'a>>) -> f64 {
        let expected = "a number from 0 to 1";
        let fraction = |value: &Value| number(value).filter(|f| (0.0..=1.0).contains(f));
        let outer = self.root.optional(self.partial_key, expected, fraction);
        let inner = object.and_then(|o| o.optional("partial_rotary_factor", expected, fraction));
        // `proportional` fills the frequencies up to the whole head, which any family can rotate.
        let proportional = object
            .and_then(|o| o.value("rope_type").or_else(|| o.value("type")))
            .is_some_and(|kind| kind == "proportional");
        match (inner.or(outer), self.defaults.partial_rotary_factor) {
            (given, Some(default)) => given.unwrap_or(default),
            (None, None) => 1.0,
            (Some(given), None) if proportional => given,
            (Some(given), None) => {
                #[allow(clippy::float_cmp, reason = "exactly one is what switches it off")]
                if given != 1.0 {
                    self.root.problem(
                        self.partial_key,
                        format!("this architecture rotates whole heads, expected 1, found {given}"),
                    );
                }
                1.0
            }
        }
    }

    fn scaling(&self, object: &Keys<'a>, rope: &RopeParameters) -> Option<RopeScaling> {
        for key in ["mrope_section", "xdrope_section"] {
            object.refuse_unless_null(key, "multimodal rotary embeddings are not implemented");
        }
        let (rope_type, old_type) = (object.opt_text("rope_type"), object.opt_text("type"));
        let key = if rope_type.is_some() {
            "rope_type"
        } else {
            "type"
        };
        let rope_type = rope_type
            .or(old_type)
            .unwrap_or_else(|| "default".to_owned());
        let factor = || object.required("factor", "a finite number above 0", above_zero);
        match rope_type.as_str() {
            "default" => Some(RopeScaling::Default),
            "linear" => Some(RopeScaling::Linear { factor: factor()? }),
            "dynamic" => Some(RopeScaling::Dynamic { factor: factor()? }),
            // phi3 wrote `su`, and for a time `yarn`, for what is longrope.
            "yarn" if !(object.has("short_factor") && object.has("long_factor")) => {
                self.yarn(object)
            }
            "longrope" | "su" | "yarn" => self.longrope(object, rope),
            "llama3" => self.llama3(object),
            "proportional" => Some(RopeScaling::Proportional {
                factor: object
                    .optional("factor", "a finite number above 0", above_zero)
                    .unwrap_or(1.0),
            }),
            other => {
                let other: String = other.chars().take(60).collect();
                object.problem(
                    key,
                    format!("the rotary embedding {other:?} is not implemented; implemented are {IMPLEMENTED}"),
                );
                None
            }
        }
    }

    fn original(&self, object: &Keys<'a>) -> usize {
        let own = object.size("original_max_position_embeddings", 1, MAX_POSITIONS);
        self.root_original
            .or(own)
            .unwrap_or(self.max_position_embeddings)
    }

    /// `factor`, or what transformers takes for a null: the ratio of the two lengths.
    fn factor_or_ratio(&self, object: &Keys<'a>, original: usize) -> f64 {
        object
            .optional("factor", "a finite number above 0", above_zero)
            .unwrap_or_else(|| as_f64(self.max_position_embeddings) / as_f64(original))
    }

    fn yarn(&self, object: &Keys<'a>) -> Option<RopeScaling> {
        // Required, but null is allowed: DeepSeek V3 means the ratio by it.
        if !object.raw().contains_key("factor") {
            object.missing("factor", "a finite number above 0");
        }
        let original = self.original(object);
        let factor = self.factor_or_ratio(object, original);
        let attention_factor = object.optional("attention_factor", "a finite number", finite);
        let mscale = object.optional("mscale", "a finite number", finite);
        let mscale_all_dim = object.optional("mscale_all_dim", "a finite number", finite);
        let beta_fast = object.optional("beta_fast", "a finite number from 0", not_negative);
        let beta_slow = object.optional("beta_slow", "a finite number from 0", not_negative);
        object.inert(&["truncate"]);
        let truthy = |value: Option<f64>| value.filter(|value| *value != 0.0);
        let magnitude = |mscale: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * mscale * factor.ln() + 1.0
            }
        };
        let suggested = || match (truthy(mscale), truthy(mscale_all_dim)) {
            (Some(mscale), Some(all_dim)) => magnitude(mscale) / magnitude(all_dim),
            _ => magnitude(1.0),
        };
        Some(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: original,
            attention_factor: attention_factor.unwrap_or_else(suggested),
            beta_fast: truthy(beta_fast).unwrap_or(32.0),
            beta_slow: truthy(beta_slow).unwrap_or(1.0),
            truncate: self.truncate,
        })
    }

    fn longrope(&self, object: &Keys<'a>, rope: &RopeParameters) -> Option<RopeScaling> {
        let short_factor = factors(object, "short_factor", rope.num_frequencies());
        let long_factor = factors(object, "long_factor", rope.num_frequencies());
        let original = self.original(object);
        let factor = self.factor_or_ratio(object, original);
        let attention_factor =
            object.optional("attention_factor", "a finite number from 0", not_negative);
        let suggested = || {
            if factor <= 1.0 {
                1.0
            } else {
                (1.0 + factor.ln() / as_f64(original).ln()).sqrt()
            }
        };
        Some(RopeScaling::LongRope {
            short_factor: short_factor?,
            long_factor: long_factor?,
            original_max_position_embeddings: original,
            attention_factor: attention_factor.unwrap_or_else(suggested),
        })
    }

    fn llama3(&self, object: &Keys<'a>) -> Option<RopeScaling> {
        let required = |key| object.required(key, "a finite number above 0", above_zero);
        let (factor, low, high) = (
            required("factor"),
            required("low_freq_factor"),
            required("high_freq_factor"),
        );
        let original_max_position_embeddings = self.original(object);
        let (factor, low_freq_factor, high_freq_factor) = (factor?, low?, high?);
        if high_freq_factor <= low_freq_factor {
            object.problem(
                "high_freq_factor",
                format!(
                    "expected more than `low_freq_factor` = {low_freq_factor}, found {high_freq_factor}"
                ),
            );
            return None;
        }
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        })
    }
}

/// What holds for every kind: the rotated part is even and within the head, and all numbers are finite.
fn check(rope: &RopeParameters) -> Result<(), String> {
    let (head_dim, rotary_dim) = (rope.head_dim, rope.rotary_dim());
    let proportional = matches!(rope.scaling, RopeScaling::Proportional { .. });
    let dim = whole(as_f64(head_dim) * rope.partial_rotary_factor);
    if rotary_dim > head_dim || (proportional && head_dim % 2 == 1) {
        return Err(format!(
            "a rotary embedding needs an even head_dim, found {head_dim}"
        ));
    }
    if rotary_dim == 0 {
        return Err(format!(
            "rotates nothing: partial_rotary_factor is {} of head_dim {head_dim}",
            rope.partial_rotary_factor
        ));
    }
    if dim % 2 == 1 && matches!(rope.scaling, RopeScaling::Yarn { .. }) {
        return Err(format!(
            "yarn needs an even number of rotated elements, found {dim}"
        ));
    }
    if dim <= 2 && matches!(rope.scaling, RopeScaling::Dynamic { .. }) {
        return Err(format!(
            "dynamic needs more than 2 rotated elements, found {dim}"
        ));
    }
    let lengths = match &rope.scaling {
        RopeScaling::Dynamic { .. } => vec![1, rope.max_position_embeddings.saturating_mul(2)],
        RopeScaling::LongRope {
            original_max_position_embeddings: original,
            ..
        } => vec![1, original.saturating_add(1)],
        _ => vec![1],
    };
    for seq_len in lengths {
        let frequencies = rope.frequencies(seq_len);
        let usable = |f: &f32| f.is_finite() && *f >= 0.0;
        if !frequencies.inv_freq.iter().all(usable) || !usable(&frequencies.attention_scaling) {
            return Err(format!(
                "these parameters of the rotary embedding {:?} give frequencies or an attention factor that are not \
                 finite",
                rope.scaling.rope_type()
            ));
        }
    }
    Ok(())
}

fn factors(object: &Keys<'_>, key: &str, count: usize) -> Option<Vec<f64>> {
    let expected = "a list of finite numbers above 0";
    let factors = object.required(key, expected, |value| {
        value
            .as_array()?
            .iter()
            .map(above_zero)
            .collect::<Option<Vec<f64>>>()
    })?;
    if factors.len() != count {
        object.problem(
            key,
            format!(
                "expected {count} numbers, one per rotated pair, found {}",
                factors.len()
            ),
        );
        return None;
    }
    Some(factors)
}

fn finite(value: &Value) -> Option<f64> {
    number(value).filter(|float| float.is_finite())
}

fn not_negative(value: &Value) -> Option<f64> {
    finite(value).filter(|float| *float >= 0.0)
}

fn above_zero(value: &Value) -> Option<f64> {
    finite(value).filter(|float| *float > 0.0)
}
