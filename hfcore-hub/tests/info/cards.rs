//! Model cards against Python's `huggingface_hub`: the same data is read, and the same file is written.
//!
//! `cards.json` is written by `tools/make_card_golden.py`.

use hfcore_hub::card::{CardOptions, EvalResult, ModelCard, YamlMapping, YamlValue};
use serde_json::{Map, Value, json};

/// A value as the golden data writes it: what JSON does not have is an object with one key that starts with `$`.
fn encode(value: &YamlValue) -> Value {
    match value {
        YamlValue::Int(value) => i64::try_from(*value)
            .map(Value::from)
            .or_else(|_| u64::try_from(*value).map(Value::from))
            .unwrap_or_else(|_| json!({"$int": value.to_string()})),
        YamlValue::Float(value) if !value.is_finite() => {
            json!({"$float": YamlValue::Float(*value).scalar_text()})
        }
        YamlValue::Timestamp(text) => json!({"$time": text}),
        YamlValue::Sequence(items) => items.iter().map(encode).collect(),
        YamlValue::Mapping(mapping) => encode_mapping(mapping),
        plain => plain.to_json(),
    }
}

pub(crate) fn encode_mapping(mapping: &YamlMapping) -> Value {
    let texts: Option<Map<String, Value>> = mapping
        .iter()
        .map(|(key, value)| Some((key.as_str()?.to_owned(), encode(value))))
        .collect();
    texts.map_or_else(
        || {
            let pairs = mapping.iter();
            let pairs = pairs.map(|(key, value)| json!([encode(key), encode(value)]));
            json!({"$pairs": pairs.collect::<Vec<_>>()})
        },
        Value::Object,
    )
}

fn encode_result(result: &EvalResult) -> Value {
    json!({
        "task_type": result.task_type,
        "dataset_type": result.dataset_type,
        "dataset_name": result.dataset_name,
        "metric_type": result.metric_type,
        "metric_value": encode(&result.metric_value),
        "task_name": result.task_name,
        "dataset_config": result.dataset_config,
        "dataset_split": result.dataset_split,
        "dataset_revision": result.dataset_revision,
        "dataset_args": result.dataset_args.as_ref().map(encode),
        "metric_name": result.metric_name,
        "metric_config": result.metric_config,
        "metric_args": result.metric_args.as_ref().map(encode),
        "verified": result.verified,
        "verify_token": result.verify_token,
        "source_name": result.source_name,
        "source_url": result.source_url,
    })
}

/// Cards that Python reads and this refuses, and how.
const REFUSED: [(&str, &str); 3] = [
    ("set", "the tag \"tag:yaml.org,2002:set\" is not supported"),
    (
        "binary",
        "the tag \"tag:yaml.org,2002:binary\" is not supported",
    ),
    (
        "ordered map",
        "the tag \"tag:yaml.org,2002:omap\" is not supported",
    ),
];

/// Cards that Python's yaml refuses although YAML 1.1 and 1.2 allow them.
const ACCEPTED: [&str; 1] = ["tabs"];

/// Cards whose data differs, and in what.
const READ_OTHERWISE: [(&str, &str); 3] = [
    ("norwegian", "`no` is a language, as the Hub reads it"),
    (
        "model name and index",
        "Python loses the name that is not the index's",
    ),
    (
        "evaluation of one dataset twice",
        "Python joins the two results",
    ),
];

/// Cards of which Python writes something else, and what.
const WRITTEN_OTHERWISE: [(&str, &str); 8] = [
    ("cr", "ends of lines after which it finds no front matter"),
    ("whole numbers", "0o17 and 08, numbers to the Hub"),
    ("fractions", "1e3, a number to the Hub"),
    ("quoted words", "1e3, a number to the Hub"),
    ("hashes", "5e10234, a number to the Hub"),
    ("unicode", "U+2028, a line break to some readers"),
    ("control characters", "U+0085, a line break to some readers"),
    ("anchors", "anchors and aliases"),
];

#[test]
fn cards_are_read_and_written_as_python_does() {
    let golden: Value = serde_json::from_str(include_str!("cards.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 100, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let (name, card) = (
            case["name"].as_str().unwrap(),
            case["card"].as_str().unwrap(),
        );
        let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
        match ModelCard::parse(card.as_bytes()) {
            Err(error) => {
                let expected = refused.is_some_and(|(_, why)| error.to_string().contains(why));
                if case.get("error").is_none() && !expected {
                    wrong.push(format!("{name}: refused: {error}"));
                }
            }
            Ok(_) if ACCEPTED.contains(&name) => {}
            Ok(_) if case.get("error").is_some() || refused.is_some() => {
                wrong.push(format!("{name}: not refused, Python: {}", case["error"]));
            }
            Ok(parsed) => {
                let data = encode_mapping(&parsed.data.to_mapping());
                let read_otherwise = READ_OTHERWISE.iter().any(|(other, _)| *other == name);
                if (data == case["data"]) == read_otherwise {
                    wrong.push(format!("{name}: data\n  {data}\n  {}", case["data"]));
                }
                if parsed.text != case["text"].as_str().unwrap() {
                    wrong.push(format!("{name}: text {:?}", parsed.text));
                }
                let results = parsed.data.eval_results.as_ref();
                let results: Option<Value> =
                    results.map(|results| results.iter().map(encode_result).collect());
                if results.unwrap_or_default() != case["results"] {
                    wrong.push(format!("{name}: results"));
                }
                let written = parsed.to_string();
                let otherwise =
                    read_otherwise || WRITTEN_OTHERWISE.iter().any(|(other, _)| *other == name);
                if (written == case["written"].as_str().unwrap()) == otherwise {
                    wrong.push(format!(
                        "{name}: written\n  {written:?}\n  {}",
                        case["written"]
                    ));
                }
                let again = ModelCard::parse(written.as_bytes()).unwrap();
                if encode_mapping(&again.data.to_mapping()) != data || again.to_string() != written
                {
                    wrong.push(format!("{name}: not the same when read again"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_front_matter_is_refused_within_its_budget() {
    let front = |yaml: &str| format!("---\n{yaml}\n---\n");
    let lol = |name: &str, of: &str| format!("{name}: &{name} [{}]\n", [of; 10].join(", "));
    let mut laughs = lol("a", "lol");
    for (name, of) in [
        ("b", "*a"),
        ("c", "*b"),
        ("d", "*c"),
        ("e", "*d"),
        ("f", "*e"),
    ] {
        laughs += &lol(name, of);
    }
    let big = "x".repeat(500_000);
    let many = |item: &str, count: usize| vec![item; count].join(", ");
    for (name, yaml, message) in [
        ("laughs", laughs, "more than `max_nodes` = 100000 values"),
        (
            "long texts",
            format!("a: &a {big}\nb: [{}]", many("*a", 20)),
            "more than `max_expanded_bytes` = 4194304",
        ),
        (
            "aliases",
            format!("a: &a x\nb: [{}]", many("*a", 1001)),
            "more than `max_aliases` = 1000 aliases",
        ),
        (
            "values",
            format!("a: [{}]", many("1", 100_001)),
            "more than `max_nodes` = 100000",
        ),
        (
            "depth",
            format!("a: {}{}", "[".repeat(70), "]".repeat(70)),
            "",
        ),
        ("great depth", "[".repeat(1_000_000), ""),
        (
            "depth of blocks",
            (0..100).map(|n| " ".repeat(n) + "a:\n").collect(),
            "",
        ),
        ("depth of keys", "? ".repeat(400_000) + "x", ""),
        ("depth of lists", "- ".repeat(400_000) + "x", ""),
        (
            "length",
            format!("a: {}", "x".repeat(1 << 20)),
            "`max_front_matter_bytes` is 1048576",
        ),
        ("alias in itself", "a: &a {b: *a}".into(), "line 2"),
        ("merge of itself", "a: &a {<<: *a}".into(), "line 2"),
        (
            "merge of laughs",
            format!("{}z: {{<<: [{}]}}", "a: &a {k: v}\n", many("*a", 1001)),
            "max_aliases",
        ),
        ("surrogate", "a: \"\\ud800\"".into(), "line 2"),
        (
            "digits",
            format!("a: {}", "1".repeat(500_000)),
            "1\"…: the number is too large",
        ),
        (
            "long tag",
            format!("a: !{} x", "t".repeat(500_000)),
            "t\"… is not supported",
        ),
        (
            "tag of python",
            "a: !!python/name:os.system x".into(),
            "line 2: the tag",
        ),
        ("directive", "%TAG ! tag:x,2024:\na: 1".into(), "line 2"),
    ] {
        let error = ModelCard::parse(front(&yaml).as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{name}: {error}");
        assert!(error.len() < 1000, "{name}: {} bytes", error.len());
    }
    let mut long = front("a: 1").into_bytes();
    long.resize((16 << 20) + 1, b'x');
    let error = ModelCard::parse(&long).unwrap_err().to_string();
    assert_eq!(
        error,
        "the card's file has 16777217 bytes, and `max_card_bytes` is 16777216"
    );
    let error = ModelCard::parse(b"---\na: \xff\n---\n").unwrap_err();
    assert_eq!(error.to_string(), "the card is not UTF-8 at byte 7");
}

#[test]
fn what_is_wrong_is_said_with_its_line_in_the_file() {
    for (card, message) in [
        ("\n\n---\na: 1\nb: [x\n---\n", "line 5: unclosed bracket"),
        (
            "---\r\na: 1\r\nb: 2024-02-31\r\n---\r\n",
            "line 3: \"2024-02-31\": there is no such day",
        ),
        (
            "---\na: 1\nb: x\u{1}\n---\n",
            "line 3: it has the character U+0001",
        ),
        (
            "---\n- a\n---\n",
            "front matter is a list, and a mapping (`key: value` on each line) was expected",
        ),
        (
            "---\n1: a\n---\n",
            "has the key \"1\", which is a number, and text was expected",
        ),
    ] {
        let error = ModelCard::parse(card.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{card:?}: {error}");
    }
    let lenient = CardOptions::default().with_ignore_metadata_errors(true);
    let card = ModelCard::parse_with(b"---\n1: a\nlicense: mit\n---\n", &lenient).unwrap();
    assert_eq!(card.data.license.as_deref(), Some("mit"));
    assert_eq!(
        card.data.to_json(),
        *json!({"license": "mit", "1": "a"}).as_object().unwrap()
    );
}

/// No bytes make the parser panic, and what it reads once it reads again.
#[test]
fn damaged_cards_are_refused_or_read() {
    let golden: Value = serde_json::from_str(include_str!("cards.json")).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let pieces: Vec<&[u8]> = vec![
        b"---\n",
        b"\n",
        b": ",
        b"- ",
        b"'",
        b"\"",
        b"[",
        b"]",
        b"{",
        b"}",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!int ",
        b"\t",
        b"|\n",
        b">-\n",
        b"#",
        b"\xff",
        b"\xc3",
        b"\0",
        b"\xe2\x80\xa8",
        b"\r",
        b"? ",
        b"\\",
        b"  ",
        b"~",
        b"=",
    ];
    let mut read = 0;
    for case in golden["cases"].as_array().unwrap() {
        let card = case["card"].as_str().unwrap().as_bytes();
        for _ in 0..20 {
            let mut damaged = card.to_vec();
            for _ in 0..=random(3) {
                let at = random(damaged.len() + 1);
                if random(2) == 0 {
                    damaged.splice(at..at, pieces[random(pieces.len())].iter().copied());
                } else {
                    let end = (at + random(4)).min(damaged.len());
                    damaged.drain(at..end);
                }
            }
            if let Ok(card) = ModelCard::parse(&damaged) {
                read += 1;
                let written = card.to_string();
                let again = ModelCard::parse(written.as_bytes()).unwrap();
                assert_eq!(
                    again.to_string(),
                    written,
                    "{:?}",
                    String::from_utf8_lossy(&damaged)
                );
            }
        }
    }
    assert!(read > 500, "{read}");
}
