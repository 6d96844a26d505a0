//! Who is using the Hub: whose token it is, and where it is kept.
//!
//! The files are Python's: the token in use in `token` (or `HF_TOKEN_PATH`), all tokens by name in `stored_tokens` beside it.
//! Both are readable by their owner alone. What one of the two programs stores the other uses.

mod secret_file;
mod stored_tokens;

use std::path::PathBuf;

use serde::Deserialize;

use self::stored_tokens::{StoredTokens, section_name};
use crate::environment::Environment;
use crate::error::HubError;
use crate::http::request::Method;
use crate::hub::Hub;
use crate::token::Token;

/// The account that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// What stands before the `/` of its repositories.
    pub name: String,
    /// What it calls itself.
    pub full_name: Option<String>,
    /// Whether it is a person.
    pub kind: AccountKind,
    /// The organisations it belongs to.
    pub organizations: Vec<Organization>,
    /// What the token is called, and what it may.
    pub token: Option<TokenInfo>,
}

/// Whether an account is a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountKind {
    /// A person.
    User,
    /// An organisation, with a token of its own.
    Organization,
    /// Something else, which this version does not know.
    Other,
}

/// An organisation that an account belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Organization {
    /// What stands before the `/` of its repositories.
    pub name: String,
    /// `admin`, `write`, `contributor`, `read` …, if the token may know.
    pub role: Option<String>,
}

/// What the Hub says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// What its owner called it.
    pub name: String,
    /// What it may do.
    pub role: Option<TokenRole>,
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRole {
    /// Read what its account may read.
    Read,
    /// Write, too.
    Write,
    /// What its owner chose, repository by repository.
    FineGrained,
    /// Something else, which this version does not know.
    Other(String),
}

impl TokenRole {
    /// `read`, `write`, `fine-grained` …
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::FineGrained => "fine-grained",
            Self::Other(role) => role,
        }
    }
}

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// Whose token it is.
    pub account: Account,
    /// The name under which it is kept.
    pub token_name: String,
    /// The file of the token in use.
    pub token_path: PathBuf,
    /// A variable gives another token, which wins over the file: the login takes effect where it is not set.
    pub overridden: bool,
    /// The file of named tokens could not be read by Python's rules: it is kept under this name, and a new one begun.
    pub set_aside: Option<PathBuf>,
}

/// What became of a logout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logout {
    /// The names of the tokens that were forgotten.
    pub names: Vec<String>,
    /// Whether there was a token in use, and is none now.
    pub was_in_use: bool,
    /// A variable still gives a token.
    pub overridden: bool,
}

#[derive(Debug, Deserialize)]
struct Reply {
    name: String,
    #[serde(default, rename = "fullname")]
    full_name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    orgs: Vec<ReplyOrg>,
    #[serde(default)]
    auth: Option<ReplyAuth>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyOrg {
    name: String,
    #[serde(default)]
    role_in_org: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyAuth {
    #[serde(default)]
    access_token: Option<ReplyToken>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyToken {
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    role: Option<String>,
}

impl Hub {
    /// Whose token is in use.
    ///
    /// The Hub allows few of these questions in a row.
    ///
    /// # Errors
    /// [`HubError::NoToken`] without one, [`HubError::Unauthorized`] if it is not accepted.
    pub fn whoami(&self) -> Result<Account, HubError> {
        if !self.has_token() {
            let what = "asking whose token it is";
            return Err(HubError::NoToken { what });
        }
        let request = self
            .http()
            .api(Method::Get, "/api/whoami-v2")?
            .doing("asking whose token it is");
        let reply: Reply = self.http().send(&request)?.json()?;
        Ok(reply.into())
    }
}

impl From<Reply> for Account {
    fn from(reply: Reply) -> Self {
        let token = reply.auth.and_then(|auth| auth.access_token);
        Self {
            name: reply.name,
            full_name: reply.full_name,
            kind: match reply.kind.as_deref() {
                Some("user") => AccountKind::User,
                Some("org") => AccountKind::Organization,
                _ => AccountKind::Other,
            },
            organizations: reply
                .orgs
                .into_iter()
                .map(|org| Organization {
                    name: org.name,
                    role: org.role_in_org,
                })
                .collect(),
            token: token.map(|token| TokenInfo {
                name: token.display_name.unwrap_or_default(),
                role: token.role.map(|role| match role.as_str() {
                    "read" => TokenRole::Read,
                    "write" => TokenRole::Write,
                    "fineGrained" => TokenRole::FineGrained,
                    _ => TokenRole::Other(role),
                }),
            }),
        }
    }
}

/// Makes the token of `hub` the one in use on this machine, after asking whose it is.
///
/// # Errors
/// [`HubError::NoToken`] if `hub` has none; [`HubError::Unauthorized`] if it is not accepted, and then nothing is stored;
/// [`HubError::Io`] if it cannot be stored.
pub fn login(hub: &Hub, environment: &Environment) -> Result<Login, HubError> {
    let Some(token) = hub.http().token() else {
        return Err(HubError::NoToken { what: "logging in" });
    };
    let account = hub.whoami()?;
    if token.expose().starts_with("api_org") || account.kind == AccountKind::Organization {
        return Err(HubError::Argument {
            what: "the token of an organisation".to_owned(),
            why: "a login is a person's: use a token of your account".to_owned(),
        });
    }
    let display_name = account.token.as_ref().map(|token| token.name.as_str());
    let token_name = section_name(display_name.unwrap_or_default(), &account.name);

    let stored_path = environment.stored_tokens_path();
    let lock = secret_file::lock(&stored_path);
    let (mut stored, set_aside) = read_or_set_aside(environment)?;
    stored.set(&token_name, token.expose());
    secret_file::write(&stored_path, &stored.to_ini())?;
    secret_file::write(&environment.token_path, token.expose())?;
    drop(lock);

    let from_variable = environment.token_is_set_by_variable();
    let in_use = environment.token()?;
    Ok(Login {
        account,
        token_name,
        token_path: environment.token_path.clone(),
        overridden: from_variable && in_use.as_ref() != Some(token),
        set_aside,
    })
}

/// Forgets the token called `name`, or all tokens. Credentials that git keeps stay.
///
/// # Errors
/// [`HubError::Argument`] if there is none of that name; [`HubError::Io`] if a file cannot be changed.
pub fn logout(environment: &Environment, name: Option<&str>) -> Result<Logout, HubError> {
    let stored_path = environment.stored_tokens_path();
    let token_path = &environment.token_path;
    let overridden = environment.token_is_set_by_variable();
    let stored = read(environment)?;
    let Some(name) = name else {
        // All of them, whatever is in the file.
        let names = stored.map_or_else(|_| Vec::new(), |stored| stored.names());
        let was_in_use = secret_file::remove(token_path)?;
        secret_file::remove(&stored_path)?;
        return Ok(Logout {
            names,
            was_in_use,
            overridden,
        });
    };
    let _lock = secret_file::lock(&stored_path);
    let mut stored = stored.map_err(|why| HubError::Argument {
        what: stored_path.display().to_string(),
        why: why.to_owned(),
    })?;
    let Some(removed) = stored.remove(name) else {
        let names = stored.names();
        return Err(HubError::Argument {
            what: format!("the name {name:?}"),
            why: format!("the stored tokens are called {}", names.join(", ")),
        });
    };
    secret_file::write(&stored_path, &stored.to_ini())?;
    let in_use = secret_file::read(token_path).map_err(unreadable(token_path))?;
    let in_use = in_use.and_then(|text| Token::parse(&String::from_utf8_lossy(&text)));
    let was_in_use = in_use.is_some_and(|token| token.expose() == removed);
    if was_in_use {
        secret_file::remove(token_path)?;
    }
    Ok(Logout {
        names: vec![name.to_owned()],
        was_in_use,
        overridden,
    })
}

/// The names under which tokens are kept, and which of them is that of the token in use.
///
/// # Errors
/// [`HubError::Io`] or [`HubError::Argument`] if the file cannot be read.
pub fn stored_tokens(environment: &Environment) -> Result<Vec<StoredToken>, HubError> {
    let stored = read(environment)?.map_err(|why| HubError::Argument {
        what: environment.stored_tokens_path().display().to_string(),
        why: why.to_owned(),
    })?;
    let in_use = environment.token()?;
    let in_use = in_use
        .as_ref()
        .and_then(|token| stored.name_of(token.expose()));
    let names = stored.names().into_iter();
    Ok(names
        .map(|name| StoredToken {
            in_use: Some(name.as_str()) == in_use,
            name,
        })
        .collect())
}

/// A token that [`login`] stored, without itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredToken {
    /// What it is called.
    pub name: String,
    /// Whether it is the one in use.
    pub in_use: bool,
}

/// The stored tokens, or why there are none in the file.
fn read(environment: &Environment) -> Result<Result<StoredTokens, &'static str>, HubError> {
    let path = environment.stored_tokens_path();
    let text = secret_file::read(&path).map_err(unreadable(&path))?;
    Ok(match text.map(String::from_utf8) {
        None => Ok(StoredTokens::default()),
        Some(Err(_)) => Err("it is not UTF-8"),
        Some(Ok(text)) => StoredTokens::parse(&text),
    })
}

/// A file that is none of Python's is kept under another name: it may hold tokens, and a login is no reason to lose them.
fn read_or_set_aside(
    environment: &Environment,
) -> Result<(StoredTokens, Option<PathBuf>), HubError> {
    if let Ok(stored) = read(environment)? {
        return Ok((stored, None));
    }
    let path = environment.stored_tokens_path();
    let aside = path.with_file_name("stored_tokens.unreadable");
    std::fs::rename(&path, &aside).map_err(|source| HubError::Io {
        path,
        doing: "renamed",
        source,
    })?;
    Ok((StoredTokens::default(), Some(aside)))
}

fn unreadable(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> HubError {
    let path = path.to_owned();
    move |source| HubError::Io {
        path,
        doing: "read",
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_the_hub() {
        let reply = r#"{"type": "user", "id": "1", "name": "ada", "fullname": "Ada L", "isPro": false,
            "orgs": [{"type": "org", "name": "analytical", "roleInOrg": "write"}, {"name": "engine"}],
            "auth": {"type": "access_token", "accessToken": {"displayName": "laptop", "role": "fineGrained", "createdAt": "x"}}}"#;
        let account = Account::from(serde_json::from_str::<Reply>(reply).unwrap());
        assert_eq!(
            (account.name.as_str(), account.kind),
            ("ada", AccountKind::User)
        );
        let organization = |name: &str, role: Option<&str>| Organization {
            name: name.to_owned(),
            role: role.map(str::to_owned),
        };
        assert_eq!(
            account.organizations,
            [
                organization("analytical", Some("write")),
                organization("engine", None)
            ]
        );
        let token = account.token.unwrap();
        assert_eq!(token.name, "laptop");
        assert_eq!(token.role.unwrap().as_str(), "fine-grained");

        // A login by browser: a token without a name.
        let reply = r#"{"type": "user", "name": "ada", "auth": {"type": "oauth"}}"#;
        let account = Account::from(serde_json::from_str::<Reply>(reply).unwrap());
        assert_eq!(account.token, None);
    }
}
