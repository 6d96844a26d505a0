//! Python's values beside `CPython`'s own: `golden/python.json`, which `make_python.py` writes.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use hfcore_jinja::python::{
    Args, Binary, Caller, Dict, Error, ErrorKind, Limits, Meter, Order, Range, Str, Tuple,
    Undefined, Value, View, ViewKind, binary, call_method, collect, compare, contains, dumps,
    equals, float, format_value, getattr, getitem, hash, int, item, len, negative, positive, repr,
    slice, str, strftime,
};
use serde_json::Value as Json;

struct Test(Meter);

impl Caller for Test {
    fn meter(&self) -> &Meter {
        &self.0
    }
}

fn value(meter: &Meter, json: &Json) -> Value {
    let all = |items: &Json| -> Vec<Value> {
        let items = items.as_array().unwrap();
        items.iter().map(|item| value(meter, item)).collect()
    };
    let dict = |pairs: &Json| {
        let pairs = pairs.as_array().unwrap().iter().map(|pair| {
            let pair = all(pair);
            (pair[0].clone(), pair[1].clone())
        });
        Dict::new(meter, pairs).unwrap()
    };
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Str(Str::constant(text.as_str())),
        Json::Array(_) => Value::list(meter, all(json)).unwrap(),
        Json::Number(_) => panic!("numbers are tagged"),
        Json::Object(tagged) => {
            let (tag, inner) = tagged.iter().next().unwrap();
            let view = |kind| Value::View(View::new(dict(&inner["d"]), kind));
            match tag.as_str() {
                "t" => Value::Tuple(Tuple::new(meter, all(inner)).unwrap()),
                "d" => Value::Dict(dict(inner)),
                "m" => Value::Str(Str::constant(inner.as_str().unwrap()).with_markup(true)),
                "i" => Value::Int(inner.as_str().unwrap().parse().unwrap()),
                "f" => Value::Float(inner.as_str().unwrap().parse().unwrap()),
                "u" => Value::Undefined(Undefined::name(inner.as_str().unwrap())),
                "k" => view(ViewKind::Keys),
                "v" => view(ViewKind::Values),
                "e" => view(ViewKind::Items),
                "r" => {
                    let [start, stop, step] = [0, 1, 2].map(|at| inner[at].as_i64().unwrap());
                    Value::Range(Range::new(start, stop, step).unwrap())
                }
                other => panic!("{other} is no tag"),
            }
        }
    }
}

fn shown(meter: &Meter, value: Value) -> Result<Value, Error> {
    match value {
        Value::Undefined(undefined) => Err(undefined.error(meter)),
        value => Ok(value),
    }
}

fn run(meter: &Meter, op: &str, x: &[Value]) -> Result<Value, Error> {
    let orders = [
        ("<", Order::Lt),
        ("<=", Order::Le),
        (">", Order::Gt),
        (">=", Order::Ge),
    ];
    if let Some((_, order)) = orders.iter().find(|(symbol, _)| *symbol == op) {
        return compare(meter, *order, &x[0], &x[1]).map(Value::Bool);
    }
    let binaries = [
        ("+", Binary::Add),
        ("-", Binary::Sub),
        ("*", Binary::Mul),
        ("/", Binary::TrueDiv),
        ("//", Binary::FloorDiv),
        ("%", Binary::Mod),
        ("**", Binary::Pow),
    ];
    if let Some((_, operator)) = binaries.iter().find(|(symbol, _)| *symbol == op) {
        return binary(meter, *operator, &x[0], &x[1]);
    }
    Ok(match op {
        "==" => Value::Bool(equals(meter, &x[0], &x[1])?),
        "!=" => Value::Bool(!equals(meter, &x[0], &x[1])?),
        "in" => Value::Bool(contains(meter, &x[1], &x[0])?),
        "neg" => negative(meter, &x[0])?,
        "pos" => positive(meter, &x[0])?,
        "len" => Value::from(len(&x[0])?),
        "bool" => Value::Bool(x[0].truth()),
        "str" => Value::Str(str(meter, &x[0])?),
        "repr" => Value::str(meter, repr(meter, &x[0])?)?,
        "list" => Value::list(meter, collect(meter, &x[0])?)?,
        "int" => Value::Int(int(meter, &x[0])?),
        "float" => Value::Float(float(meter, &x[0])?),
        "hash" => {
            hash(meter, &x[0])?;
            Value::Int(0)
        }
        "item" => item(meter, &x[0], &x[1])?,
        "getitem" => shown(meter, getitem(meter, &x[0], &x[1])?)?,
        "getattr" => shown(meter, getattr(meter, &x[0], x[1].as_str().unwrap())?)?,
        "slice" => slice(meter, &x[0], &x[1], &x[2], &x[3])?,
        "format" => Value::str(meter, format_value(meter, &x[0], x[1].as_str().unwrap())?)?,
        "strftime" => {
            let seconds = i64::try_from(x[0].as_int().unwrap()).unwrap();
            strftime(meter, seconds, x[1].as_str().unwrap())?
        }
        "call" => {
            let Value::Dict(keyword) = &x[3] else {
                panic!("keywords are a dict");
            };
            let args = Args {
                positional: collect(meter, &x[2])?,
                keyword: keyword
                    .iter()
                    .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone()))
                    .collect(),
            };
            call_method(
                &mut Test(meter.clone()),
                &x[0],
                x[1].as_str().unwrap(),
                args,
            )?
        }
        "dumps" => {
            let style = collect(meter, &x[1])?;
            let (ascii, sorted) = (style[0].truth(), style[3].truth());
            dumps(meter, &x[0], ascii, &style[1], &style[2], sorted)?
        }
        other => panic!("{other} is no operation"),
    })
}

fn outcome(meter: &Meter, op: &str, operands: &[Value]) -> String {
    match run(meter, op, operands) {
        Ok(value) if value.is_callable() => "callable".to_owned(),
        Ok(value) => repr(meter, &value).unwrap(),
        Err(error) if error.kind() == ErrorKind::Unsupported => "!Unsupported: ".to_owned(),
        Err(error) => format!("!{}: {}", error.kind().name(), error.message()),
    }
}

#[test]
fn as_cpython() {
    let golden: Json = serde_json::from_str(include_str!("golden/python.json")).unwrap();
    let meter = Meter::new(Limits {
        steps: u64::MAX,
        ..Limits::default()
    });
    let values: Vec<Value> = golden["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|json| value(&meter, json))
        .collect();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 5000, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let case = case.as_array().unwrap();
        let [op, operands @ .., expected] = &case[..] else {
            panic!("a case has an operation and a result");
        };
        let op = op.as_str().unwrap();
        let operands: Vec<Value> = operands
            .iter()
            .map(|index| values[usize::try_from(index.as_u64().unwrap()).unwrap()].clone())
            .collect();
        let found = outcome(&meter, op, &operands);
        let expected = expected.as_str().unwrap();
        if found != expected {
            let operands: Vec<String> = operands.iter().map(|x| repr(&meter, x).unwrap()).collect();
            wrong.push(format!(
                "{op} {}\n  is  {found}\n  not {expected}",
                operands.join(" , ")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Sizes are refused before anything is allocated: each of these would take gigabytes.
#[test]
fn sizes_are_checked_first() {
    let meter = Meter::new(Limits {
        steps: u64::MAX,
        memory: 1 << 20,
        output: 1 << 20,
    });
    let text = |text: &str| Value::Str(Str::constant(text));
    let huge = Value::Int(1_000_000_000_000);
    let list = Value::list(&meter, vec![Value::None]).unwrap();
    let call = |receiver: &Value, name: &str, args: Vec<Value>| {
        call_method(
            &mut Test(meter.clone()),
            receiver,
            name,
            Args::positional(args),
        )
    };
    let range = Value::Range(Range::new(0, 1_000_000_000_000, 1).unwrap());
    let big = text(&"a".repeat(200_000));
    let outcomes = [
        binary(&meter, Binary::Mul, &text("ab"), &huge),
        binary(&meter, Binary::Mul, &huge, &list),
        binary(&meter, Binary::Mod, &text("%999999999d"), &Value::Int(1)),
        binary(&meter, Binary::Mod, &text("%.999999999d"), &Value::Int(1)),
        binary(&meter, Binary::Mod, &text("%.999999999f"), &Value::Int(1)),
        format_value(&meter, &Value::Int(1), "0999999999,d").map(|_| Value::None),
        format_value(&meter, &Value::Float(1.0), ".999999999f").map(|_| Value::None),
        call(&text("a"), "center", vec![huge.clone()]),
        call(&text("a"), "zfill", vec![huge.clone()]),
        call(&text("\t"), "expandtabs", vec![Value::Int(2_000_000_000)]),
        call(&big, "replace", vec![text(""), big.clone()]),
        call(&big, "join", vec![big.clone()]),
        call(&text(","), "split", vec![text(",")])
            .and_then(|_| collect(&meter, &big).map(|_| Value::None)),
        call(&text("{:999999999}"), "format", vec![Value::Int(1)]),
        collect(&meter, &range).map(|_| Value::None),
        dumps(&meter, &list, false, &huge, &Value::None, false),
    ];
    for (at, outcome) in outcomes.into_iter().enumerate() {
        let error = outcome.expect_err(&format!("number {at} passed"));
        assert_eq!(error.kind(), ErrorKind::Memory, "number {at}: {error}");
    }
    drop((list, big));
    assert_eq!(meter.memory(), 0, "all charges are given back");
}

/// Nesting has a bound, and what hides exponential work in shared parts takes steps.
#[test]
fn nesting_and_sharing_are_bounded() {
    let meter = Meter::new(Limits::default());
    let mut nested = Value::None;
    let error = loop {
        match Value::list(&meter, vec![nested.clone()]) {
            Ok(deeper) => nested = deeper,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::RecursionError);
    assert_eq!(error.message(), "values are nested deeper than 200 levels");
    assert_eq!(repr(&meter, &nested).unwrap().len(), 200 * 2 + 4);

    let double = || {
        let mut value = Value::None;
        for _ in 0..100 {
            value = Value::tuple(&meter, vec![value.clone(), value]).unwrap();
        }
        value
    };
    let (one, other) = (double(), double());
    let limit = |outcome: Result<(), Error>| assert!(outcome.unwrap_err().kind().is_limit());
    limit(equals(&meter, &one, &other).map(drop));
    limit(hash(&Meter::new(Limits::default()), &one).map(drop));
    limit(repr(&Meter::new(Limits::default()), &one).map(drop));
    limit(
        dumps(
            &Meter::new(Limits::default()),
            &one,
            false,
            &Value::None,
            &Value::None,
            false,
        )
        .map(drop),
    );
}

/// One `1`, `1.0` and `True`; insertion order; a large dict finds what a small one finds.
#[test]
fn dicts() {
    let meter = Meter::new(Limits::default());
    let pairs = [
        Value::Int(1),
        Value::Float(1.0),
        Value::Bool(true),
        Value::None,
    ];
    let dict = Dict::new(&meter, pairs.iter().map(|key| (key.clone(), key.clone()))).unwrap();
    assert_eq!(
        repr(&meter, &Value::Dict(dict)).unwrap(),
        "{1: True, None: None}"
    );
    let pairs = (0..1000_i64).map(|at| (Value::from(at), Value::from(-at)));
    let dict = Dict::new(&meter, pairs).unwrap();
    for at in 0..1000_i64 {
        let found = dict.get(&meter, &Value::from(at)).unwrap().unwrap();
        assert_eq!(found.as_int(), Some(i128::from(-at)));
    }
    assert!(dict.get(&meter, &Value::from(1000_i64)).unwrap().is_none());
    assert!(dict.get(&meter, &Value::Float(7.0)).unwrap().is_some());
    assert!(dict.get_str("7").is_none());
}

/// A text of megabytes may be split, and one of megabytes of separators may not.
#[test]
fn splitting_is_bounded_by_its_parts() {
    let meter = Meter::new(Limits::for_input(0));
    let split = |text: String, name: &str, args: &[&str]| {
        let text = Value::Str(Str::constant(text));
        let args = args.iter().map(|arg| Value::Str(Str::constant(*arg)));
        call_method(
            &mut Test(meter.clone()),
            &text,
            name,
            Args::positional(args.collect()),
        )
    };
    let line = "x".repeat(1000);
    for (name, args) in [("split", &["\n"][..]), ("split", &[]), ("splitlines", &[])] {
        let lines = split([line.as_str(); 4000].join("\n"), name, args).unwrap();
        assert_eq!(len(&lines).unwrap(), 4000);
        drop(lines);
        let error = split("x\n".repeat(2_000_000), name, args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
    }
}
