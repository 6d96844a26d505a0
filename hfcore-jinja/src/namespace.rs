//! `namespace(…)`: the one object that templates can change.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fail;
use crate::python::{
    Charge, Dict, DictBuilder, Error, ErrorKind, MAX_DEPTH, Meter, Object, Value, quoted, repr,
};

/// `TemplateNamespace` of transformers: a `jinja2.utils.Namespace` without underscores.
#[derive(Debug)]
pub(crate) struct Namespace {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attributes: Vec<(Value, Value)>,
    /// Their places, by name.
    index: HashMap<Box<str>, usize>,
    /// 1 + the deepest value that was ever set.
    depth: u32,
    /// Whether it is being printed: within itself, Python prints `{...}`.
    printing: bool,
    charges: Vec<Charge>,
}

/// A namespace as a value.
#[derive(Debug)]
pub(crate) struct NamespaceObject(pub(crate) Arc<Namespace>);

impl Namespace {
    /// `namespace(mapping, name=value)`
    pub(crate) fn new(meter: &Meter, attributes: &Dict) -> Result<Arc<Self>, Error> {
        let namespace = Arc::new(Self {
            state: Mutex::default(),
        });
        for (name, value) in attributes.iter() {
            check_name(name)?;
            namespace.insert(meter, name.clone(), value.clone())?;
        }
        let charge = meter.charge(size_of::<Self>())?;
        namespace.state().charges.push(charge);
        Ok(namespace)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `namespace.name = value`
    pub(crate) fn set(&self, meter: &Meter, name: &str, value: Value) -> Result<(), Error> {
        let name = Value::str(meter, name)?;
        check_name(&name)?;
        self.insert(meter, name, value)
    }

    fn insert(&self, meter: &Meter, name: Value, value: Value) -> Result<(), Error> {
        let depth = value.depth() + 1;
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let text = name.as_str().unwrap_or_default();
        let charge = meter.charge(size_of::<(Value, Value)>() + text.len())?;
        let mut state = self.state();
        state.depth = state.depth.max(depth);
        // The old value may be the last that holds another: it is dropped when the lock is not held any more.
        let old = match state.index.get(text).copied() {
            Some(at) => Some(std::mem::replace(&mut state.attributes[at].1, value)),
            None => {
                let at = state.attributes.len();
                state.index.insert(text.into(), at);
                state.charges.push(charge);
                state.attributes.push((name, value));
                None
            }
        };
        drop(state);
        drop(old);
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let state = self.state();
        let at = *state.index.get(name)?;
        Some(state.attributes[at].1.clone())
    }

    /// Forgets everything, so that namespaces that hold each other are freed.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.index.clear();
        let attributes = std::mem::take(&mut state.attributes);
        drop(state);
        drop(attributes);
    }
}

thread_local! {
    /// Levels of the namespaces that are being printed, one in the other.
    static PRINTED: Cell<u32> = const { Cell::new(0) };
}

fn too_deep() -> Error {
    Error::new(
        ErrorKind::RecursionError,
        format!("values are nested deeper than {MAX_DEPTH} levels"),
    )
}

fn check_name(name: &Value) -> Result<(), Error> {
    match name.as_str() {
        Some(text) if text.starts_with('_') => Err(Error::new(
            ErrorKind::SecurityError,
            format!(
                "Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}. Please rename \
                 the attribute.",
                quoted(text)
            ),
        )),
        Some(_) => Ok(()),
        None => Err(fail::unsupported(
            "names in a namespace that are no strings",
        )),
    }
}

impl Object for NamespaceObject {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed("TemplateNamespace")
    }

    fn module(&self) -> &'static str {
        "transformers.utils.chat_template_utils"
    }

    fn get_attr(&self, _meter: &Meter, name: &str) -> Result<Option<Value>, Error> {
        Ok(self.0.get(name))
    }

    fn repr(&self, meter: &Meter) -> Result<String, Error> {
        let state = self.0.state();
        if state.printing {
            return Ok("<Namespace {...}>".to_owned());
        }
        let attributes = state.attributes.clone();
        // Values may hold this namespace: they are looked at when the lock is not held any more.
        drop(state);
        // A namespace may have grown after it was stored, so what holds it does not know how deep it is.
        let deepest = attributes
            .iter()
            .map(|(_, value)| value.depth())
            .max()
            .unwrap_or(0);
        let depth = PRINTED.get().saturating_add(1 + deepest);
        if depth > 2 * MAX_DEPTH {
            return Err(too_deep());
        }
        self.0.state().printing = true;
        let before = PRINTED.replace(depth);
        let mut dict = DictBuilder::new(meter);
        let result = attributes
            .into_iter()
            .try_for_each(|(name, value)| dict.insert(name, value))
            .and_then(|()| repr(meter, &Value::Dict(dict.finish()?)));
        PRINTED.set(before);
        self.0.state().printing = false;
        Ok(format!("<Namespace {}>", result?))
    }

    fn depth(&self) -> u32 {
        self.0.state().depth
    }
}
