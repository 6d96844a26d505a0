//! What may have been meant: names that are near to one that does not exist, and whose token does not open a gated
//! repository. Best effort, and only while there is a network: an error never becomes another one here.

use serde::Deserialize;

use crate::error::HubError;
use crate::http::request::{Method, Request};
use crate::hub::Hub;
use crate::repo::{Commit, Repo, Revision, percent_encode};

/// More would be no help.
const MOST: usize = 3;

#[derive(Deserialize)]
struct Refs {
    #[serde(default)]
    branches: Vec<Ref>,
    #[serde(default)]
    tags: Vec<Ref>,
}

#[derive(Deserialize)]
struct Ref {
    name: String,
}

#[derive(Deserialize)]
struct Found {
    id: String,
}

#[derive(Deserialize)]
struct WhoAmI {
    name: String,
}

impl Hub {
    /// The error, with what may have been meant.
    pub(crate) fn with_suggestions(&self, error: HubError) -> HubError {
        if self.offline().is_some() {
            return error;
        }
        match error {
            HubError::EntryNotFound {
                repo,
                revision,
                path,
                suggestions,
            } if suggestions.is_empty() => HubError::EntryNotFound {
                suggestions: self.near_files(&repo, &revision, &path).unwrap_or_default(),
                repo,
                revision,
                path,
            },
            HubError::RevisionNotFound {
                repo,
                revision,
                suggestions,
            } if suggestions.is_empty() => HubError::RevisionNotFound {
                suggestions: self.near_revisions(&repo, &revision).unwrap_or_default(),
                repo,
                revision,
            },
            HubError::RepositoryNotFound {
                repo,
                endpoint,
                authenticated,
                suggestions,
            } if suggestions.is_empty() => HubError::RepositoryNotFound {
                suggestions: self.near_repositories(&repo).unwrap_or_default(),
                repo,
                endpoint,
                authenticated,
            },
            HubError::Gated {
                repo,
                page,
                account: None,
            } if self.has_token() => HubError::Gated {
                account: self.account_name().ok(),
                repo,
                page,
            },
            error => error,
        }
    }

    fn near_files(
        &self,
        repo: &Repo,
        revision: &Revision,
        path: &str,
    ) -> Result<Vec<String>, HubError> {
        let commit: Commit = match revision.as_commit() {
            Some(commit) => commit,
            None => self.ask_commit(repo, revision, Some(0))?,
        };
        let files = self.list_files(repo, &commit)?;
        Ok(nearest(path, files.iter().map(|file| file.path.as_str())))
    }

    fn near_revisions(&self, repo: &Repo, revision: &Revision) -> Result<Vec<String>, HubError> {
        let refs: Refs = self.ask_once(self.repo_request(Method::Get, repo, "/refs")?)?;
        let names = refs.branches.iter().chain(&refs.tags);
        let names = names.map(|reference| reference.name.as_str());
        Ok(nearest(revision.as_str(), names))
    }

    fn near_repositories(&self, repo: &Repo) -> Result<Vec<String>, HubError> {
        let path = format!(
            "/api/{}?search={}&limit=50",
            repo.repo_type().plural(),
            percent_encode(repo.id().name())
        );
        let found: Vec<Found> = self.ask_once(self.http().api(Method::Get, &path)?)?;
        let ids = found.iter().map(|found| found.id.as_str());
        Ok(nearest(repo.id().as_str(), ids))
    }

    fn account_name(&self) -> Result<String, HubError> {
        let who: WhoAmI = self.ask_once(self.http().api(Method::Get, "/api/whoami-v2")?)?;
        Ok(who.name)
    }

    fn ask_once<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<T, HubError> {
        let request = request.retries(0).patience(self.http().metadata_patience());
        self.http().send(&request)?.json()
    }
}

/// The names most like `wanted`, the nearest first: a few letters differ, or only the folder or the account does.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wanted_lower = wanted.to_lowercase();
    let most = (wanted.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = names
        // Names from outside, which are shown: short ones only, and without anything that is no text.
        .filter(|name| name.len() <= 200 && !name.chars().any(char::is_control))
        .filter(|name| *name != wanted)
        .filter_map(|name| {
            let same_last = last(wanted) == last(name);
            // A listing may have a million names.
            if !same_last && name.len().abs_diff(wanted.len()) > 4 * most {
                return None;
            }
            let distance = distance(&wanted_lower, &name.to_lowercase());
            (distance <= most || same_last).then_some((distance, name))
        })
        .collect();
    near.sort_unstable();
    near.truncate(MOST);
    near.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Levenshtein's: how many letters to insert, to remove or to replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let names = [
            "config.json",
            "onnx/config.json",
            "tokenizer.json",
            "README.md",
            "x\u{1b}[31m",
        ];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("confg.json"), ["config.json"]);
        assert_eq!(near("onnx/configs.json"), ["onnx/config.json"]);
        assert_eq!(near("Readme.md"), ["README.md"]);
        assert_eq!(near("sub/config.json"), ["config.json", "onnx/config.json"]);
        assert!(near("pytorch_model.bin").is_empty());
        assert!(near("x\u{1b}[31").is_empty());
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("a", "b", 1),
        ] {
            assert_eq!(distance(a, b), expected);
            assert_eq!(distance(b, a), expected);
        }
    }
}
