//! What a repository, a revision and a commit are called. Everything here is checked before it becomes part of a path
//! or an address, by the rules of Python's `huggingface_hub` (`utils/_validators.py`) where it has some.

use std::fmt;
use std::str::FromStr;

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not {kind}: {why}")]
pub struct NameError {
    name: String,
    kind: NameKind,
    why: &'static str,
}

/// What a refused name was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// A repository.
    RepoId,
    /// A revision.
    Revision,
    /// A commit.
    Commit,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepoId => "a repository of the Hub (`org/name`)",
            Self::Revision => "a revision (a branch, a tag, a commit or refs/pr/N)",
            Self::Commit => "a commit (40 hexadecimal digits)",
        })
    }
}

impl NameError {
    pub(crate) fn new(name: &str, kind: NameKind, why: &'static str) -> Self {
        // A name from outside may be a megabyte; the message need not be.
        let name = name.chars().take(120).collect();
        Self { name, kind, why }
    }
}

/// The kinds of repository that a cache can hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepoType {
    /// A model: the default.
    #[default]
    Model,
    /// A dataset.
    Dataset,
    /// An application.
    Space,
    /// Compiled kernels: listed in a cache, never run.
    Kernel,
}

impl RepoType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Model, Self::Dataset, Self::Space, Self::Kernel];

    /// `model`, `dataset` …, as replies and options have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
            Self::Kernel => "kernel",
        }
    }

    /// `models`, `datasets` …, as folders of the cache and addresses of the API have it.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
            Self::Kernel => "kernels",
        }
    }

    /// What stands before the id in the address of a page or a file: nothing for a model.
    #[must_use]
    pub const fn url_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
            Self::Kernel => "kernels/",
        }
    }
}

impl fmt::Display for RepoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `org/name`, or `name` alone for the oldest models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId(String);

impl RepoId {
    /// The longest part of an id, in bytes.
    const MAX_PART: usize = 96;

    /// By Python's rules: one or two parts of 1 to 96 ASCII letters, digits, `-`, `_` and `.`, each of which begins and ends
    /// with a letter, a digit or `_`; no `--`, no `..`, no `.git` at the end.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn parse(id: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError::new(id, NameKind::RepoId, why));
        let parts: Vec<&str> = id.split('/').collect();
        if parts.len() > 2 {
            return refuse("it has more than one `/`");
        }
        for part in parts {
            if part.is_empty() || part.len() > Self::MAX_PART {
                return refuse("each part has 1 to 96 characters");
            }
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if !part.chars().all(|c| word(c) || c == '-' || c == '.') {
                return refuse("it may have letters, digits, `-`, `_` and `.` only");
            }
            if !part.starts_with(word) || !part.ends_with(word) {
                return refuse("a part cannot begin or end with `-` or `.`");
            }
        }
        if id.contains("--") || id.contains("..") {
            return refuse("it cannot have `--` or `..`");
        }
        if id.ends_with(".git") {
            return refuse("it cannot end with `.git`");
        }
        Ok(Self(id.to_owned()))
    }

    /// As given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user or organisation, if there is one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('/').map(|(namespace, _)| namespace)
    }

    /// The last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepoId {
    type Err = NameError;

    fn from_str(id: &str) -> Result<Self, NameError> {
        Self::parse(id)
    }
}

/// A repository of the Hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    repo_type: RepoType,
    id: RepoId,
}

impl Repo {
    /// The repository of this kind and name.
    #[must_use]
    pub const fn new(repo_type: RepoType, id: RepoId) -> Self {
        Self { repo_type, id }
    }

    /// The model `id`.
    ///
    /// # Errors
    /// As [`RepoId::parse`].
    pub fn model(id: &str) -> Result<Self, NameError> {
        Ok(Self::new(RepoType::Model, RepoId::parse(id)?))
    }

    /// What kind it is.
    #[must_use]
    pub const fn repo_type(&self) -> RepoType {
        self.repo_type
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &RepoId {
        &self.id
    }

    /// Its folder in a cache: `models--org--name`.
    #[must_use]
    pub fn folder_name(&self) -> String {
        let id = self.id.as_str().replace('/', "--");
        format!("{}--{id}", self.repo_type.plural())
    }

    /// The repository whose folder in a cache is called so; nothing for other folders.
    #[must_use]
    pub fn from_folder_name(folder: &str) -> Option<Self> {
        let (plural, id) = folder.split_once("--")?;
        let repo_type = RepoType::ALL
            .into_iter()
            .find(|repo_type| repo_type.plural() == plural)?;
        let id = RepoId::parse(&id.replacen("--", "/", 1)).ok()?;
        let repo = Self::new(repo_type, id);
        // A `/` in it would pass for the one that stands for `--`, and is in no name of a folder.
        (repo.folder_name() == folder).then_some(repo)
    }
}

impl fmt::Display for Repo {
    /// `org/name`, with `datasets/` or its like before what is no model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repo_type.url_prefix(), self.id)
    }
}

/// 40 lower-case hexadecimal digits: the bytes of a repository, for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit(String);

impl Commit {
    /// Exactly 40 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(commit: &str) -> Result<Self, NameError> {
        let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if commit.len() != 40 || !commit.bytes().all(hexadecimal) {
            let why = "it has other characters, or another number of them";
            return Err(NameError::new(commit, NameKind::Commit, why));
        }
        Ok(Self(commit.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch, a tag, a commit, or `refs/pr/N`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

impl Revision {
    /// Far above any branch; a file system takes 255 bytes a part.
    const MAX_BYTES: usize = 255;

    /// What git lets a reference be called, as far as it matters to paths and addresses: parts separated by `/`, none of
    /// them empty, beginning with `.` or ending with `.lock`; no `..`, no `@{`, no spaces, control characters or any of
    /// `~ ^ : ? * [ \ %`: it becomes a path below `refs/` in the cache.
    ///
    /// # Errors
    /// Names the rule that is broken.
    pub fn parse(revision: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError::new(revision, NameKind::Revision, why));
        if revision.is_empty() || revision.len() > Self::MAX_BYTES {
            return refuse("it has 1 to 255 bytes");
        }
        if revision
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\%\"<>|".contains(c))
        {
            return refuse(
                "it has a space, a control character or one of `~ ^ : ? * [ \\ % \" < > |`",
            );
        }
        if revision.contains("..") || revision.contains("@{") {
            return refuse("it has `..` or `@{`");
        }
        for part in revision.split('/') {
            if part.is_empty() {
                return refuse("it begins or ends with `/`, or has `//`");
            }
            if part.starts_with('.') || part.ends_with('.') || part.ends_with(".lock") {
                return refuse("a part begins or ends with `.`, or ends with `.lock`");
            }
        }
        // It is a file below `refs/`: Windows' devices and the like are no names for one.
        if hfcore_weights::RelPath::parse(revision).is_err() {
            return refuse("it cannot be the name of a file on every system");
        }
        Ok(Self(revision.to_owned()))
    }

    /// As given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit, if it is one already: no network is needed to know what it stands for.
    #[must_use]
    pub fn as_commit(&self) -> Option<Commit> {
        Commit::parse(&self.0).ok()
    }

    /// As one segment of an address: `refs/pr/1` is `refs%2Fpr%2F1`.
    #[must_use]
    pub fn url_encoded(&self) -> String {
        percent_encode(&self.0)
    }
}

impl Default for Revision {
    /// `main`.
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl From<Commit> for Revision {
    fn from(commit: Commit) -> Self {
        Self(commit.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Revision {
    type Err = NameError;

    fn from_str(revision: &str) -> Result<Self, NameError> {
        Self::parse(revision)
    }
}

/// One segment of an address (RFC 3986): every byte but the unreserved ones becomes `%XX`, `/` too.
#[must_use]
pub(crate) fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `org/name` or `org/name@revision`: how a model is named on a command line and in `from_pretrained`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The repository.
    pub id: RepoId,
    /// What stands behind the `@`.
    pub revision: Option<Revision>,
}

impl ModelName {
    /// Splits at the first `@`, which no id has.
    ///
    /// # Errors
    /// As [`RepoId::parse`] and [`Revision::parse`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let (id, revision) = match name.split_once('@') {
            Some((id, revision)) => (id, Some(Revision::parse(revision)?)),
            None => (name, None),
        };
        let id = RepoId::parse(id)?;
        Ok(Self { id, revision })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{}@{revision}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judged by `validate_repo_id` of `huggingface_hub` 2.4.0.
    #[test]
    fn ids_are_judged_as_python_judges_them() {
        let long = "a".repeat(96);
        let longer = "a".repeat(97);
        for good in [
            "gpt2",
            "foo/bar",
            "123",
            "Foo-BAR_foo.bar123",
            "_a/b_",
            "a/b",
            "a-b/c.d",
            &long,
        ] {
            assert_eq!(RepoId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "datasets/foo/bar",
            ".repo_id",
            "repo.",
            "-a",
            "a-",
            "foo--bar",
            "a/foo..bar",
            "foo.git",
            "a/foo.git",
            "caf\u{e9}",
            "a b",
            "a\\b",
            "a:b",
            "a/b\n",
            "a@b",
            &longer,
        ] {
            assert!(RepoId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            RepoId::parse("a/b/c").unwrap_err().to_string(),
            "\"a/b/c\" is not a repository of the Hub (`org/name`): it has more than one `/`"
        );
    }

    #[test]
    fn a_folder_of_the_cache_names_its_repository() {
        for (repo_type, id, folder) in [
            (RepoType::Model, "gpt2", "models--gpt2"),
            (RepoType::Model, "org/name", "models--org--name"),
            (RepoType::Dataset, "org/my_data", "datasets--org--my_data"),
        ] {
            let repo = Repo::new(repo_type, RepoId::parse(id).unwrap());
            assert_eq!(repo.folder_name(), folder);
            assert_eq!(Repo::from_folder_name(folder), Some(repo));
        }
        for other in [
            "models",
            "models--",
            "blobs",
            "things--a--b",
            "models--a--b--c",
            "models--..--x",
            "models--a/b",
        ] {
            assert_eq!(Repo::from_folder_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_revision_stays_below_refs() {
        for good in [
            "main",
            "refs/pr/1",
            "feature/x",
            "v1.0",
            "2024-01-01",
            "a@b",
        ] {
            assert_eq!(Revision::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "../x", "a/../b", ".hidden", "a/.b", "a.", "a.lock",
            "a b", "a\tb", "a\0b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "%2e%2e",
            "a@{b", "con", &long,
        ] {
            assert!(Revision::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            Revision::parse("refs/pr/1").unwrap().url_encoded(),
            "refs%2Fpr%2F1"
        );
        assert_eq!(
            Revision::parse("caf\u{e9}").unwrap().url_encoded(),
            "caf%C3%A9"
        );
    }

    #[test]
    fn a_commit_is_forty_hexadecimal_digits() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(
            Revision::parse(commit)
                .unwrap()
                .as_commit()
                .unwrap()
                .as_str(),
            commit
        );
        for other in [
            "main",
            "0123456",
            "0123456789ABCDEF0123456789abcdef01234567",
        ] {
            assert_eq!(Revision::parse(other).unwrap().as_commit(), None);
        }
    }

    #[test]
    fn a_model_may_be_named_with_its_revision() {
        let name = ModelName::parse("org/name@refs/pr/3").unwrap();
        assert_eq!(name.id.as_str(), "org/name");
        assert_eq!(name.revision.as_ref().unwrap().as_str(), "refs/pr/3");
        assert_eq!(name.to_string(), "org/name@refs/pr/3");
        assert_eq!(ModelName::parse("gpt2").unwrap().revision, None);
        assert!(ModelName::parse("org/name@").is_err());
        assert!(ModelName::parse("./folder").is_err());
    }
}
