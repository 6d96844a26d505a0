//! What the Hub says about models: descriptions, references, cards, lineage, searches, and weights that are not downloaded.

use crate::net_support::{client, main, model, temporary};
use hfcore_hub::card::{BaseModelRelation, CardError, ModelCard};
use hfcore_hub::{
    Gated, Hub, HubError, ModelSearch, ModelSort, RelPath, RemoteOptions, Repo, RepoId, Token,
};
use hfcore_hub_stand_in::{Fault, Role, StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Place {
    stand_in: StandIn,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            stand_in: StandIn::builder().lfs_threshold(2000).page_size(3).start(),
            folder: temporary(),
        }
    }

    fn hub(&self) -> Hub {
        client(&self.stand_in.endpoint(), self.folder.path())
            .build()
            .unwrap()
    }

    /// Method and address of what was asked for, in order.
    fn asked(&self) -> Vec<String> {
        let requests = self.stand_in.requests();
        let lines = requests.iter().map(|request| {
            let query = if request.query.is_empty() { "" } else { "?" };
            format!(
                "{} {}{query}{}",
                request.method, request.path, request.query
            )
        });
        lines.collect()
    }
}

fn id(id: &str) -> RepoId {
    RepoId::parse(id).unwrap()
}

/// A safetensors file of zeros.
pub(crate) fn safetensors(tensors: &[(&str, &str, &[usize])]) -> Vec<u8> {
    padded_safetensors(tensors, 0)
}

/// The same with so many bytes of metadata in its header.
pub(crate) fn padded_safetensors(tensors: &[(&str, &str, &[usize])], padding: usize) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    if padding > 0 {
        header.insert("__metadata__".into(), json!({"x": "y".repeat(padding)}));
    }
    let mut end = 0;
    for (name, dtype, shape) in tensors {
        let width = match *dtype {
            "F32" => 4,
            "BF16" => 2,
            _ => 1,
        };
        let begin = end;
        end += shape.iter().product::<usize>() * width;
        header.insert(
            (*name).into(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + end, 0);
    file
}

const CARD: &str = "---\nlanguage: en\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation\n\
                    base_model: org/base\nbase_model_relation: finetune\ntags: [a]\n---\n# Name\n";

#[test]
fn a_model_is_described() {
    let place = Place::new();
    let weights = safetensors(&[("a", "F32", &[10, 100]), ("b", "BF16", &[7])]);
    let size = weights.len() as u64;
    let commit = place
        .stand_in
        .model("org/name")
        .file("README.md", CARD)
        .file(
            "config.json",
            r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#,
        )
        .file("model.safetensors", weights)
        .gated_automatically(&[])
        .info("likes", 12)
        .info("gguf", json!({"total": 1}))
        .create();
    let info = place.hub().model_info(&id("org/name"), &main()).unwrap();
    assert_eq!(info.sha.unwrap().as_str(), commit);
    assert_eq!(info.author.as_deref(), Some("org"));
    assert_eq!(
        (info.gated, info.private, info.disabled),
        (Gated::Auto, false, false)
    );
    assert_eq!((info.likes, info.downloads), (Some(12), Some(0)));
    assert_eq!(info.pipeline_tag.as_deref(), Some("text-generation"));
    assert!(info.created_at.is_some() && info.last_modified.is_some());
    let counts = info.safetensors.unwrap();
    assert_eq!(counts.total, 1007);
    assert_eq!(
        counts.by_dtype,
        [("BF16".to_owned(), 7), ("F32".to_owned(), 1000)]
    );
    let card = info.card_data.unwrap();
    assert_eq!(card.license.as_deref(), Some("mit"));
    assert_eq!(
        card.base_model_relation(),
        Some(BaseModelRelation::Finetune)
    );
    assert_eq!(info.config.unwrap()["model_type"], "llama");
    let file = &info.files[2];
    assert_eq!(
        (file.name.as_str(), file.size),
        ("model.safetensors", Some(size))
    );
    assert!(file.sha256.is_some());
    assert_eq!(
        place.asked(),
        ["GET /api/models/org/name/revision/main?blobs=true"]
    );
}

#[test]
fn a_description_that_names_no_repository_or_commit_is_refused() {
    let place = Place::new();
    place.stand_in.model("org/name").file("a", "b").create();
    for reply in [
        json!({"id": "org/name", "sha": "../../../etc/passwd"}),
        json!({"id": "../x"}),
        json!({}),
    ] {
        place
            .stand_in
            .fault(Fault::on("/api/models/org/name").once().json(reply.clone()));
        let error = place
            .hub()
            .model_info(&id("org/name"), &main())
            .unwrap_err();
        assert!(
            matches!(error, HubError::BadReply { .. }),
            "{reply}: {error}"
        );
    }
    let error = place
        .hub()
        .model_info(&id("org/other"), &main())
        .unwrap_err();
    assert!(
        matches!(error, HubError::RepositoryNotFound { .. }),
        "{error}"
    );
}

#[test]
fn branches_tags_and_pull_requests_are_listed() {
    let place = Place::new();
    let first = place.stand_in.model("org/name").file("a", "1").create();
    let second = place
        .stand_in
        .edit("org/name", "main", &[("a", Some(b"2"))]);
    place.stand_in.world(|world| {
        world.point("org/name", "dev", &first);
        world.point("org/name", "tags/v1.0", &first);
        world.point("org/name", "refs/pr/1", &second);
    });
    let refs = place.hub().refs(&model()).unwrap();
    let names = |refs: &[hfcore_hub::GitRef]| -> Vec<String> {
        let refs = refs.iter();
        refs.map(|one| format!("{} {} {}", one.name, one.reference, one.commit))
            .collect()
    };
    assert_eq!(
        names(&refs.branches),
        [
            format!("dev refs/heads/dev {first}"),
            format!("main refs/heads/main {second}")
        ]
    );
    assert_eq!(names(&refs.tags), [format!("v1.0 refs/tags/v1.0 {first}")]);
    assert_eq!(
        names(&refs.pull_requests),
        [format!("1 refs/pr/1 {second}")]
    );
    assert!(refs.converts.is_empty());
}

#[test]
fn a_card_is_read_from_the_hub_and_then_from_the_cache() {
    let place = Place::new();
    place
        .stand_in
        .model("org/name")
        .file("README.md", CARD)
        .create();
    let hub = place.hub();
    let card = hub.model_card(&id("org/name"), &main()).unwrap();
    assert_eq!(card.data.license.as_deref(), Some("mit"));
    assert_eq!(card.text, "# Name\n");
    let offline = client(&place.stand_in.endpoint(), place.folder.path())
        .offline(true)
        .build()
        .unwrap();
    assert_eq!(offline.model_card(&id("org/name"), &main()).unwrap(), card);

    place.stand_in.model("org/bare").file("a", "b").create();
    let error = hub.model_card(&id("org/bare"), &main()).unwrap_err();
    assert!(matches!(error, HubError::EntryNotFound { .. }), "{error}");
    place
        .stand_in
        .model("org/broken")
        .file("README.md", "---\na: [1\n---\n")
        .create();
    let error = hub.model_card(&id("org/broken"), &main()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the card's front matter is refused at line 2: unclosed bracket '['"
    );
    assert!(matches!(
        error,
        HubError::Card(CardError::Yaml { line: 2, .. })
    ));
}

#[test]
fn the_hub_may_be_asked_about_a_card_and_gets_no_token_for_it() {
    let place = Place::new();
    let hub = client(&place.stand_in.endpoint(), place.folder.path())
        .token(Token::parse("hf_secret").unwrap())
        .build()
        .unwrap();
    let card = ModelCard::parse(CARD.as_bytes()).unwrap();
    hub.validate_card(&card).unwrap();
    let requests = place.stand_in.requests();
    assert_eq!(requests[0].path, "/api/validate-yaml");
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(requests[0].header("accept"), Some("text/plain"));
    assert_eq!(
        requests[0].json().unwrap(),
        json!({"repoType": "model", "content": card.to_string()})
    );
    place.stand_in.fault(Fault::on("validate-yaml").reply(
        400,
        "text/plain",
        "\"license\" must be one of [mit]",
    ));
    let error = hub.validate_card(&card).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Hub refuses the card: \"license\" must be one of [mit]"
    );
}

#[test]
fn lineage_is_followed_upwards_without_loops() {
    let place = Place::new();
    let model = |id: &str, front: &str| {
        let card = format!("---\n{front}\n---\n");
        place.stand_in.model(id).file("README.md", card).create();
    };
    model(
        "org/quant",
        "base_model: org/tuned\nbase_model_relation: quantized",
    );
    model(
        "org/tuned",
        "base_model: [org/a, org/b, ./local]\nbase_model_relation: merge",
    );
    model("org/a", "base_model: org/root");
    model("org/b", "base_model: org/gone");
    model("org/root", "base_model: org/quant");
    let hub = place.hub();
    let names = |depth| -> Vec<String> {
        let ancestors = hub.lineage(&id("org/quant"), &main(), depth).unwrap();
        let ancestors = ancestors.iter().map(|one| {
            let relation = one.relation.map_or("-", BaseModelRelation::as_str);
            let unknown = if one.unknown.is_some() { " ?" } else { "" };
            format!("{} {} {} {relation}{unknown}", one.depth, one.child, one.id)
        });
        ancestors.collect()
    };
    assert_eq!(
        names(9),
        [
            "1 org/quant org/tuned quantized",
            "2 org/tuned org/a merge",
            "2 org/tuned org/b merge",
            "3 org/a org/root -",
            "3 org/b org/gone - ?",
        ]
    );
    assert_eq!(names(2).len(), 3);
    assert_eq!(names(0), [""; 0]);
    place
        .stand_in
        .fault(Fault::on("/api/models/org/a").status(400));
    assert!(hub.lineage(&id("org/quant"), &main(), 9).is_err());
}

fn many_models(place: &Place) {
    for n in 0..8 {
        let language = if n % 2 == 0 { "en" } else { "fr" };
        let card =
            format!("---\nlanguage: {language}\nlicense: mit\npipeline_tag: fill-mask\n---\n");
        place
            .stand_in
            .model(&format!("org/model-{n}"))
            .file("README.md", card)
            .info("downloads", n)
            .create();
    }
    place
        .stand_in
        .model("other/model-9")
        .file("a", "b")
        .create();
}

#[test]
fn a_search_asks_for_pages_as_they_are_used() {
    let place = Place::new();
    many_models(&place);
    let hub = place.hub();
    let search = ModelSearch::new()
        .author("org")
        .task("fill-mask")
        .sort(ModelSort::Downloads);
    let mut found = hub.search_models(&search).unwrap();
    assert!(place.asked().is_empty());
    let first: Vec<String> = found
        .by_ref()
        .take(3)
        .map(|model| model.unwrap().id.to_string())
        .collect();
    assert_eq!(first, ["org/model-7", "org/model-6", "org/model-5"]);
    assert_eq!(
        place.asked(),
        ["GET /api/models?author=org&pipeline_tag=fill-mask&sort=downloads"]
    );
    assert_eq!(found.map(Result::unwrap).count(), 5);
    assert_eq!(place.asked().len(), 3);

    let english = ModelSearch::new()
        .language("en")
        .license("mit")
        .text("MODEL");
    let found = hub.search_models(&english).unwrap();
    assert_eq!(found.map(Result::unwrap).count(), 4);
    place.stand_in.clear_requests();
    let found = hub.search_models(&search.limit(2)).unwrap();
    assert_eq!(found.map(Result::unwrap).count(), 2);
    assert_eq!(place.asked().len(), 1);
}

#[test]
fn a_search_ends_with_its_first_error() {
    let place = Place::new();
    many_models(&place);
    let hub = place.hub();
    place.stand_in.fault(
        Fault::on("/api/models")
            .after(1)
            .json(json!([{"id": "a/b"}, {"id": "../x"}, {"id": "c/d"}])),
    );
    let found: Vec<_> = hub.search_models(&ModelSearch::new()).unwrap().collect();
    assert_eq!(found.len(), 5);
    assert!(found[..4].iter().all(Result::is_ok));
    let error = found[4].as_ref().unwrap_err().to_string();
    assert!(
        error.contains("/api/models was refused: \"../x\" is not a repository"),
        "{error}"
    );
    place.stand_in.clear_faults();
    let elsewhere = "<https://example.org/api/models?cursor=x>; rel=\"next\"";
    place
        .stand_in
        .fault(Fault::on("/api/models").header("Link", elsewhere));
    let found: Vec<_> = hub.search_models(&ModelSearch::new()).unwrap().collect();
    assert!(found.last().unwrap().is_err(), "{found:?}");
}

/// `model-1.safetensors` has a and c, `model-2.safetensors` has b; the first header is longer than what is read first.
fn shards(place: &Place, index: &Value) -> String {
    place
        .stand_in
        .model("org/name")
        .file("config.json", "{}")
        .file("tokenizer.json", "{ }")
        .file("model.safetensors.index.json", index.to_string())
        .file(
            "model-1.safetensors",
            padded_safetensors(&[("a", "F32", &[3, 100]), ("c", "BF16", &[])], 150_000),
        )
        .file("model-2.safetensors", safetensors(&[("b", "F32", &[0, 5])]))
        .file("pytorch_model.bin", "pickle")
        .create()
}

#[test]
fn headers_say_what_the_weights_are() {
    let place = Place::new();
    let index = json!({"metadata": {"total_size": 1}, "weight_map": {
        "a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors",
    }});
    let commit = shards(&place, &index);
    let hub = place.hub();
    let options = RemoteOptions::default();
    let weights = hub.remote_weights(&model(), &main(), &options).unwrap();
    assert_eq!(weights.commit.as_str(), commit);
    let files: Vec<_> = weights
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.tensors))
        .collect();
    assert_eq!(
        files,
        [("model-1.safetensors", 2), ("model-2.safetensors", 1)]
    );
    let tensors: Vec<_> = weights
        .tensors
        .iter()
        .map(|tensor| {
            (
                tensor.name.as_str(),
                tensor.dtype.as_str(),
                tensor.shape.as_slice(),
                tensor.file,
            )
        })
        .collect();
    assert_eq!(
        tensors,
        [
            ("a", "F32", &[3, 100][..], 0),
            ("b", "F32", &[0, 5][..], 1),
            ("c", "BF16", &[][..], 0)
        ]
    );
    assert_eq!(
        weights.parameters_by_dtype(),
        [("BF16".to_owned(), 1), ("F32".to_owned(), 300)]
    );
    assert_eq!(weights.parameters(), 301);
    assert_eq!(weights.tensor_bytes(), 1202);
    let index_bytes = index.to_string().len() as u64;
    assert_eq!(weights.other_bytes, 2 + 3 + index_bytes);
    let sizes: u64 = weights.files.iter().map(|file| file.size).sum();
    assert_eq!(weights.file_bytes(), sizes);
    assert_eq!(weights.download_bytes(), sizes + weights.other_bytes);
    let ranges: Vec<_> = place
        .stand_in
        .requests()
        .iter()
        .filter(|request| request.path.contains("model-1"))
        .filter_map(|request| request.header("range").map(str::to_owned))
        .collect();
    assert!(ranges.contains(&"bytes=0-99999".to_owned()), "{ranges:?}");
    assert!(place.stand_in.served("model-1.safetensors") < 160_000);
    assert_eq!(place.stand_in.served("pytorch_model.bin"), 0);
}

#[test]
fn one_file_is_looked_for_first_and_a_folder_and_a_variant_may_be_named() {
    let place = Place::new();
    place
        .stand_in
        .model("org/name")
        .file("model.safetensors", safetensors(&[("a", "F32", &[2])]))
        .file("model.safetensors.index.json", "not read")
        .file(
            "unet/model.fp16.safetensors",
            safetensors(&[("b", "BF16", &[5])]),
        )
        .file("unet/config.json", "{}")
        .create();
    let hub = place.hub();
    let options = RemoteOptions::default();
    let weights = hub.remote_weights(&model(), &main(), &options).unwrap();
    assert_eq!((weights.parameters(), weights.files.len()), (2, 1));
    let options = options
        .with_subfolder(RelPath::parse("unet").unwrap())
        .with_variant("fp16");
    let weights = hub.remote_weights(&model(), &main(), &options).unwrap();
    assert_eq!(
        weights.files[0].path.as_str(),
        "unet/model.fp16.safetensors"
    );
    assert_eq!((weights.parameters(), weights.other_bytes), (5, 2));
}

#[test]
fn headers_and_indices_that_cannot_be_are_refused() {
    let good = || safetensors(&[("a", "F32", &[2])]);
    let mut cut = good();
    cut.truncate(cut.len() - 1);
    let mut huge = good();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut beyond = good();
    beyond[..8].copy_from_slice(&5000_u64.to_le_bytes());
    let mut brace = good();
    brace[8] = b'x';
    for (bytes, message) in [
        (
            cut,
            "model.safetensors of org/name is refused: the tensors need 8 bytes of data, the file has 7 (truncated?)",
        ),
        (huge, "exceeds `max_header_bytes` = 100000000"),
        (beyond, "header length 5000 reaches beyond the file"),
        (brace, "the header starts with byte 0x78"),
        (vec![1, 2, 3], "3 bytes are too few for a safetensors file"),
        (vec![], "it is empty"),
    ] {
        let place = Place::new();
        place
            .stand_in
            .model("org/name")
            .file("model.safetensors", bytes)
            .create();
        let options = RemoteOptions::default();
        let error = place
            .hub()
            .remote_weights(&model(), &main(), &options)
            .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    for (map, message) in [
        (
            json!({"a": "model-1.safetensors", "b": "model-1.safetensors"}),
            "1 of its tensors are not in the shard that it names: \"b\" (not in model-1.safetensors)",
        ),
        (
            json!({"a": "model-2.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}),
            "\"a\" (in model-1.safetensors, not model-2.safetensors)",
        ),
        (
            json!({"a": "../other/resolve/main/x.safetensors"}),
            "is no plain file name",
        ),
        (
            json!({"a": "model-3.safetensors"}),
            "model-3.safetensors of org/name is refused: the index names it, and the repository does not have it",
        ),
        (json!({}), "`weight_map` is empty"),
    ] {
        let place = Place::new();
        shards(&place, &json!({"weight_map": map}));
        let options = RemoteOptions::default();
        let error = place
            .hub()
            .remote_weights(&model(), &main(), &options)
            .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let place = Place::new();
    let map =
        json!({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"});
    shards(&place, &json!({"weight_map": map}));
    let mut limits = hfcore_hub::Limits::default();
    limits.max_header_bytes = 150_150;
    let options = RemoteOptions::default().with_limits(limits);
    let error = place
        .hub()
        .remote_weights(&model(), &main(), &options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("with it the headers have more than `max_header_bytes` = 150150 bytes"),
        "{error}"
    );
    let place = Place::new();
    place
        .stand_in
        .model("org/name")
        .file("pytorch_model.bin", "x")
        .file("a.txt", "x")
        .create();
    let error = place
        .hub()
        .remote_weights(&model(), &main(), &RemoteOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "org/name has no model.safetensors or model.safetensors.index.json at revision main; it has pytorch_model.bin"
    );
}

#[test]
fn a_gated_model_describes_itself_and_keeps_its_weights() {
    let place = Place::new();
    place.stand_in.account("ada", "hf_ada", Role::Write, &[]);
    place
        .stand_in
        .model("org/name")
        .file("model.safetensors", safetensors(&[("a", "F32", &[2])]))
        .gated(&[])
        .create();
    let hub = client(&place.stand_in.endpoint(), place.folder.path())
        .token(Token::parse("hf_ada").unwrap())
        .build()
        .unwrap();
    assert_eq!(
        hub.model_info(&id("org/name"), &main()).unwrap().gated,
        Gated::Manual
    );
    let repo = Repo::model("org/name").unwrap();
    let error = hub
        .remote_weights(&repo, &main(), &RemoteOptions::default())
        .unwrap_err();
    assert!(matches!(error, HubError::Gated { .. }), "{error}");
    assert!(place.stand_in.leaks().is_empty());
}
