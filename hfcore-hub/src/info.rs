//! What the Hub knows about a model: the reply of its API, typed, with everything optional that a mirror may leave out.

use serde_json::{Map, Value};

use crate::card::{CardOptions, ModelCard, ModelCardData};
use crate::download::DownloadOptions;
use crate::error::HubError;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::repo::{Commit, Repo, RepoId, RepoType, Revision};
use hfcore_weights::RelPath;

/// Whether a repository opens only to those who accepted its conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Gated {
    /// It is open.
    #[default]
    No,
    /// Whoever accepts them is let in at once.
    Auto,
    /// Its owners let people in, one by one.
    Manual,
}

impl Gated {
    /// `auto` and `manual`, as the Hub has it; nothing for what is open.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::Auto => Some("auto"),
            Self::Manual => Some("manual"),
        }
    }
}

/// Numbers of parameters, as the Hub counted them in the safetensors headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterCounts {
    /// By data type, as safetensors names it (`BF16`), in the Hub's order.
    pub by_dtype: Vec<(String, u64)>,
    /// All of them. Not always the sum: packed numbers count as what they stand for.
    pub total: u64,
}

/// A file as a model's description lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedFile {
    /// Its name, as the Hub says it: no path before [`RelPath::parse`] has seen it.
    pub name: String,
    /// Its size in bytes, if the Hub was asked for it.
    pub size: Option<u64>,
    /// Git's SHA-1 of what lies in git.
    pub oid: Option<String>,
    /// The SHA-256 of the contents, if they lie in LFS.
    pub sha256: Option<String>,
}

/// What the Hub says about a model. What it does not say is `None`, empty or false.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its id, which is another than was asked for if it was renamed.
    pub id: RepoId,
    /// The commit that the revision stands for.
    pub sha: Option<Commit>,
    /// The user or organisation it belongs to.
    pub author: Option<String>,
    /// Whether only its owners see it.
    pub private: bool,
    /// Who may download it.
    pub gated: Gated,
    /// Whether it was switched off.
    pub disabled: bool,
    /// Downloads in the last 30 days.
    pub downloads: Option<u64>,
    /// Downloads ever, where the Hub was asked for it.
    pub downloads_all_time: Option<u64>,
    /// How many people like it.
    pub likes: Option<u64>,
    /// How much it is talked about at the moment.
    pub trending_score: Option<f64>,
    /// When it was last changed: ISO 8601, UTC.
    pub last_modified: Option<String>,
    /// When it was made: ISO 8601, UTC.
    pub created_at: Option<String>,
    /// Those of its card, and those that the Hub found out: `license:mit`, `arxiv:…`, `base_model:…`.
    pub tags: Vec<String>,
    /// Its task: `text-generation`.
    pub pipeline_tag: Option<String>,
    /// The library that loads it: `transformers`.
    pub library_name: Option<String>,
    /// The front matter of its card.
    pub card_data: Option<ModelCardData>,
    /// Its parameters, if it has safetensors files that the Hub could read.
    pub safetensors: Option<ParameterCounts>,
    /// What the Hub read in its GGUF files, as it is.
    pub gguf: Option<Value>,
    /// What the Hub keeps of its `config.json`: `architectures`, `model_type`, the chat template …
    pub config: Option<Value>,
    /// Its files.
    pub files: Vec<ListedFile>,
    /// Bytes of all its commits together.
    pub used_storage: Option<u64>,
}

impl ModelInfo {
    /// From a reply of the Hub's API.
    ///
    /// # Errors
    /// If it has no valid `id`, or a `sha` that is no commit. What else is not as expected counts as absent.
    pub fn from_json(mut reply: Map<String, Value>) -> Result<Self, String> {
        let id = reply.get("id").or_else(|| reply.get("modelId"));
        let id = id.and_then(Value::as_str).ok_or("it has no `id`")?;
        let id = RepoId::parse(id).map_err(|error| error.to_string())?;
        let sha = match reply.get("sha").and_then(Value::as_str) {
            Some(sha) => Some(Commit::parse(sha).map_err(|error| error.to_string())?),
            None => None,
        };
        let card_data = match reply.remove("cardData") {
            Some(Value::Object(data)) => Some(ModelCardData::from_json(data)),
            _ => None,
        };
        let (gguf, config) = (object(&mut reply, "gguf"), object(&mut reply, "config"));
        let text = |key: &str| reply.get(key).and_then(Value::as_str).map(str::to_owned);
        let flag = |key: &str| reply.get(key).and_then(Value::as_bool).unwrap_or(false);
        let number = |key: &str| reply.get(key).and_then(Value::as_u64);
        Ok(Self {
            id,
            sha,
            author: text("author"),
            private: flag("private"),
            gated: match reply.get("gated") {
                Some(Value::String(gated)) if gated == "auto" => Gated::Auto,
                // A word that is not known yet is no open door.
                Some(Value::String(_) | Value::Bool(true)) => Gated::Manual,
                _ => Gated::No,
            },
            disabled: flag("disabled"),
            downloads: number("downloads"),
            downloads_all_time: number("downloadsAllTime"),
            likes: number("likes"),
            trending_score: reply.get("trendingScore").and_then(Value::as_f64),
            last_modified: text("lastModified"),
            created_at: text("createdAt"),
            tags: texts(reply.get("tags")),
            pipeline_tag: text("pipeline_tag"),
            library_name: text("library_name"),
            card_data,
            safetensors: reply.get("safetensors").and_then(parameter_counts),
            gguf,
            config,
            files: list(reply.get("siblings"))
                .filter_map(listed_file)
                .collect(),
            used_storage: number("usedStorage"),
        })
    }
}

/// Takes an object out.
fn object(reply: &mut Map<String, Value>, key: &str) -> Option<Value> {
    reply.remove(key).filter(Value::is_object)
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let texts = list(value).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn parameter_counts(value: &Value) -> Option<ParameterCounts> {
    let by_dtype = value.get("parameters")?.as_object()?.iter();
    let by_dtype = by_dtype.filter_map(|(dtype, count)| Some((dtype.clone(), count.as_u64()?)));
    Some(ParameterCounts {
        by_dtype: by_dtype.collect(),
        total: value.get("total")?.as_u64()?,
    })
}

fn listed_file(sibling: &Value) -> Option<ListedFile> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let lfs = sibling.get("lfs");
    Some(ListedFile {
        name: text(sibling.get("rfilename"))?,
        size: sibling.get("size").and_then(Value::as_u64),
        oid: text(sibling.get("blobId")),
        sha256: text(lfs.and_then(|lfs| lfs.get("sha256"))),
    })
}

/// A branch, a tag, or a pull request, and the commit it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitRef {
    /// Its short name: `main`, `v1.0`, `1`.
    pub name: String,
    /// Its whole name: `refs/heads/main`, `refs/tags/v1.0`, `refs/pr/1`.
    pub reference: String,
    /// What it stands for.
    pub commit: Commit,
}

/// All that names a commit in a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepoRefs {
    /// Branches.
    pub branches: Vec<GitRef>,
    /// Tags.
    pub tags: Vec<GitRef>,
    /// Branches that the Hub itself writes: datasets as Parquet.
    pub converts: Vec<GitRef>,
    /// Pull requests.
    pub pull_requests: Vec<GitRef>,
}

impl RepoRefs {
    fn from_json(reply: &Map<String, Value>) -> Result<Self, String> {
        let refs = |key: &str| -> Result<Vec<_>, _> { list(reply.get(key)).map(git_ref).collect() };
        Ok(Self {
            branches: refs("branches")?,
            tags: refs("tags")?,
            converts: refs("converts")?,
            pull_requests: refs("pullRequests")?,
        })
    }
}

fn git_ref(value: &Value) -> Result<GitRef, String> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("a reference has no `{key}`"))
    };
    Ok(GitRef {
        name: text("name")?.to_owned(),
        reference: text("ref")?.to_owned(),
        commit: Commit::parse(text("targetCommit")?).map_err(|error| error.to_string())?,
    })
}

impl Hub {
    /// What the Hub knows about a model at a revision, sizes of files included.
    ///
    /// # Errors
    /// If there is no such model or revision, it is not for this account, there is no network, or the reply makes no sense.
    pub fn model_info(&self, id: &RepoId, revision: &Revision) -> Result<ModelInfo, HubError> {
        let revision_path = revision.url_encoded();
        let path = format!("/api/models/{id}/revision/{revision_path}?blobs=true");
        self.ask_for_info(id, Some(revision), &path)
    }

    pub(crate) fn ask_for_info(
        &self,
        id: &RepoId,
        revision: Option<&Revision>,
        path: &str,
    ) -> Result<ModelInfo, HubError> {
        let repo = Repo::new(RepoType::Model, id.clone());
        let mut request = self
            .http()
            .api(Method::Get, path)?
            .about(&repo)
            .doing(format!("looking up {repo}"));
        if let Some(revision) = revision {
            request = request.at(revision);
        }
        let reply = self.http().send(&request);
        let reply = reply.map_err(|error| self.with_suggestions(error))?;
        let url = reply.address().to_string();
        ModelInfo::from_json(reply.json()?).map_err(|why| HubError::BadReply { url, why })
    }

    /// Branches, tags and pull requests of a repository.
    ///
    /// # Errors
    /// If there is no such repository, it is not for this account, there is no network, or the reply makes no sense.
    pub fn refs(&self, repo: &Repo) -> Result<RepoRefs, HubError> {
        let plural = repo.repo_type().plural();
        let path = format!("/api/{plural}/{}/refs?include_prs=1", repo.id());
        let request = self
            .http()
            .api(Method::Get, &path)?
            .about(repo)
            .doing(format!("listing the branches of {repo}"));
        let reply = self.http().send(&request);
        let reply = reply.map_err(|error| self.with_suggestions(error))?;
        let url = reply.address().to_string();
        RepoRefs::from_json(&reply.json()?).map_err(|why| HubError::BadReply { url, why })
    }

    /// The model's card, downloaded into the cache if it is not there. Evaluation results that are not complete are left
    /// untyped.
    ///
    /// # Errors
    /// As [`download`](Self::download); [`HubError::EntryNotFound`] if the model has none; [`HubError::Card`] if it cannot
    /// be read. No model fails to load for it.
    pub fn model_card(&self, id: &RepoId, revision: &Revision) -> Result<ModelCard, HubError> {
        let repo = Repo::new(RepoType::Model, id.clone());
        let path = RelPath::parse(ModelCard::FILE_NAME)?;
        let card = self.download(&repo, revision, &path, &DownloadOptions::default())?;
        let options = CardOptions::default().with_ignore_metadata_errors(true);
        Ok(ModelCard::load_with(card.path, &options)?)
    }

    /// Asks the Hub whether it would take a card, as it does when one is published. Nothing is sent but the card.
    ///
    /// # Errors
    /// [`CardError::Rejected`](crate::card::CardError::Rejected) if it would not.
    pub fn validate_card(&self, card: &ModelCard) -> Result<(), HubError> {
        let body = serde_json::json!({"repoType": "model", "content": card.to_string()});
        let mut request = self
            .http()
            .api(Method::Post, "/api/validate-yaml")?
            .json(body)
            .header("accept", "text/plain")
            .idempotent()
            .doing("checking a model card");
        request.authorized = false;
        match self.http().send(&request) {
            Ok(_) => Ok(()),
            Err(HubError::Status {
                status: 400,
                message,
                ..
            }) => {
                let message = message.unwrap_or_else(|| "it does not say why".to_owned());
                Err(crate::card::CardError::Rejected { message }.into())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn info(reply: Value) -> Result<ModelInfo, String> {
        ModelInfo::from_json(reply.as_object().unwrap().clone())
    }

    #[test]
    fn a_reply_may_say_everything() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let info = info(json!({
            "_id": "x", "id": "org/m", "modelId": "org/m", "author": "org", "sha": sha, "private": true,
            "gated": "manual", "disabled": false, "downloads": 12, "downloadsAllTime": 1200, "likes": 3,
            "trendingScore": 1.5, "lastModified": "2024-01-31T12:00:00.000Z", "createdAt": "2023-01-31T12:00:00.000Z",
            "tags": ["a", 1, "license:mit"], "pipeline_tag": "fill-mask", "library_name": "transformers",
            "cardData": {"license": "mit", "language": "no", "base_model": "org/base"},
            "safetensors": {"parameters": {"F32": 10, "BF16": 20}, "total": 30},
            "gguf": {"total": 1}, "config": {"model_type": "bert"}, "usedStorage": 99,
            "siblings": [
                {"rfilename": "a.json", "size": 2, "blobId": "b1"},
                {"rfilename": "w.bin", "size": 9, "blobId": "b2", "lfs": {"sha256": "s", "size": 9, "pointerSize": 1}},
                {"size": 1},
            ],
        }))
        .unwrap();
        assert_eq!(info.sha.unwrap().as_str(), sha);
        assert_eq!(
            (info.gated, info.private, info.disabled),
            (Gated::Manual, true, false)
        );
        assert_eq!((info.downloads, info.likes), (Some(12), Some(3)));
        assert_eq!(info.tags, ["a", "license:mit"]);
        let card = info.card_data.unwrap();
        assert_eq!(card.base_model, Some("org/base".into()));
        assert_eq!(
            info.safetensors,
            Some(ParameterCounts {
                by_dtype: vec![("F32".into(), 10), ("BF16".into(), 20)],
                total: 30
            })
        );
        assert_eq!(info.files.len(), 2);
        assert_eq!(info.files[1].sha256.as_deref(), Some("s"));
        assert_eq!(info.config, Some(json!({"model_type": "bert"})));
    }

    #[test]
    fn what_is_absent_or_odd_counts_as_absent() {
        let bare = info(json!({"id": "gpt2"})).unwrap();
        assert_eq!(
            (bare.gated, bare.downloads, bare.sha),
            (Gated::No, None, None)
        );
        let odd = info(json!({
            "id": "gpt2", "sha": null, "gated": "new-kind", "downloads": -1, "likes": "3", "tags": "x", "cardData": [],
            "safetensors": {"parameters": 1}, "siblings": {"a": 1}, "private": "yes", "config": "x",
        }))
        .unwrap();
        assert_eq!(odd.gated, Gated::Manual);
        assert_eq!((odd.downloads, odd.likes), (None, None));
        assert!(odd.tags.is_empty() && odd.files.is_empty());
        assert!(odd.card_data.is_none() && odd.safetensors.is_none() && odd.config.is_none());
    }

    #[test]
    fn names_and_commits_of_a_reply_are_checked() {
        for reply in [
            json!({}),
            json!({"id": "../../x"}),
            json!({"id": 1}),
            json!({"id": "a/b", "sha": "../../etc"}),
        ] {
            assert!(info(reply.clone()).is_err(), "{reply}");
        }
        let refs = |reply: Value| RepoRefs::from_json(reply.as_object().unwrap());
        let bad = json!({"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": "HEAD"}]});
        assert!(refs(bad).is_err());
        assert_eq!(refs(json!({})).unwrap(), RepoRefs::default());
    }
}
