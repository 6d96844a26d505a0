//! Repositories and branches are made, and repositories deleted.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::HubError;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::repo::{Repo, RepoId, RepoType, Revision};

/// The Hub makes one repository of an account at a time, and refuses a second meanwhile: how often that is tried again.
const TRIES_WHEN_BUSY: u32 = 5;
/// What it says then.
const BUSY: &str = "another conflicting operation is in progress";

/// How a repository is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateRepo {
    /// Whether only its owners see it. Default: what the account or organisation has set.
    pub private: Option<bool>,
    /// Whether one that exists is as good. It stays as it is, its visibility too.
    pub exist_ok: bool,
}

impl CreateRepo {
    /// Seen by its owners alone, or by all.
    #[must_use]
    pub const fn with_private(mut self, private: bool) -> Self {
        self.private = Some(private);
        self
    }

    /// One that exists is as good.
    #[must_use]
    pub const fn with_exist_ok(mut self, exist_ok: bool) -> Self {
        self.exist_ok = exist_ok;
        self
    }
}

/// A repository that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedRepo {
    /// Its name, with the account's where only the rest was given.
    pub repo: Repo,
    /// Its page.
    pub url: String,
    /// Whether it was not there before.
    pub created: bool,
}

impl Hub {
    /// Makes an empty repository: `org/name` in an organisation or the account of the token, `name` in that account.
    ///
    /// # Errors
    /// [`HubError::RepositoryExists`] if there is one, unless that is as good; [`HubError::Forbidden`] if the account may
    /// not.
    pub fn create_repo(&self, repo: &Repo, options: &CreateRepo) -> Result<CreatedRepo, HubError> {
        if !self.has_token() {
            let what = "making a repository";
            return Err(HubError::NoToken { what });
        }
        if repo.repo_type() == RepoType::Space {
            return Err(HubError::Argument {
                what: format!("{repo}"),
                why: "a space needs an SDK, which is chosen on its page; make it there".to_owned(),
            });
        }
        let full = match repo.id().namespace() {
            Some(_) => repo.clone(),
            None => {
                let account = self.whoami()?.name;
                let id = RepoId::parse(&format!("{account}/{}", repo.id().name()))?;
                Repo::new(repo.repo_type(), id)
            }
        };
        let url = format!("{}/{full}", self.endpoint());
        let there = |created| {
            Ok(CreatedRepo {
                repo: full.clone(),
                url: url.clone(),
                created,
            })
        };
        let mut payload = named(repo);
        if let Some(private) = options.private {
            payload["visibility"] = if private { "private" } else { "public" }.into();
        }
        match self.post_create(repo, &payload) {
            Ok(()) => there(true),
            Err(HubError::Status { status: 409, .. }) if options.exist_ok => there(false),
            Err(HubError::Status { status: 409, .. }) => Err(HubError::RepositoryExists {
                repo: full,
                endpoint: self.endpoint().to_owned(),
            }),
            // Who may not make it may still write to it, if somebody else has.
            Err(error) if options.exist_ok && is_not_allowed(&error) => {
                match self.get_repo(&full) {
                    Ok(()) => there(false),
                    Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a repository with all that was ever in it. There is no way back.
    ///
    /// # Errors
    /// [`HubError::RepositoryNotFound`] if there is none; [`HubError::Forbidden`] if the account may not.
    pub fn delete_repo(&self, repo: &Repo) -> Result<(), HubError> {
        let request = self
            .http()
            .api(Method::Delete, "/api/repos/delete")?
            .json(named(repo))
            .about(repo)
            .doing(format!("deleting {repo}"));
        self.http().send(&request)?;
        Ok(())
    }

    /// Makes a branch where `main` is; one that exists is as good.
    ///
    /// # Errors
    /// What the network and the account do not allow.
    pub fn create_branch(&self, repo: &Repo, branch: &Revision) -> Result<(), HubError> {
        let (plural, id) = (repo.repo_type().plural(), repo.id());
        let path = format!("/api/{plural}/{id}/branch/{}", branch.url_encoded());
        let request = self
            .http()
            .api(Method::Post, &path)?
            .json(json!({}))
            .about(repo)
            .at(branch)
            .doing(format!("making the branch {branch} of {repo}"));
        match self.http().send(&request) {
            Ok(_) | Err(HubError::Status { status: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn post_create(&self, repo: &Repo, payload: &Value) -> Result<(), HubError> {
        let request = self
            .http()
            .api(Method::Post, "/api/repos/create")?
            .json(payload.clone())
            .doing(format!("making {repo}"));
        let mut tries = 0;
        loop {
            tries += 1;
            match self.http().send(&request) {
                Err(HubError::Status {
                    status: 409,
                    message: Some(message),
                    ..
                }) if message.contains(BUSY) && tries < TRIES_WHEN_BUSY => {
                    thread::sleep(Duration::from_millis(200) * tries);
                }
                sent => return sent.map(|_| ()),
            }
        }
    }

    /// Whether the token sees the repository.
    fn get_repo(&self, repo: &Repo) -> Result<(), HubError> {
        let path = format!("/api/{}/{}", repo.repo_type().plural(), repo.id());
        let request = self.http().api(Method::Get, &path)?;
        self.http().send(&request.about(repo))?;
        Ok(())
    }
}

/// How the Hub's API of repositories names one.
fn named(repo: &Repo) -> Value {
    json!({
        "name": repo.id().name(),
        "organization": repo.id().namespace(),
        "type": repo.repo_type().as_str(),
    })
}

fn is_not_allowed(error: &HubError) -> bool {
    matches!(
        error,
        HubError::Unauthorized { .. }
            | HubError::Forbidden { .. }
            | HubError::Status { status: 402, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_as_python_names_it() {
        assert_eq!(
            named(&Repo::model("org/name").unwrap()),
            json!({"name": "name", "organization": "org", "type": "model"})
        );
        assert_eq!(
            named(&Repo::model("name").unwrap()),
            json!({"name": "name", "organization": null, "type": "model"})
        );
    }
}
