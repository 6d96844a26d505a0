//! `from_pretrained` against a Hub: what it asks for, what it finds again without the network, and what it refuses.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

use hfcore::hub::{Environment, Hub, HubBuilder, HubError, LockFile, RelPath};
use hfcore::weights::{OpenOptions, SaveOptions, Weights, save_pretrained};
use hfcore::{
    AutoConfig, AutoModelForCausalLm, AutoTokenizer, Error, GenerationConfig, ModelDir, Pretrained,
    TextGenerationPipeline,
};
use hfcore_hub_stand_in::{Fault, StandIn};
use tempfile::TempDir;

/// The model that ships with the command line: a whole one, with a tokenizer.
fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../hfcore-cli/demo")
}

/// A Hub, and a cache of what came from it.
struct Place {
    stand_in: StandIn,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            stand_in: StandIn::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With the demo as `org/demo`, beside files that nobody needs.
    fn with_demo() -> (Self, String) {
        let place = Self::new();
        let commit = place
            .stand_in
            .model("org/demo")
            .folder(&demo())
            .unwrap()
            .file("README.md", "# A demo\n")
            .file("pytorch_model.bin", "a pickle")
            .file("onnx/model.onnx", "another format")
            .create();
        (place, commit)
    }

    fn builder(&self) -> HubBuilder {
        let environment =
            Environment::from_lookup(&|_| None, Some(self.folder.path().to_owned())).unwrap();
        HubBuilder::new(environment)
            .endpoint(&self.stand_in.endpoint())
            .cache(self.cache())
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn hub(&self) -> Hub {
        self.builder().build().unwrap()
    }

    fn source(&self, name: &str) -> Pretrained {
        Pretrained::hub_model(name).hub(self.hub())
    }

    /// Paths that were asked for since the last call.
    fn requests(&self) -> Vec<String> {
        let requests = self.stand_in.requests();
        self.stand_in.clear_requests();
        requests.into_iter().map(|request| request.path).collect()
    }
}

/// What the model says first, greedily.
fn story(source: Pretrained) -> String {
    let pipeline = TextGenerationPipeline::from_pretrained(source).unwrap();
    let config = GenerationConfig::default()
        .with_max_new_tokens(8)
        .with_do_sample(false);
    pipeline.generate("Once upon a time", &config).unwrap().text
}

#[test]
fn a_model_of_the_hub_is_the_model_of_the_folder() {
    let (place, commit) = Place::with_demo();
    let expected = story(Pretrained::folder(demo()));
    assert_eq!(story(place.source("org/demo")), expected);
    let requests = place.requests();
    for unneeded in ["README.md", "pytorch_model.bin", "onnx"] {
        let asked = requests.iter().find(|path| path.contains(unneeded));
        assert_eq!(asked, None, "only what loading reads is fetched");
    }

    let model = AutoModelForCausalLm::from_pretrained(place.source("org/demo")).unwrap();
    let origin = model.origin().unwrap();
    assert_eq!(origin.to_string(), format!("org/demo@{commit}"));
    assert_eq!(origin.revision.as_str(), "main");
    assert!(place.stand_in.leaks().is_empty());

    // What is in the cache is found again: by its commit without a question, and without any network.
    place.requests();
    assert_eq!(story(place.source(&format!("org/demo@{commit}"))), expected);
    assert_eq!(
        story(place.source("org/demo").local_files_only(true)),
        expected
    );
    let offline = place.builder().offline(true).build().unwrap();
    assert_eq!(
        story(Pretrained::hub_model("org/demo").hub(offline)),
        expected
    );
    assert_eq!(place.requests(), Vec::<String>::new());
}

#[test]
fn a_configuration_or_a_tokenizer_costs_no_weights() {
    let (place, _) = Place::with_demo();
    let config = AutoConfig::from_pretrained(place.source("org/demo")).unwrap();
    assert_eq!(config.model_type(), Some("llama"));
    let tokenizer = AutoTokenizer::from_pretrained(place.source("org/demo")).unwrap();
    assert_eq!(
        tokenizer.encode("Once", false).unwrap().ids,
        AutoTokenizer::load(demo())
            .unwrap()
            .encode("Once", false)
            .unwrap()
            .ids
    );
    assert_eq!(place.stand_in.served("model.safetensors"), 0);
    // And what is not there is an error that says so, without the network.
    let error =
        AutoModelForCausalLm::from_pretrained(place.source("org/demo").local_files_only(true))
            .unwrap_err();
    assert!(
        matches!(&error, Error::Hub(HubError::NotCached { path, .. }) if path == "model.safetensors"),
        "{}",
        error.chain()
    );
}

#[test]
fn shards_a_variant_and_a_subfolder() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::open(demo(), &OpenOptions::default()).unwrap();
    let tensors: Vec<_> = weights
        .names()
        .map(|name| (name.to_owned(), weights.get(name).unwrap()))
        .collect();
    let options = SaveOptions::default()
        .with_max_shard_size(4 << 20)
        .with_variant("v2");
    save_pretrained(folder.path(), tensors, &options).unwrap();
    let mut model = place.stand_in.model("org/parts");
    for from in [folder.path(), &demo()] {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "model.safetensors" {
                model = model.file(&format!("text/{name}"), fs::read(entry.path()).unwrap());
            }
        }
    }
    model = model.file("text/model.v2-00009-of-00009.safetensors", "of no index");
    model.file("config.json", "{}").create();

    let source = place.source("org/parts").subfolder("text").variant("v2");
    assert_eq!(story(source.clone()), story(Pretrained::folder(demo())));
    assert!(
        place.stand_in.served("00002-of-") > 0,
        "there are several shards"
    );
    assert_eq!(place.stand_in.served("00009-of-00009"), 0);
    place.requests();
    story(source.clone().local_files_only(true));

    // A shard that is gone from the cache is missed before anything is opened.
    let dir = source.clone().fetch().unwrap();
    let shard = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("00002-of-"))
        .unwrap();
    fs::remove_file(&shard).unwrap();
    let error = source.clone().local_files_only(true).fetch().unwrap_err();
    assert!(error.chain().contains("00002-of-"), "{}", error.chain());
    source.fetch().unwrap();
    assert!(shard.exists());
}

#[test]
fn pickles_are_never_fetched() {
    let place = Place::new();
    place
        .stand_in
        .model("org/old")
        .file("config.json", fs::read(demo().join("config.json")).unwrap())
        .file("pytorch_model.bin", "a pickle")
        .create();
    let error = place.source("org/old").fetch().unwrap_err().chain();
    assert!(
        error.contains("has no model.safetensors; it has pytorch_model.bin"),
        "{error}"
    );
    assert!(error.contains("refs/pr/N"), "{error}");
    assert_eq!(place.stand_in.served("pytorch_model.bin"), 0);
}

#[test]
fn a_lock_file_holds_a_model_still() {
    let (place, commit) = Place::with_demo();
    let source = place.source("org/demo");
    let dir = source.fetch().unwrap();
    let lock_path = place.folder.path().join("hfcore.lock");
    let mut lock = LockFile::new(&lock_path);
    lock.insert(dir.pin().unwrap()).unwrap();
    lock.write().unwrap();

    // The branch moves; the locked model does not.
    place.stand_in.edit(
        "org/demo",
        "main",
        &[("generation_config.json", Some(b"{}"))],
    );
    let locked = source.clone().lock_file(&lock_path);
    assert_eq!(
        locked.fetch().unwrap().origin().unwrap().commit.as_str(),
        commit
    );
    assert_ne!(
        source.fetch().unwrap().origin().unwrap().commit.as_str(),
        commit
    );
    // Without the network neither.
    place.requests();
    locked.clone().local_files_only(true).fetch().unwrap();
    assert_eq!(place.requests(), Vec::<String>::new());

    // Other bytes under the same name are refused.
    let text = fs::read_to_string(&lock_path).unwrap();
    let config = &lock.repos().next().unwrap().files[&RelPath::parse("config.json").unwrap()];
    let digits = config.hash.hex();
    fs::write(&lock_path, text.replace(digits, &"0".repeat(digits.len()))).unwrap();
    let error = locked.fetch().unwrap_err().chain();
    assert!(error.contains("config.json"), "{error}");

    // And a model that it does not know.
    place
        .stand_in
        .model("org/other")
        .folder(&demo())
        .unwrap()
        .create();
    let error = place
        .source("org/other")
        .lock_file(&lock_path)
        .fetch()
        .unwrap_err()
        .chain();
    assert!(error.contains("org/other"), "{error}");
    assert_eq!(place.stand_in.served("org/other"), 0);
}

#[test]
fn a_folder_for_a_machine_without_a_network() {
    let (place, commit) = Place::with_demo();
    let folder = place.folder.path().join("air-gapped");
    let source = place.source("org/demo").download_to(&folder);
    let plan = source.plan().unwrap();
    assert_eq!(plan.commit.as_str(), commit);
    let size = fs::metadata(demo().join("model.safetensors"))
        .unwrap()
        .len();
    assert!(plan.bytes() > size, "{} bytes", plan.bytes());
    assert!(!folder.exists(), "a plan changes nothing");

    let dir = source.fetch().unwrap();
    assert_eq!(dir.path(), folder);
    assert_eq!(
        story(Pretrained::folder(&folder)),
        story(Pretrained::folder(demo()))
    );
    assert!(!folder.join("pytorch_model.bin").exists());
    assert_eq!(source.plan().unwrap().bytes(), 0);
    // What the Hub has said of a commit is known without it; of another one nothing is.
    place.source("org/demo").skip_weights(true).fetch().unwrap();
    place.requests();
    let known = place
        .source("org/demo")
        .local_files_only(true)
        .revision(&commit);
    assert_eq!(
        known.plan().unwrap().bytes(),
        size,
        "the weights are missing"
    );
    let unknown = place
        .source("org/demo")
        .local_files_only(true)
        .revision("0".repeat(40));
    let error = unknown.plan().unwrap_err().chain();
    assert!(error.contains("local_files_only"), "{error}");
    assert_eq!(place.requests(), Vec::<String>::new());
    let error = source.local_files_only(true).fetch().unwrap_err().chain();
    assert!(
        error.contains("a folder to download to cannot be used"),
        "{error}"
    );
    let error = Pretrained::folder(&folder).plan().unwrap_err().chain();
    assert!(error.contains("there is nothing to download"), "{error}");
}

#[test]
fn a_hub_that_cannot_be_reached_is_done_without() {
    let (place, _) = Place::with_demo();
    place.source("org/demo").fetch().unwrap();
    let nowhere = place
        .builder()
        .endpoint("http://127.0.0.1:9")
        .backoff(
            std::time::Duration::from_millis(1),
            std::time::Duration::from_millis(1),
            std::time::Duration::from_millis(1),
        )
        .build()
        .unwrap();
    Pretrained::hub_model("org/demo")
        .hub(nowhere.clone())
        .fetch()
        .unwrap();
    // Nor does it matter that nobody kept the list of files, as older versions of Python do not.
    fs::remove_dir_all(place.cache().join("models--org--demo/trees")).unwrap();
    let cached = Pretrained::hub_model("org/demo").hub(nowhere.clone());
    cached.fetch().unwrap();
    let error = cached.force_download(true).fetch().unwrap_err();
    assert!(error.chain().contains("127.0.0.1"), "{}", error.chain());
    let error = Pretrained::hub_model("org/other")
        .hub(nowhere)
        .fetch()
        .unwrap_err();
    assert!(error.chain().contains("127.0.0.1"), "{}", error.chain());
}

#[test]
fn a_file_is_fetched_again_where_that_is_asked_for() {
    let (place, _) = Place::with_demo();
    let source = place.source("org/demo").skip_weights(true);
    source.fetch().unwrap();
    let once = place.stand_in.served("tokenizer.json");
    source.fetch().unwrap();
    assert_eq!(place.stand_in.served("tokenizer.json"), once);
    source.force_download(true).fetch().unwrap();
    assert_eq!(place.stand_in.served("tokenizer.json"), 2 * once);
}

#[test]
fn errors_of_the_hub_come_with_what_to_do() {
    let (place, _) = Place::with_demo();
    place
        .stand_in
        .model("org/closed")
        .folder(&demo())
        .unwrap()
        .gated(&[])
        .create();
    let error = place.source("org/closed").fetch().unwrap_err().chain();
    assert!(error.contains("org/closed is gated: visit"), "{error}");
    let error = place.source("org/demi").fetch().unwrap_err().chain();
    assert!(error.contains("org/demi is not on"), "{error}");
    let error = place.source("org/demo@mian").fetch().unwrap_err().chain();
    assert!(
        error.contains("has no revision mian") && error.contains("main"),
        "{error}"
    );
    place
        .stand_in
        .fault(Fault::on("model.safetensors").method("GET").corrupt(1000));
    let error = place.source("org/demo").fetch().unwrap_err().chain();
    assert!(
        error.contains("model.safetensors of org/demo is damaged"),
        "{error}"
    );
    place.stand_in.clear_faults();
    place.source("org/demo").fetch().unwrap();
}

#[test]
fn what_is_no_name_of_the_hub_is_never_asked_for() {
    let place = Place::new();
    for path in [
        "./missing",
        "/missing",
        "~/missing",
        "../a/b",
        "a/b/c",
        "a\\b",
        "C:\\a",
        "missing/",
    ] {
        let error = Pretrained::new(path).hub(place.hub()).fetch().unwrap_err();
        assert!(
            matches!(error, Error::NoFolder(_)),
            "{path}: {}",
            error.chain()
        );
    }
    let error = Pretrained::new("org/na--me")
        .hub(place.hub())
        .fetch()
        .unwrap_err();
    assert_eq!(
        error.chain(),
        "\"org/na--me\" is not a folder, and cannot be a model of the Hub: \"org/na--me\" is not a repository of the Hub \
        (`org/name`): it cannot have `--` or `..`"
    );
    assert_eq!(place.requests(), Vec::<String>::new());
}

#[test]
fn what_a_folder_cannot_have_is_refused() {
    let error = Pretrained::new(demo())
        .revision("main")
        .fetch()
        .unwrap_err();
    assert!(
        error.chain().contains("a revision cannot be used"),
        "{}",
        error.chain()
    );
    let error = Pretrained::new(demo())
        .lock_file("hfcore.lock")
        .fetch()
        .unwrap_err();
    assert!(
        error.chain().contains("a lock file cannot be used"),
        "{}",
        error.chain()
    );
    let error = Pretrained::new(demo())
        .download_to("there")
        .fetch()
        .unwrap_err();
    assert!(
        error
            .chain()
            .contains("a folder to download to cannot be used"),
        "{}",
        error.chain()
    );
    let dir = ModelDir::from_pretrained(demo()).unwrap();
    assert_eq!(dir.origin(), None);
}
