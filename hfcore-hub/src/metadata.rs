//! What the Hub says about a revision and about a file, before anything of it is downloaded
//! (`get_hf_file_metadata` of `huggingface_hub` 2.4).

use hfcore_weights::RelPath;
use serde::Deserialize;

use crate::cache::ETag;
use crate::error::HubError;
use crate::http::address::encode_path;
use crate::http::request::{Method, Redirects, Request};
use crate::http::response::Response;
use crate::http::status;
use crate::hub::Hub;
use crate::repo::{Commit, Repo, Revision};

/// What a HEAD request says about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileMetadata {
    /// The commit that the revision stands for. Nothing on a mirror that is a plain file server.
    pub commit: Option<Commit>,
    /// What the contents are called; on the Hub, their hash.
    pub etag: Option<ETag>,
    /// Their size in bytes.
    pub size: Option<u64>,
    /// Their name in the Xet store, 64 hexadecimal digits, if they are in it.
    pub xet_hash: Option<String>,
}

/// The part of the reply about a revision that resolving it needs.
#[derive(Deserialize)]
struct RevisionReply {
    sha: Option<String>,
}

impl Hub {
    /// What the Hub says about `path` at `revision`.
    ///
    /// # Errors
    /// If there is no such repository, revision or file, it is not for this account, or there is no network.
    pub fn file_metadata(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
    ) -> Result<FileMetadata, HubError> {
        self.head(repo, revision, path)
            .map_err(plain_404_is_an_entry(repo, revision, path))
            .map_err(|error| self.with_suggestions(error))
    }

    /// As [`file_metadata`](Self::file_metadata), with the errors as the server gives them.
    pub(crate) fn head(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
    ) -> Result<FileMetadata, HubError> {
        let request = self
            .file_request(Method::Head, repo, revision, path)?
            .redirects(Redirects::ToMetadata)
            .patience(self.http().metadata_patience())
            .doing(format!("asking about {path} of {repo}"));
        metadata(&self.http().send(&request)?)
    }

    /// A request for the contents of `path`, or about them.
    pub(crate) fn file_request(
        &self,
        method: Method,
        repo: &Repo,
        revision: &Revision,
        path: &RelPath,
    ) -> Result<Request, HubError> {
        let address = format!(
            "/{repo}/resolve/{}/{}",
            revision.url_encoded(),
            encode_path(path.as_str())
        );
        let request = self.http().api(method, &address)?;
        Ok(request
            .about(repo)
            .at(revision)
            .file(path.as_str())
            .patience(self.http().download_patience()))
    }

    /// A request to the API about `repo`: `suffix` follows its name.
    pub(crate) fn repo_request(
        &self,
        method: Method,
        repo: &Repo,
        suffix: &str,
    ) -> Result<Request, HubError> {
        let address = format!("/api/{}/{}{suffix}", repo.repo_type().plural(), repo.id());
        let request = self.http().api(method, &address)?;
        Ok(request.about(repo).doing(format!("looking up {repo}")))
    }

    /// What `revision` stands for on the Hub, now.
    pub(crate) fn ask_commit(
        &self,
        repo: &Repo,
        revision: &Revision,
        retries: Option<u32>,
    ) -> Result<Commit, HubError> {
        let suffix = format!("/revision/{}", revision.url_encoded());
        let mut request = self.repo_request(Method::Get, repo, &suffix)?.at(revision);
        if let Some(retries) = retries {
            // There is something to fall back on: no need to insist.
            request = request
                .retries(retries)
                .patience(self.http().metadata_patience());
        }
        let response = self.http().send(&request).map_err(|error| match error {
            // A file server does not say what it lacks.
            HubError::Status { status: 404, .. } => HubError::RepositoryNotFound {
                repo: repo.clone(),
                endpoint: self.endpoint().to_owned(),
                authenticated: self.has_token(),
                suggestions: Vec::new(),
            },
            error => error,
        })?;
        let url = response.address().to_string();
        let reply: RevisionReply = response.json()?;
        let commit = match reply.sha {
            Some(sha) => Commit::parse(&sha).map_err(|error| error.to_string()),
            None => Err("it names no commit (`sha`)".to_owned()),
        };
        commit.map_err(|why| HubError::BadReply { url, why })
    }
}

/// A 404 that does not say what is missing: what was asked for.
pub(crate) fn plain_404_is_an_entry(
    repo: &Repo,
    revision: &Revision,
    path: &RelPath,
) -> impl FnOnce(HubError) -> HubError {
    let (repo, revision, path) = (repo.clone(), revision.clone(), path.to_string());
    move |error| match error {
        HubError::Status { status: 404, .. } => HubError::EntryNotFound {
            repo,
            revision,
            path,
            suggestions: Vec::new(),
        },
        error => status::with_revision(error, &revision),
    }
}

/// What the headers say. Names that become names of files are checked here.
fn metadata(response: &Response) -> Result<FileMetadata, HubError> {
    let commit = match response.header("x-repo-commit") {
        None => None,
        Some(commit) => {
            Some(Commit::parse(commit).map_err(|error| response.refuse(&error.to_string()))?)
        }
    };
    let filled = |name| response.header(name).filter(|value| !value.is_empty());
    let etag = match filled("x-linked-etag").or_else(|| filled("etag")) {
        None => None,
        Some(etag) => match ETag::parse(etag) {
            Ok(etag) => Some(etag),
            // A file server's name for the contents is of no use here; that the Hub's is none is an attack.
            Err(_) if commit.is_none() => None,
            Err(error) => return Err(response.refuse(&error.to_string())),
        },
    };
    let size = match filled("x-linked-size") {
        Some(size) => size.trim().parse().ok(),
        // Of a redirect it is the redirect's own.
        None if response.status() >= 300 => None,
        None => response.content_length(),
    };
    let xet_hash = response
        .header("x-xet-hash")
        .filter(|hash| is_xet_hash(hash))
        .map(str::to_owned);
    Ok(FileMetadata {
        commit,
        etag,
        size,
        xet_hash,
    })
}

/// 64 lower-case hexadecimal digits, by which alone a shared blob may be named (`is_valid_xet_hash`).
pub(crate) fn is_xet_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
