//! Where a commit goes: a revision of a repository, and the addresses by which the Hub is asked about it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lfs;
use crate::error::HubError;
use crate::http::request::{Body, Method, Request};
use crate::hub::Hub;
use crate::repo::{Repo, Revision};

/// How long the Hub may take for a commit of many files.
const COMMIT_RESPONSE: Duration = Duration::from_secs(300);

/// One revision of one repository, to be written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) hub: &'a Hub,
    pub(super) repo: &'a Repo,
    pub(super) revision: &'a Revision,
    /// A commit becomes a pull request.
    pub(super) create_pr: bool,
}

impl Target<'_> {
    /// A question, which may be asked again if it is not known whether it arrived.
    pub(super) fn post_json<T: DeserializeOwned>(
        &self,
        verb: &str,
        question: Value,
    ) -> Result<T, HubError> {
        let request = self.api(verb)?.json(question).idempotent();
        self.hub.http().send(&request)?.json()
    }

    /// Where large files go.
    pub(super) fn post_lfs_batch<T: DeserializeOwned>(
        &self,
        question: &Value,
    ) -> Result<T, HubError> {
        let repo = self.repo;
        let path = format!("/{repo}.git/info/lfs/objects/batch");
        let request = self.request(&path)?;
        let request = request
            .header("accept", lfs::MEDIA_TYPE)
            .body(Body::Bytes {
                bytes: question.to_string().into_bytes().into(),
                content_type: Some(lfs::MEDIA_TYPE),
            })
            .idempotent();
        self.hub.http().send(&request)?.json()
    }

    /// The commit itself. Not sent again when its reply is lost: it may have been made.
    pub(super) fn post_commit<T: DeserializeOwned>(&self, payload: Vec<u8>) -> Result<T, HubError> {
        let request = self.api("commit")?.patient(COMMIT_RESPONSE);
        let request = request.body(Body::Bytes {
            bytes: payload.into(),
            content_type: Some("application/x-ndjson"),
        });
        let sent = self.hub.http().send(&request);
        sent.map_err(|error| self.conflict(error))?.json()
    }

    /// The reference to which large files are to belong. Who proposes a change need not be allowed to write to what it is
    /// proposed for, and names none.
    pub(super) fn lfs_ref(&self) -> Option<&str> {
        (!self.create_pr).then(|| self.revision.as_str())
    }

    /// What is wrong with a reply.
    pub(super) fn bad_reply(&self, verb: &str, why: String) -> HubError {
        let endpoint = self.hub.endpoint();
        HubError::BadReply {
            url: format!("{endpoint}/{}: {verb}", self.repo),
            why,
        }
    }

    fn api(&self, verb: &str) -> Result<Request, HubError> {
        let (repo, revision) = (self.repo, self.revision.url_encoded());
        let (plural, id) = (repo.repo_type().plural(), repo.id());
        let query = if self.create_pr { "?create_pr=1" } else { "" };
        self.request(&format!("/api/{plural}/{id}/{verb}/{revision}{query}"))
    }

    fn request(&self, path: &str) -> Result<Request, HubError> {
        let request = self.hub.http().api(Method::Post, path)?;
        let doing = format!("uploading to {}", self.repo);
        Ok(request.about(self.repo).at(self.revision).doing(doing))
    }

    fn conflict(&self, error: HubError) -> HubError {
        match error {
            HubError::Status {
                status: 409 | 412,
                message,
                ..
            } => HubError::Conflict {
                repo: self.repo.clone(),
                revision: self.revision.clone(),
                message,
            },
            error => error,
        }
    }
}
