//! Names of the Hub (repositories, revisions, commits, blobs): refused, or harmless as part of a path and of an address,
//! and told apart.
#![no_main]

use std::path::{Component, Path};

use hfcore_hub::cache::ETag;
use hfcore_hub::{ModelName, Patterns, Repo, RepoId, RepoType, Revision};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = RepoId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(text.is_ascii() && !text.contains("..") && !text.contains("--"));
        for repo_type in RepoType::ALL {
            let repo = Repo::new(repo_type, id.clone());
            let folder = repo.folder_name();
            is_one_part(&folder);
            assert_eq!(Repo::from_folder_name(&folder), Some(repo));
        }
    }
    // A folder that is read as a repository is that repository's.
    if let Some(repo) = Repo::from_folder_name(text) {
        assert_eq!(repo.folder_name(), text);
    }
    if let Ok(revision) = Revision::parse(text) {
        let encoded = revision.url_encoded();
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        assert!(encoded.bytes().all(harmless), "{encoded:?}");
        assert!(encoded != "." && encoded != "..");
        let inside = Path::new("/refs").join(text);
        let inside = inside.strip_prefix("/refs").expect("it stays below");
        assert!(
            inside
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        );
        assert_eq!(inside.to_str(), Some(text));
        if let Some(commit) = revision.as_commit() {
            assert_eq!((commit.as_str(), text.len()), (text, 40));
        }
    }
    if let Ok(name) = ModelName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(etag) = ETag::parse(text) {
        is_one_part(etag.as_str());
        assert!(!etag.as_str().is_empty() && etag.as_str().len() <= 128);
    }
    // A pattern and a path, split at the first line break.
    if let Some((pattern, path)) = text.split_once('\n') {
        let allowed = Patterns::all().allow([pattern]).matches(path);
        let ignored = !Patterns::all().ignore([pattern]).matches(path);
        assert_eq!(allowed, ignored, "{pattern:?} on {path:?}");
    }
});

/// Is a file name that leads nowhere else.
fn is_one_part(name: &str) {
    let mut parts = Path::new(name).components();
    assert!(matches!(parts.next(), Some(Component::Normal(part)) if part == name));
    assert_eq!(parts.next(), None);
}
