//! A call's arguments, and binding them to a Python signature with Python's complaints.

use super::error::{Error, type_error};
use super::value::Value;

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// In their order.
    pub positional: Vec<Value>,
    /// By name, each once.
    pub keyword: Vec<(String, Value)>,
}

/// A parameter of a function that is written in Python (a filter, a test, a macro-like helper).
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Whether a call must give it.
    pub required: bool,
}

impl Param {
    /// A parameter without a default.
    #[must_use]
    pub const fn required(name: &'static str) -> Self {
        Self {
            name,
            required: true,
        }
    }

    /// A parameter with a default.
    #[must_use]
    pub const fn optional(name: &'static str) -> Self {
        Self {
            name,
            required: false,
        }
    }
}

impl Args {
    /// Positional arguments alone.
    #[must_use]
    pub fn positional(values: Vec<Value>) -> Self {
        Self {
            positional: values,
            keyword: Vec::new(),
        }
    }

    /// The value of a keyword.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.keyword.iter().find(|(keyword, _)| keyword == name)?;
        Some(&found.1)
    }

    /// Binds the arguments to the parameters of a Python function, which take positions and keywords alike: one value
    /// for each parameter, `None` where the default is to be used. `function` is its `__qualname__`; `hidden` counts
    /// leading parameters that the call itself fills in (`environment`, `self`): Python counts them in its messages.
    ///
    /// # Errors
    /// `TypeError` with Python's message.
    pub fn bind(
        self,
        function: &str,
        hidden: usize,
        params: &[Param],
    ) -> Result<Vec<Option<Value>>, Error> {
        let given = self.positional.len();
        let mut bound: Vec<Option<Value>> = vec![None; params.len()];
        let mut positional = self.positional.into_iter();
        for (slot, value) in bound.iter_mut().zip(&mut positional) {
            *slot = Some(value);
        }
        for (name, value) in self.keyword {
            let Some(at) = params.iter().position(|param| param.name == name) else {
                return Err(type_error(format!(
                    "{function}() got an unexpected keyword argument '{name}'"
                )));
            };
            if bound[at].is_some() {
                return Err(type_error(format!(
                    "{function}() got multiple values for argument '{name}'"
                )));
            }
            bound[at] = Some(value);
        }
        if given > params.len() {
            let most = params.len() + hidden;
            let required = hidden + params.iter().filter(|param| param.required).count();
            let takes = if required < most {
                format!("from {required} to {most}")
            } else {
                most.to_string()
            };
            let arguments = if most == 1 { "argument" } else { "arguments" };
            let given = given + hidden;
            let were = if given == 1 { "was" } else { "were" };
            return Err(type_error(format!(
                "{function}() takes {takes} positional {arguments} but {given} {were} given"
            )));
        }
        let missing: Vec<String> = params
            .iter()
            .zip(&bound)
            .filter(|(param, value)| param.required && value.is_none())
            .map(|(param, _)| format!("'{}'", param.name))
            .collect();
        let list = match &missing[..] {
            [] => return Ok(bound),
            [one] => one.clone(),
            [first, second] => format!("{first} and {second}"),
            [many @ .., last] => format!("{}, and {last}", many.join(", ")),
        };
        let arguments = if missing.len() == 1 {
            "argument"
        } else {
            "arguments"
        };
        Err(type_error(format!(
            "{function}() missing {} required positional {arguments}: {list}",
            missing.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: [Param; 3] = [
        Param::required("a"),
        Param::required("b"),
        Param::optional("c"),
    ];

    fn call(positional: usize, keyword: &[&str]) -> Result<Vec<Option<Value>>, String> {
        let args = Args {
            positional: (0..positional).map(Value::from).collect(),
            keyword: keyword
                .iter()
                .map(|name| ((*name).to_owned(), Value::None))
                .collect(),
        };
        args.bind("f", 1, &PARAMS)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn binds_as_python() {
        let bound = call(1, &["b"]).unwrap();
        assert!(matches!(
            bound[..],
            [Some(Value::Int(0)), Some(Value::None), None]
        ));
        let messages = [
            (
                4,
                &[][..],
                "f() takes from 3 to 4 positional arguments but 5 were given",
            ),
            (
                0,
                &[],
                "f() missing 2 required positional arguments: 'a' and 'b'",
            ),
            (1, &[], "f() missing 1 required positional argument: 'b'"),
            (2, &["a"], "f() got multiple values for argument 'a'"),
            (2, &["x"], "f() got an unexpected keyword argument 'x'"),
        ];
        for (positional, keyword, message) in messages {
            assert_eq!(call(positional, keyword).unwrap_err(), message);
        }
    }
}
