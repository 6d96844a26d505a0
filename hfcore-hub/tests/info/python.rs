//! Side by side with Python's `huggingface_hub`, where there is one: cards that are read back, and what the same Hub says.

use std::path::Path;

use hfcore_hub::card::ModelCard;
use hfcore_hub::{Hub, ModelSearch, ModelSort, RemoteOptions, RepoId};
use hfcore_hub_stand_in::StandIn;
use serde_json::{Value, json};

use crate::cards::encode_mapping;
use crate::hub::{padded_safetensors, safetensors};
use crate::net_support::{client, main, model, temporary};
use crate::python_process::{python, run};

/// What the script prints, as JSON.
fn ask(python: &str, endpoint: &str, folder: &Path, script: &str, input: &Value) -> Value {
    let file = folder.join("input.json");
    std::fs::write(&file, input.to_string()).unwrap();
    let input = ("INPUT", file.to_str().unwrap());
    let printed = run(python, endpoint, &folder.join("python"), &[input], script);
    serde_json::from_str(&printed).unwrap()
}

/// The data that Python finds in each card, in the notation of the golden data.
const READ_CARDS: &str = r#"
import datetime, json, math, os
import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

def encode(value):
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else {"$int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": yaml.dump(value).split("\n")[0]}
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat(" ")}
    if isinstance(value, datetime.date):
        return {"$time": value.isoformat()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if all(isinstance(key, str) for key in value):
        return {key: encode(item) for key, item in value.items()}
    return {"$pairs": [[encode(key), encode(item)] for key, item in value.items()]}

cards = json.load(open(os.environ["INPUT"]))
print(json.dumps([encode(yaml.safe_load(REGEX_YAML_BLOCK.search(card).group(2)) or {}) for card in cards]))
"#;

#[test]
fn python_reads_what_is_written_here() {
    let Some(python) = python() else {
        return;
    };
    let golden: Value = serde_json::from_str(include_str!("cards.json")).unwrap();
    let cards: Vec<ModelCard> = golden["cases"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|case| ModelCard::parse(case["card"].as_str().unwrap().as_bytes()).ok())
        .collect();
    assert!(cards.len() > 80);
    let written: Value = cards.iter().map(ToString::to_string).collect();
    let read = ask(
        python,
        "http://127.0.0.1:1",
        temporary().path(),
        READ_CARDS,
        &written,
    );
    for ((card, read), text) in cards
        .iter()
        .zip(read.as_array().unwrap())
        .zip(written.as_array().unwrap())
    {
        assert_eq!(&encode_mapping(&card.data.to_mapping()), read, "{text}");
    }
}

fn hub(stand_in: &StandIn, folder: &Path) -> Hub {
    client(&stand_in.endpoint(), folder).build().unwrap()
}

const WEIGHTS: &str = r#"
import json
from huggingface_hub import HfApi
found = HfApi(token=False).get_safetensors_metadata("org/name")
tensors = [
    [name, tensor.dtype, tensor.shape, tensor.data_offsets[1] - tensor.data_offsets[0], found.weight_map[name]]
    for file in found.files_metadata.values()
    for name, tensor in file.tensors.items()
]
print(json.dumps({"parameters": found.parameter_count, "tensors": sorted(tensors)}))
"#;

#[test]
fn python_finds_the_same_weights() {
    let Some(python) = python() else {
        return;
    };
    let first = padded_safetensors(&[("b", "F32", &[3, 4]), ("a", "BF16", &[7])], 120_000);
    let second = safetensors(&[("c", "F32", &[2, 2, 2])]);
    let index = json!({"weight_map": {"a": "x-1.safetensors", "b": "x-1.safetensors", "c": "x-2.safetensors"}});
    for sharded in [false, true] {
        let stand_in = StandIn::start();
        let model_builder = stand_in.model("org/name");
        if sharded {
            model_builder
                .file("x-1.safetensors", first.clone())
                .file("x-2.safetensors", second.clone())
                .file("model.safetensors.index.json", index.to_string())
                .create();
        } else {
            model_builder
                .file("model.safetensors", first.clone())
                .create();
        }
        let folder = temporary();
        let theirs = ask(
            python,
            &stand_in.endpoint(),
            folder.path(),
            WEIGHTS,
            &Value::Null,
        );
        let ours = hub(&stand_in, folder.path())
            .remote_weights(&model(), &main(), &RemoteOptions::default())
            .unwrap();
        let parameters: serde_json::Map<_, _> = ours
            .parameters_by_dtype()
            .into_iter()
            .map(|(dtype, count)| (dtype, count.into()))
            .collect();
        let tensors: Vec<Value> = ours
            .tensors
            .iter()
            .map(|tensor| {
                let file = ours.files[tensor.file].path.as_str();
                json!([
                    tensor.name,
                    tensor.dtype,
                    tensor.shape,
                    tensor.size_bytes,
                    file
                ])
            })
            .collect();
        assert_eq!(
            json!({"parameters": parameters, "tensors": tensors}),
            theirs
        );
    }
}

const DESCRIPTIONS: &str = r#"
import json
from huggingface_hub import HfApi
api = HfApi(token=False)
info = api.model_info("org/name", revision="main", files_metadata=True)
refs = api.list_repo_refs("org/name", include_pull_requests=True)
found = api.list_models(author="org", filter=["license:mit", "en"], pipeline_tag="fill-mask", search="NAME", sort="downloads", limit=4)
print(json.dumps({
    "info": [info.id, info.sha, info.author, info.private, info.gated, info.downloads, info.tags, info.pipeline_tag,
             info.library_name, info.card_data.license, info.card_data.base_model, info.used_storage,
             [[file.rfilename, file.size, file.blob_id, file.lfs.sha256 if file.lfs else None] for file in info.siblings]],
    "refs": [[ref.name, ref.ref, ref.target_commit] for ref in refs.branches + refs.tags + refs.pull_requests],
    "found": [[model.id, model.downloads, model.tags] for model in found],
}))
"#;

#[test]
fn python_is_told_the_same() {
    let Some(python) = python() else {
        return;
    };
    let stand_in = StandIn::builder().page_size(2).start();
    let card = "---\nlicense: mit\nlanguage: en\npipeline_tag: fill-mask\nlibrary_name: transformers\nbase_model: org/base\n---\n";
    let commit = stand_in
        .model("org/name")
        .file("README.md", card)
        .lfs("model.safetensors", safetensors(&[("a", "F32", &[2])]))
        .info("downloads", 5)
        .create();
    stand_in.world(|world| {
        world.point("org/name", "tags/v1", &commit);
        world.point("org/name", "refs/pr/7", &commit);
    });
    for n in 0..6 {
        stand_in
            .model(&format!("org/name-{n}"))
            .file("README.md", card)
            .info("downloads", n)
            .create();
    }
    let folder = temporary();
    let theirs = ask(
        python,
        &stand_in.endpoint(),
        folder.path(),
        DESCRIPTIONS,
        &Value::Null,
    );
    let asked_by_python: Vec<String> = stand_in
        .requests()
        .iter()
        .map(|request| format!("{}?{}", request.path, request.query))
        .collect();
    stand_in.clear_requests();

    let hub = hub(&stand_in, folder.path());
    let id = RepoId::parse("org/name").unwrap();
    let info = hub.model_info(&id, &main()).unwrap();
    let refs = hub.refs(&model()).unwrap();
    let search = ModelSearch::new()
        .author("org")
        .license("mit")
        .language("en")
        .task("fill-mask")
        .text("NAME")
        .sort(ModelSort::Downloads)
        .limit(4);
    let found = hub.search_models(&search).unwrap().map(|found| {
        let found = found.unwrap();
        json!([found.id.as_str(), found.downloads, found.tags])
    });
    let found: Vec<Value> = found.collect();
    let card = info.card_data.unwrap();
    let gated = info
        .gated
        .as_str()
        .map_or(json!(false), |gated| json!(gated));
    let files: Vec<Value> = info
        .files
        .iter()
        .map(|file| json!([file.name, file.size, file.oid, file.sha256]))
        .collect();
    let refs: Vec<Value> = [refs.branches, refs.tags, refs.pull_requests]
        .concat()
        .iter()
        .map(|one| json!([one.name, one.reference, one.commit.as_str()]))
        .collect();
    let ours = json!({
        "info": [info.id.as_str(), info.sha.unwrap().as_str(), info.author, info.private, gated, info.downloads,
                 info.tags, info.pipeline_tag, info.library_name, card.license, "org/base", info.used_storage, files],
        "refs": refs,
        "found": found,
    });
    assert_eq!(ours, theirs);
    assert_eq!(found_count(&ours), 4);
    let asked_here: Vec<String> = stand_in
        .requests()
        .iter()
        .map(|request| format!("{}?{}", request.path, request.query))
        .collect();
    assert_eq!(asked_here, asked_by_python);
}

fn found_count(answer: &Value) -> usize {
    answer["found"].as_array().unwrap().len()
}
