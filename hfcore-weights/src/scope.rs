//! [`Scope`]: the cursor a model is built through, which accounts for every tensor.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::report::MAX_MISSING;
use crate::{DType, LoadError, LoadReport, TensorView, Weights, WeightsError};

/// A place in a checkpoint: `scope.at("model").at("layers.3")` reads below `model.layers.3.`.
///
/// Made by [`Weights::build`]. Nothing here returns an error: whatever is wrong is noted, a placeholder of the shape
/// asked for is given, and `build` reports everything at once. Threads may share it, and load layers in parallel.
///
/// ```
/// use hfcore_weights::{Scope, TensorView, Weights};
///
/// struct Linear { weight: TensorView }
///
/// let linear = |scope: &Scope| Linear { weight: scope.get("weight", &[2, 3]) };
/// let tensors = [("mlp.up_proj.weight".to_owned(), TensorView::from_f32(&[2, 3], &[0.5; 6]))];
/// let (model, _) = Weights::from_tensors(tensors)?.build(|scope| linear(&scope.at("mlp.up_proj")))?;
/// assert_eq!(model.weight.shape, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Scope {
    path: String,
    shared: Arc<Shared>,
}

struct Shared {
    weights: Weights,
    seen: Mutex<Seen>,
}

struct Seen {
    /// By the number of the tensor.
    uses: Vec<Use>,
    /// Names that were asked for and are not there: their modules count as read.
    missing: Vec<String>,
    ignored_modules: Vec<String>,
    error: LoadError,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Unread,
    Read,
    Ignored,
}

impl Scope {
    pub(crate) fn new(weights: Weights) -> Self {
        let seen = Mutex::new(Seen {
            uses: vec![Use::Unread; weights.len()],
            missing: Vec::new(),
            ignored_modules: Vec::new(),
            error: LoadError::default(),
        });
        Self {
            path: String::new(),
            shared: Arc::new(Shared { weights, seen }),
        }
    }

    /// The place `path` below this one: `at("layers.3")`, or `at("layers").at("3")`. `at("")` is this place.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self {
            path: self.full(path),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The checkpoint's root, from wherever this is.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            path: String::new(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Where this is: `model.layers.3`, empty at the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole checkpoint, for looking; what is read there is not accounted for.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.shared.weights
    }

    /// The tensor `name`, which must have this shape. Asking again for a tensor (tied weights) gives the same bytes.
    ///
    /// If it is absent, of another shape or cannot be read, that is noted and a
    /// [placeholder](TensorView::is_placeholder) returned. Any element type is given, but for those of less than a
    /// byte, which are refused: who can use them asks [`Weights::get`].
    #[must_use]
    pub fn get(&self, name: &str, shape: &[usize]) -> TensorView {
        self.take(&self.full(name), shape, |weights, name| weights.get(name))
    }

    /// Rows `range` of the tensor `name`, which must have the shape `shape` as a whole. See [`Weights::get_rows`].
    ///
    /// # Panics
    /// If `shape` has no such rows.
    #[must_use]
    #[track_caller]
    pub fn get_rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> TensorView {
        let placeholder = TensorView::placeholder(shape).rows(range.clone());
        let part = self.take(&self.full(name), shape, |weights, name| {
            weights.get_rows(name, range)
        });
        if part.shape == placeholder.shape {
            part
        } else {
            placeholder
        }
    }

    /// Columns `range` of the tensor `name`, which must have the shape `shape` as a whole. See
    /// [`Weights::get_columns`].
    ///
    /// # Panics
    /// If `shape` has no such columns.
    #[must_use]
    #[track_caller]
    pub fn get_columns(&self, name: &str, shape: &[usize], range: Range<usize>) -> TensorView {
        let placeholder = TensorView::placeholder(shape).columns(range.clone());
        let part = self.take(&self.full(name), shape, |weights, name| {
            weights.get_columns(name, range)
        });
        if part.shape == placeholder.shape {
            part
        } else {
            placeholder
        }
    }

    /// The first of `names` that the checkpoint has, for tensors that are published under several. The others are not
    /// taken: should they be there too, they are stray.
    ///
    /// # Panics
    /// If `names` is empty.
    #[must_use]
    #[track_caller]
    pub fn any(&self, names: &[&str], shape: &[usize]) -> TensorView {
        let first = names.first().expect("`any` of no names");
        let name = names.iter().find(|name| self.has(name)).unwrap_or(first);
        self.get(name, shape)
    }

    /// A tensor that is tied to another one: `name` itself if the checkpoint has it, else `source`, a name from the
    /// checkpoint's root.
    ///
    /// As transformers 5 does: a checkpoint that holds both is taken at its word, whether they are equal or not.
    ///
    /// ```
    /// # use hfcore_weights::{TensorView, Weights};
    /// # let tensors = [("model.embed_tokens.weight".to_owned(), TensorView::from_f32(&[2, 3], &[0.5; 6]))];
    /// # Weights::from_tensors(tensors)?.build(|scope| {
    /// let embed_tokens = scope.get("model.embed_tokens.weight", &[2, 3]);
    /// let lm_head = scope.tied("lm_head.weight", "model.embed_tokens.weight", &[2, 3]);
    /// # assert_eq!(embed_tokens.bytes.as_ref().as_ptr(), lm_head.bytes.as_ref().as_ptr());
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tied(&self, name: &str, source: &str, shape: &[usize]) -> TensorView {
        if self.has(name) {
            self.get(name, shape)
        } else {
            self.root().get(source, shape)
        }
    }

    /// Whether the checkpoint has the tensor `name`. Does not take it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.shared.weights.contains(&self.full(name))
    }

    /// Whether the checkpoint has any tensor below `path`. Does not take it.
    #[must_use]
    pub fn has_module(&self, path: &str) -> bool {
        self.shared.weights.contains_module(&self.full(path))
    }

    /// The element type of the tensor `name`, if the checkpoint has it and the type is known. Does not take it.
    #[must_use]
    pub fn dtype(&self, name: &str) -> Option<DType> {
        Some(self.shared.weights.info(&self.full(name)).ok()?.dtype)
    }

    /// The shape of the tensor `name`, if the checkpoint has it. Does not take it.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let table = self.shared.weights.table();
        let index = table.find(&self.full(name))?;
        Some(table.shape(table.entry(index)).to_vec())
    }

    /// Declares that the tensor `name`, should it be there, has no influence: a buffer that is computed
    /// (`rotary_emb.inv_freq`), a mask (`attn.bias`), a copy.
    pub fn ignore(&self, name: &str) {
        let index = self.shared.weights.table().find(&self.full(name));
        if let Some(index) = index {
            let mut seen = self.seen();
            if seen.uses[index] == Use::Unread {
                seen.uses[index] = Use::Ignored;
            }
        }
    }

    /// Declares that nothing below `path` that is not read has any influence.
    pub fn ignore_module(&self, path: &str) {
        let path = self.full(path);
        self.seen().ignored_modules.push(path);
    }

    /// Notes that the tensor `name` has the shape `found` where the model has `expected`, for shapes that depend on
    /// more than [`get`](Self::get) can be told.
    pub fn report_mismatch(&self, name: &str, expected: &[usize], found: &[usize]) {
        let name = self.full(name);
        self.seen().error.mismatch(name, expected, found);
    }

    /// Refuses the checkpoint: `why` is what is wrong with the tensor or module `name` (`""`: with this place).
    pub fn refuse(&self, name: &str, why: impl fmt::Display) {
        let name = self.full(name);
        self.seen().error.problem(name, why.to_string());
    }

    fn full(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) => format!("{path}.{name}"),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A panic elsewhere leaves the lists as they are; the report is dropped with the panic anyway.
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
        &self,
        name: &str,
        shape: &[usize],
        get: impl FnOnce(&Weights, &str) -> Result<TensorView, WeightsError>,
    ) -> TensorView {
        let weights = &self.shared.weights;
        let placeholder = TensorView::placeholder(shape);
        let Some(index) = weights.table().find(name) else {
            let mut seen = self.seen();
            // A configuration may ask for millions of layers' tensors; what is missing is clear long before.
            if seen.missing.len() < MAX_MISSING {
                seen.missing.push(name.to_owned());
                seen.error.missing_keys.push(name.to_owned());
            } else {
                seen.error.more_missing += 1;
            }
            return placeholder;
        };
        {
            let mut seen = self.seen();
            seen.uses[index] = Use::Read;
            let table = weights.table();
            let found = table.shape(table.entry(index));
            if found != shape {
                seen.error.mismatch(name.to_owned(), shape, found);
                return placeholder;
            }
        }
        // Outside of the lock: this may read a file.
        let view = match get(weights, name) {
            Ok(view) if view.dtype.bits() >= 8 => return view,
            Ok(view) => format!("element type {} is not supported", view.dtype),
            // The name is in the line already; a cause is not.
            Err(WeightsError::UnknownDType { dtype, .. }) => {
                format!("element type {dtype:?} is not known")
            }
            Err(error) => match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
        };
        self.seen().error.problem(name.to_owned(), view);
        placeholder
    }

    /// The verdict: subtracts what was asked for from what is there.
    pub(crate) fn finish(&self, changed: Option<WeightsError>) -> Result<LoadReport, LoadError> {
        let weights = &self.shared.weights;
        let table = weights.table();
        let mut seen = self.seen();
        let Seen {
            uses,
            missing,
            ignored_modules,
            error,
        } = &mut *seen;

        let mut touched = Touched::default();
        let mut report = LoadReport::default();
        for (entry, used) in table.entries().iter().zip(uses.iter()) {
            if *used == Use::Read {
                touched.add(table.name(entry));
                report.loaded_tensors += 1;
                report.loaded_bytes += entry.end - entry.begin;
            }
        }
        missing.iter().for_each(|name| touched.add(name));

        for (entry, used) in table.entries().iter().zip(uses.iter()) {
            let name = table.name(entry);
            if *used == Use::Read {
                continue;
            }
            let is_below = |module: &String| {
                let rest = name.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest.starts_with('.')) || module.is_empty()
            };
            if *used == Use::Ignored || ignored_modules.iter().any(is_below) {
                report.ignored.push(name.to_owned());
            } else if touched.has_neighbour(name) {
                error.unexpected_keys.push(name.to_owned());
            } else {
                report.unused.push(name.to_owned());
            }
        }
        if let Some(changed) = changed {
            error.problem(String::new(), changed.to_string());
        }
        if error.is_empty() {
            return Ok(report);
        }
        let unread = error
            .unexpected_keys
            .iter()
            .chain(&report.unused)
            .cloned()
            .collect::<Vec<_>>();
        error.finish(unread.iter().map(String::as_str));
        Err(std::mem::take(error))
    }
}

/// The modules and numbered layers of which anything was read.
#[derive(Default)]
struct Touched<'a> {
    modules: HashSet<&'a str>,
    layers: HashSet<&'a str>,
}

impl<'a> Touched<'a> {
    fn add(&mut self, name: &'a str) {
        self.modules.insert(module_of(name));
        self.layers.extend(layer_of(name));
    }

    fn has_neighbour(&self, name: &str) -> bool {
        self.modules.contains(module_of(name))
            || layer_of(name).is_some_and(|layer| self.layers.contains(layer))
    }
}

/// The name up to the last dot.
fn module_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// The name up to its first part that is a number: `model.layers.3`.
fn layer_of(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && end < name.len() {
            return Some(&name[..end]);
        }
        end += 1;
    }
    None
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
