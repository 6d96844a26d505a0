//! What there is: accounts, repositories, their commits, branches and tags, and the store of large files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::content::{Content, git_sha1, sha1_of};

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A model.
    Model,
    /// A dataset.
    Dataset,
    /// A Space.
    Space,
    /// Kernels.
    Kernel,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Model, Self::Dataset, Self::Space, Self::Kernel];

    /// `model` …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
            Self::Kernel => "kernel",
        }
    }

    /// `models` …: in the addresses of the API.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Space => "spaces",
            Self::Kernel => "kernels",
        }
    }

    /// What stands before the id in the addresses of files: nothing for models.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
            Self::Kernel => "kernels/",
        }
    }

    pub(crate) fn of_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A file at a commit.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) content: Arc<Content>,
    /// Whether it is in LFS, and so on the second host.
    pub(crate) lfs: bool,
}

impl Entry {
    /// What git calls it: for a file in LFS, what it calls the pointer.
    pub(crate) fn oid(&self) -> String {
        if self.lfs {
            git_sha1(self.content.pointer().as_bytes())
        } else {
            self.content.git_sha1.clone()
        }
    }

    /// What the Hub calls it in an `ETag`.
    pub(crate) fn etag(&self) -> &str {
        if self.lfs {
            &self.content.sha256
        } else {
            &self.content.git_sha1
        }
    }
}

pub(crate) type Files = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) parent: Option<String>,
    pub(crate) author: String,
    /// Counts all commits: their dates follow from it.
    pub(crate) number: u64,
    pub(crate) files: Files,
}

/// Who may read a repository with conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gated {
    No,
    Auto,
    Manual,
}

#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) private: bool,
    pub(crate) gated: Gated,
    /// Who accepted the conditions.
    pub(crate) accepted: BTreeSet<String>,
    /// Taken down: the status that is answered, 403, 410 or 451.
    pub(crate) disabled: Option<u16>,
    pub(crate) commits: HashMap<String, Commit>,
    pub(crate) branches: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// By their whole names: `refs/pr/1`, `refs/convert/parquet`.
    pub(crate) refs: BTreeMap<String, String>,
    /// How many there are; each has a reference `refs/pr/N`.
    pub(crate) pull_requests: u64,
    /// Members of the document that describes it: they win over what is made up for them.
    pub(crate) info: Map<String, Value>,
    /// Where it was moved to.
    pub(crate) moved_to: Option<String>,
    /// Whether large files have a Xet hash.
    pub(crate) xet: bool,
}

impl Repository {
    pub(crate) fn new(kind: Kind, id: &str) -> Self {
        Self {
            kind,
            id: id.to_owned(),
            private: false,
            gated: Gated::No,
            accepted: BTreeSet::new(),
            disabled: None,
            commits: HashMap::new(),
            branches: BTreeMap::new(),
            tags: BTreeMap::new(),
            refs: BTreeMap::new(),
            pull_requests: 0,
            info: Map::new(),
            moved_to: None,
            xet: false,
        }
    }

    /// The commit that a branch, a tag, a reference or a commit's own name (or its first seven digits or more) stands
    /// for.
    pub(crate) fn resolve(&self, revision: &str) -> Option<&str> {
        [&self.branches, &self.tags, &self.refs]
            .into_iter()
            .find_map(|names| names.get(revision))
            .or_else(|| {
                let short = revision.strip_prefix("refs/heads/").unwrap_or(revision);
                self.branches.get(short)
            })
            .map(String::as_str)
            .or_else(|| {
                self.commits
                    .keys()
                    .find(|commit| revision.len() >= 7 && commit.starts_with(revision))
                    .map(String::as_str)
            })
    }

    /// The account or organisation that it belongs to.
    pub(crate) fn namespace(&self) -> &str {
        self.id
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To read.
    Read,
    /// To read and to write.
    Write,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// An account, as one of its tokens opens it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) role: Role,
    pub(crate) organizations: Vec<String>,
}

impl Account {
    /// Whether it belongs to the namespace.
    pub(crate) fn is_of(&self, namespace: &str) -> bool {
        self.name == namespace || self.organizations.iter().any(|o| o == namespace)
    }
}

/// An upload in parts that has begun.
#[derive(Debug, Default)]
pub(crate) struct Multipart {
    pub(crate) oid: String,
    pub(crate) size: u64,
    pub(crate) parts: BTreeMap<u64, Vec<u8>>,
}

/// Everything there is. A fault or a test changes it through [`World::edit`] and the like.
#[derive(Debug, Default)]
pub struct World {
    pub(crate) accounts: Vec<Account>,
    pub(crate) repositories: BTreeMap<(Kind, String), Repository>,
    /// Large files that were uploaded, by their SHA-256.
    pub(crate) objects: HashMap<String, Arc<Content>>,
    pub(crate) uploads: BTreeMap<String, Multipart>,
    commits: u64,
}

impl World {
    /// The repository, wherever it has moved to.
    pub(crate) fn repository(&self, kind: Kind, id: &str) -> Option<&Repository> {
        self.repositories.get(&(kind, id.to_owned()))
    }

    pub(crate) fn repository_mut(&mut self, kind: Kind, id: &str) -> Option<&mut Repository> {
        self.repositories.get_mut(&(kind, id.to_owned()))
    }

    /// The repository that a test speaks of.
    #[track_caller]
    fn known(&mut self, id: &str) -> &mut Repository {
        let (kind, id) = kind_of(id);
        self.repository_mut(kind, id)
            .unwrap_or_else(|| panic!("the stand-in has no {} {id}", kind.name()))
    }

    /// Writes a commit on top of a branch, which is made if there is none. `title` and the files, with `None` for one
    /// that is deleted; files keep being in LFS or not.
    pub(crate) fn add_commit(
        &mut self,
        kind: Kind,
        id: &str,
        reference: &str,
        parent: Option<String>,
        title: &str,
        author: &str,
        files: Files,
    ) -> String {
        self.commits += 1;
        let number = self.commits;
        let repository = self
            .repository_mut(kind, id)
            .expect("the caller looked it up");
        let listing: String = files
            .iter()
            .map(|(path, entry)| format!("{path} {}\n", entry.etag()))
            .collect();
        let name = sha1_of(&format!("{id} {number} {parent:?} {title}\n{listing}"));
        let (title, message) = title.split_once('\n').unwrap_or((title, ""));
        repository.commits.insert(
            name.clone(),
            Commit {
                title: title.to_owned(),
                message: message.to_owned(),
                parent,
                author: author.to_owned(),
                number,
                files,
            },
        );
        if reference.starts_with("refs/") {
            repository.refs.insert(reference.to_owned(), name.clone());
        } else {
            repository
                .branches
                .insert(reference.to_owned(), name.clone());
        }
        name
    }

    /// A commit on a branch of a repository (`org/name`, or `datasets/org/name`): files that are new or have new
    /// contents, `None` for those that are gone. The name of the commit.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn edit(&mut self, id: &str, branch: &str, files: &[(&str, Option<&[u8]>)]) -> String {
        let repository = self.known(id);
        let parent = repository
            .resolve(branch)
            .or_else(|| repository.resolve("main"))
            .map(str::to_owned);
        let mut all = parent
            .as_ref()
            .map(|parent| repository.commits[parent].files.clone())
            .unwrap_or_default();
        for (path, bytes) in files {
            match bytes {
                Some(bytes) => {
                    let lfs = all.get(*path).map_or_else(|| is_large(path), |old| old.lfs);
                    let content = Arc::new(Content::new(bytes.to_vec()));
                    all.insert((*path).to_owned(), Entry { content, lfs });
                }
                None => drop(all.remove(*path)),
            }
        }
        let (kind, id) = kind_of(id);
        self.add_commit(kind, id, branch, parent, "Change files", "alice", all)
    }

    /// Lets a branch, a tag (`tags/NAME`) or a reference (`refs/…`) stand for another commit.
    ///
    /// # Panics
    ///
    /// If there is no such repository or commit.
    #[track_caller]
    pub fn point(&mut self, id: &str, reference: &str, commit: &str) {
        let repository = self.known(id);
        assert!(
            repository.commits.contains_key(commit),
            "{id} has no commit {commit}"
        );
        let commit = commit.to_owned();
        if let Some(tag) = reference.strip_prefix("tags/") {
            repository.tags.insert(tag.to_owned(), commit);
        } else if reference.starts_with("refs/") {
            repository.refs.insert(reference.to_owned(), commit);
        } else {
            repository.branches.insert(reference.to_owned(), commit);
        }
    }

    /// Moves a repository to another name; the old one redirects.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn rename(&mut self, id: &str, to: &str) {
        self.known(id);
        let (kind, id) = kind_of(id);
        let mut repository = self
            .repositories
            .remove(&(kind, id.to_owned()))
            .expect("it was just seen");
        to.clone_into(&mut repository.id);
        self.repositories.insert((kind, to.to_owned()), repository);
        let mut old = Repository::new(kind, id);
        old.moved_to = Some(to.to_owned());
        self.repositories.insert((kind, id.to_owned()), old);
    }

    /// Takes a repository down, with the status 403, 410 or 451, or opens it again.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn disable(&mut self, id: &str, status: Option<u16>) {
        self.known(id).disabled = status;
    }

    /// Lets an account into a gated repository.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn accept(&mut self, id: &str, account: &str) {
        self.known(id).accepted.insert(account.to_owned());
    }

    /// Deletes a repository.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn remove(&mut self, id: &str) {
        self.known(id);
        let (kind, id) = kind_of(id);
        self.repositories.remove(&(kind, id.to_owned()));
    }

    /// The commit that a revision stands for, if there is one.
    #[must_use]
    pub fn commit_of(&self, id: &str, revision: &str) -> Option<String> {
        let (kind, id) = kind_of(id);
        let repository = self.repository(kind, id)?;
        repository.resolve(revision).map(str::to_owned)
    }

    /// The paths of a revision's files, in order, and whether each is in LFS; empty where there is none.
    #[must_use]
    pub fn files_of(&self, id: &str, revision: &str) -> Vec<(String, bool)> {
        self.entries(id, revision)
            .map(|files| files.iter().map(|(p, e)| (p.clone(), e.lfs)).collect())
            .unwrap_or_default()
    }

    /// The bytes of a file, if there is one.
    #[must_use]
    pub fn bytes_of(&self, id: &str, revision: &str, path: &str) -> Option<Vec<u8>> {
        Some(self.entries(id, revision)?.get(path)?.content.all())
    }

    /// The `ETag` of a file: git's SHA-1, or the SHA-256 of one in LFS.
    #[must_use]
    pub fn etag_of(&self, id: &str, revision: &str, path: &str) -> Option<String> {
        Some(self.entries(id, revision)?.get(path)?.etag().to_owned())
    }

    /// The title, message and author of the commit that a revision stands for.
    #[must_use]
    pub fn title_of(&self, id: &str, revision: &str) -> Option<(String, String, String)> {
        let (kind, id) = kind_of(id);
        let repository = self.repository(kind, id)?;
        let commit = &repository.commits[repository.resolve(revision)?];
        Some((
            commit.title.clone(),
            commit.message.clone(),
            commit.author.clone(),
        ))
    }

    /// Whether there is such a repository, and whether it is private.
    #[must_use]
    pub fn is_private(&self, id: &str) -> Option<bool> {
        let (kind, id) = kind_of(id);
        self.repository(kind, id).map(|r| r.private)
    }

    fn entries(&self, id: &str, revision: &str) -> Option<&Files> {
        let (kind, id) = kind_of(id);
        let repository = self.repository(kind, id)?;
        Some(&repository.commits[repository.resolve(revision)?].files)
    }
}

/// `datasets/org/name` as the addresses of files have it; `models/org/name` is taken, too.
pub(crate) fn kind_of(id: &str) -> (Kind, &str) {
    let named = id
        .split_once('/')
        .and_then(|(plural, rest)| Some((Kind::of_plural(plural)?, rest)));
    match named {
        Some((kind, rest)) if kind != Kind::Model || rest.contains('/') => (kind, rest),
        _ => (Kind::Model, id),
    }
}

/// Whether the Hub's usual `.gitattributes` puts a file into LFS.
pub(crate) fn is_large(path: &str) -> bool {
    const LARGE: [&str; 12] = [
        "safetensors",
        "bin",
        "gguf",
        "pt",
        "pth",
        "onnx",
        "h5",
        "msgpack",
        "npz",
        "ckpt",
        "model",
        "parquet",
    ];
    path.rsplit_once('.')
        .is_some_and(|(_, extension)| LARGE.contains(&extension))
}

/// When the commit of that number was made: commits are a minute apart, and the first is from the first of January 2026.
pub(crate) fn date(number: u64) -> String {
    let (day, minute) = (number / 1440, number % 1440);
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:00.000Z",
        1 + day / 28 % 12,
        1 + day % 28,
        minute / 60,
        minute % 60
    )
}

/// The metadata at the head of a `README.md`, as far as plain `key: value`, `key:` with `- value` below it, and `key:
/// [a, b]` go: what is nested deeper is left out. (A test that needs more gives the document itself.)
pub(crate) fn card_data(readme: &str) -> Map<String, Value> {
    let mut data = Map::new();
    let mut lines = readme.lines();
    if lines.next() != Some("---") {
        return data;
    }
    let mut last = String::new();
    for line in lines.take_while(|line| *line != "---") {
        let scalar = |text: &str| json!(text.trim().trim_matches(['"', '\'']));
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            if let Some(Value::Array(items)) = data.get_mut(&last) {
                items.push(scalar(item));
            }
        } else if let Some((key, value)) = line.split_once(':')
            && !line.starts_with([' ', '#'])
        {
            last = key.trim().to_owned();
            let value = value.trim();
            let value = match value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
                Some(items) => items.split(',').map(scalar).collect(),
                None if value.is_empty() => json!([]),
                None => scalar(value),
            };
            data.insert(last.clone(), value);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let mut world = World::default();
        let repository = Repository::new(Kind::Model, "org/name");
        world
            .repositories
            .insert((Kind::Model, "org/name".to_owned()), repository);
        world
    }

    #[test]
    fn a_revision_is_a_branch_a_tag_a_reference_or_a_commit() {
        let mut world = world();
        let first = world.edit("org/name", "main", &[("a", Some(b"1"))]);
        let second = world.edit("org/name", "main", &[("b", Some(b"2")), ("a", None)]);
        assert_ne!(first, second);
        world.point("org/name", "tags/v1", &first);
        world.point("org/name", "refs/pr/1", &first);
        for (revision, commit) in [
            ("main", Some(&second)),
            ("v1", Some(&first)),
            ("refs/pr/1", Some(&first)),
            (&*first, Some(&first)),
            (&first[..8], Some(&first)),
            ("nowhere", None),
        ] {
            assert_eq!(world.commit_of("org/name", revision).as_ref(), commit);
        }
        assert_eq!(world.bytes_of("org/name", "v1", "a").unwrap(), b"1");
        assert_eq!(world.bytes_of("org/name", "main", "a"), None);
    }

    #[test]
    fn a_card_is_read_as_far_as_tests_need() {
        let card = card_data(
            "---\nlicense: mit\ntags:\n- a\n- 'b'\nlanguage: [en, de]\nmodel-index:\n- name: x\n  results: []\n---\n# T\n",
        );
        assert_eq!(card["license"], "mit");
        assert_eq!(card["tags"], json!(["a", "b"]));
        assert_eq!(card["language"], json!(["en", "de"]));
        assert_eq!(card_data("# no card"), Map::new());
    }
}
