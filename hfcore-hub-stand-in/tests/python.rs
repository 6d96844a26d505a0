//! The measure of the stand-in: Python's `huggingface_hub`, unchanged, does with it all that it does with the Hub.
//!
//! Runs where a Python has it; `HFCORE_PYTHON` and `HFCORE_REQUIRE_PYTHON` are those of `hfcore-hub/tests/interop.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

#[path = "../../hfcore-hub/tests/common/python.rs"]
mod python;

use std::env;
use std::fs;
use std::path::PathBuf;

use hfcore_hub_stand_in::StandIn;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("stand-in-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CARD: &str = "---\nlicense: mit\npipeline_tag: text-generation\nlibrary_name: transformers\n\
                    tags:\n- a\nlanguage: [en, de]\n---\n# A model\n";

fn hub() -> StandIn {
    let hub = StandIn::builder().page_size(2).start();
    let header = br#"{"w":{"dtype":"F32","shape":[10,10],"data_offsets":[0,400]}}"#;
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header);
    weights.extend([7; 400]);
    hub.model("org/name")
        .file("README.md", CARD)
        .file(
            "config.json",
            r#"{"model_type": "llama", "architectures": ["X"]}"#,
        )
        .file("model.safetensors", weights)
        .file("sub/a b.txt", "text")
        .info("downloads", 5)
        .create();
    hub.model("team/other")
        .file("config.json", "{}")
        .info("downloads", 7)
        .create();
    hub.model("team/third")
        .file("config.json", "{}")
        .info("downloads", 6)
        .create();
    hub.model("bob/gated")
        .gated(&[])
        .file("config.json", "{}")
        .create();
    hub.repository("datasets/org/data")
        .file("train.csv", "a,b\n")
        .create();
    hub
}

fn run(hub: &StandIn, name: &str, script: &str) {
    let Some(python) = python::python() else {
        return;
    };
    let folder = Folder::new(name);
    let more = [("HF_TOKEN", StandIn::WRITE_TOKEN)];
    python::run(
        python,
        &hub.endpoint(),
        &folder.0.join("cache"),
        &more,
        script,
    );
    assert!(hub.leaks().is_empty());
}

#[test]
fn python_reads() {
    let script = "
import huggingface_hub as h, os
from huggingface_hub.errors import *
api = h.HfApi()
me = api.whoami()
assert me['name'] == 'alice' and me['auth']['accessToken']['role'] == 'write', me
assert open(h.hf_hub_download('org/name', 'sub/a b.txt')).read() == 'text'
path = h.hf_hub_download('org/name', 'model.safetensors')
assert len(os.path.basename(os.path.realpath(path))) == 64
assert len(os.path.basename(os.path.realpath(h.hf_hub_download('org/name', 'config.json')))) == 40
assert sorted(os.listdir(h.snapshot_download('org/name'))) == ['README.md', 'config.json', 'model.safetensors', 'sub']
assert os.listdir(h.snapshot_download('org/data', repo_type='dataset')) == ['train.csv']
assert not h.scan_cache_dir().warnings
info = api.model_info('org/name', files_metadata=True)
assert info.pipeline_tag == 'text-generation' and info.library_name == 'transformers', info
assert info.safetensors.total == 100 and info.card_data.license == 'mit' and 'license:mit' in info.tags, info
assert info.card_data.language == ['en', 'de'] and info.config['model_type'] == 'llama' and info.downloads == 5, info
weights, = [s for s in info.siblings if s.rfilename == 'model.safetensors']
assert weights.lfs.sha256 == os.path.basename(os.path.realpath(path)) and weights.size == os.path.getsize(path)
tree = list(api.list_repo_tree('org/name', recursive=True, expand=True))
assert sorted(e.path for e in tree) == ['README.md', 'config.json', 'model.safetensors', 'sub', 'sub/a b.txt'], tree
assert [e.path for e in api.list_repo_tree('org/name', 'sub')] == ['sub/a b.txt']
assert [type(i).__name__ for i in api.get_paths_info('org/name', ['config.json', 'sub', 'none'])] == ['RepoFile', 'RepoFolder']
assert [m.id for m in api.list_models(sort='downloads')] == ['team/other', 'team/third', 'org/name', 'bob/gated']
assert [m.id for m in api.list_models(sort='downloads', limit=3)] == ['team/other', 'team/third', 'org/name']
assert [m.id for m in api.list_models(author='team', sort='downloads', full=True)] == ['team/other', 'team/third']
assert [m.id for m in api.list_models(filter=['text-generation', 'a', 'de'])] == ['org/name']
assert [m.id for m in api.list_models(search='NAM')] == ['org/name']
assert [m.id for m in api.list_models(gated=True)] == ['bob/gated']
assert [d.id for d in api.list_datasets()] == ['org/data']
assert api.get_safetensors_metadata('org/name').parameter_count == {'F32': 100}
assert h.ModelCard.load('org/name').data.license == 'mit'
assert api.repo_exists('org/name') and not api.repo_exists('org/none')
assert api.file_exists('org/name', 'config.json') and not api.file_exists('org/name', 'none')
for error, ask in [
    (RepositoryNotFoundError, lambda: api.model_info('org/none')),
    (RevisionNotFoundError, lambda: api.model_info('org/name', revision='none')),
    (RevisionNotFoundError, lambda: h.hf_hub_download('org/name', 'config.json', revision='none')),
    (RemoteEntryNotFoundError, lambda: h.hf_hub_download('org/name', 'none')),
    (GatedRepoError, lambda: h.hf_hub_download('bob/gated', 'config.json')),
    (HfHubHTTPError, lambda: h.HfApi(token='hf_nobody').whoami()),
]:
    try:
        ask()
    except error:
        continue
    raise AssertionError(error)
";
    run(&hub(), "reads", script);
}

#[test]
fn python_writes() {
    let script = "
import huggingface_hub as h, os, tempfile
from huggingface_hub.errors import *
api = h.HfApi()
assert api.create_repo('alice/new', private=True).repo_id == 'alice/new'
assert api.create_repo('alice/new', exist_ok=True).repo_id == 'alice/new'
folder = tempfile.mkdtemp()
os.makedirs(folder + '/sub')
large = os.urandom(100_000)
open(folder + '/model.safetensors', 'wb').write(large)
open(folder + '/README.md', 'w').write('---\\nlicense: mit\\n---\\n# New\\n')
open(folder + '/sub/small.txt', 'w').write('small')
commit = api.upload_folder(repo_id='alice/new', folder_path=folder, commit_message='first')
assert len(commit.oid) == 40
assert api.list_repo_files('alice/new') == ['.gitattributes', 'README.md', 'model.safetensors', 'sub/small.txt']
assert open(h.hf_hub_download('alice/new', 'model.safetensors'), 'rb').read() == large
parts = os.urandom(2_500_000)
request = api.upload_file(repo_id='alice/new', path_or_fileobj=parts, path_in_repo='parts.bin', create_pr=True)
assert request.pr_revision == 'refs/pr/1', request
assert open(h.hf_hub_download('alice/new', 'parts.bin', revision='refs/pr/1'), 'rb').read() == parts
refs = api.list_repo_refs('alice/new', include_pull_requests=True)
assert [r.ref for r in refs.pull_requests] == ['refs/pr/1'] and [r.name for r in refs.branches] == ['main']
assert [c.title for c in api.list_repo_commits('alice/new')] == ['first', 'initial commit']
api.delete_file('README.md', 'alice/new')
api.delete_folder('sub', 'alice/new')
assert api.list_repo_files('alice/new') == ['.gitattributes', 'model.safetensors']
try:
    api.upload_file(repo_id='alice/new', path_or_fileobj=b'x', path_in_repo='x', parent_commit='0' * 40)
    raise AssertionError('a commit on an old parent')
except HfHubHTTPError as error:
    assert error.response.status_code == 412, error
api.create_tag('alice/new', tag='v1')
api.create_branch('alice/new', branch='b')
api.move_repo('alice/new', 'alice/newer')
assert api.model_info('alice/new').id == 'alice/newer'
assert open(h.hf_hub_download('alice/new', 'model.safetensors', force_download=True), 'rb').read() == large
try:
    api.create_repo('bob/x')
    raise AssertionError('a repository of somebody else')
except HfHubHTTPError as error:
    assert error.response.status_code == 403, error
api.delete_repo('alice/newer')
assert not api.repo_exists('alice/newer')
";
    // In three parts.
    let hub = StandIn::builder().part_size(1_000_000).start();
    run(&hub, "writes", script);
    if python::python().is_some() {
        let parts = hub.requests().iter().filter(|r| r.method == "PUT").count();
        assert_eq!(parts, 1 + 3);
    }
}
