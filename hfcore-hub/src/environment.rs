//! What the environment says: where the cache is, which Hub, whose token, how long to wait. The variables and their
//! defaults are those of Python's `huggingface_hub` 2.4 (`constants.py`, `utils/_auth.py`); builder methods win over them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::HubError;
use crate::token::Token;

/// The public Hub.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Python's `DEFAULT_ETAG_TIMEOUT` and `DEFAULT_DOWNLOAD_TIMEOUT`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A token file holds a line; anything this large is something else.
const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// The settings that the environment gives, each with its default where it says nothing.
///
/// | variable | field |
/// |---|---|
/// | `HF_HOME`, else `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` | [`home`](Self::home) |
/// | `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in the home | [`cache`](Self::cache) |
/// | `HF_ENDPOINT` | [`endpoint`](Self::endpoint) |
/// | `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the token file | [`token()`](Self::token) |
/// | `HF_TOKEN_PATH`, else `token` in the home | [`token_path`](Self::token_path) |
/// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | [`implicit_token`](Self::implicit_token) |
/// | `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE` | [`offline`](Self::offline) |
/// | `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT` (seconds) | [`etag_timeout`](Self::etag_timeout), [`download_timeout`](Self::download_timeout) |
/// | `HF_HUB_DISABLE_SYMLINKS` | [`symlinks`](Self::symlinks) |
/// | `HF_HUB_DISABLE_SHARED_BLOBS` | [`shared_blobs`](Self::shared_blobs) |
/// | `HF_HUB_DISABLE_PROGRESS_BARS` | [`progress_bars`](Self::progress_bars) |
/// | `HF_HUB_USER_AGENT_ORIGIN` | [`user_agent_origin`](Self::user_agent_origin) |
/// | `SSL_CERT_FILE`, else `REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE` | [`ca_bundle`](Self::ca_bundle) |
///
/// A switch is on at `1`, `ON`, `YES` and `TRUE`, in any case. `~` and `$VARIABLE` in paths are replaced. A variable that is
/// set to nothing counts as unset (Python takes an empty `HF_HOME` for the current folder).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Environment {
    /// The folder of everything that belongs to Hugging Face.
    pub home: PathBuf,
    /// The cache.
    pub cache: PathBuf,
    /// The Hub, without a `/` at the end.
    pub endpoint: String,
    /// The file that `login` writes.
    pub token_path: PathBuf,
    /// Whether the token is sent without being asked for.
    pub implicit_token: bool,
    /// What switches the network off, if something does: the name of the variable.
    pub offline: Option<&'static str>,
    /// How long the reply to a question about a file may take.
    pub etag_timeout: Duration,
    /// How long a download may go without a byte.
    pub download_timeout: Duration,
    /// Whether snapshots may hold symbolic links.
    pub symlinks: bool,
    /// Whether the store of blobs that repositories share is used.
    pub shared_blobs: bool,
    /// Whether programs should show progress: `None` leaves it to them.
    pub progress_bars: Option<bool>,
    /// Appended to the user agent.
    pub user_agent_origin: Option<String>,
    /// Certificate authorities (PEM) in place of the built-in ones.
    pub ca_bundle: Option<PathBuf>,
    token: Option<Token>,
}

impl Environment {
    /// What the variables of this process say.
    ///
    /// # Errors
    /// If one of them cannot be read as what it stands for, or there is no home folder.
    pub fn from_process() -> Result<Self, HubError> {
        Self::from_lookup(&|name| env::var_os(name), env::home_dir())
    }

    /// What these variables say, for a user whose home is `user_home`.
    ///
    /// # Errors
    /// As [`from_process`](Self::from_process).
    pub fn from_lookup(
        lookup: &dyn Fn(&str) -> Option<OsString>,
        user_home: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        let vars = Variables { lookup, user_home };
        let home = match vars.path("HF_HOME")? {
            Some(home) => home,
            None => match vars.path("XDG_CACHE_HOME")? {
                Some(cache) => cache.join("huggingface"),
                None => vars.home_dir("HF_HOME")?.join(".cache/huggingface"),
            },
        };
        let cache = vars
            .path("HF_HUB_CACHE")?
            .or(vars.path("HUGGINGFACE_HUB_CACHE")?)
            .unwrap_or_else(|| home.join("hub"));
        let token_path = vars
            .path("HF_TOKEN_PATH")?
            .unwrap_or_else(|| home.join("token"));
        let endpoint = vars.text("HF_ENDPOINT")?;
        let endpoint = endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        let token = vars
            .text("HF_TOKEN")?
            .or(vars.text("HUGGING_FACE_HUB_TOKEN")?);
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
            .into_iter()
            .find_map(|name| vars.text(name).transpose().map(|value| (name, value)));
        let offline = match offline {
            Some((name, value)) => is_true(&value?).then_some(name),
            None => None,
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            implicit_token: !vars.switch("HF_HUB_DISABLE_IMPLICIT_TOKEN")?,
            offline,
            etag_timeout: vars.seconds("HF_HUB_ETAG_TIMEOUT")?,
            download_timeout: vars.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
            symlinks: !vars.switch("HF_HUB_DISABLE_SYMLINKS")?,
            shared_blobs: !vars.switch("HF_HUB_DISABLE_SHARED_BLOBS")?,
            progress_bars: vars
                .text("HF_HUB_DISABLE_PROGRESS_BARS")?
                .map(|value| !is_true(&value)),
            user_agent_origin: vars.text("HF_HUB_USER_AGENT_ORIGIN")?,
            ca_bundle: vars
                .path("SSL_CERT_FILE")?
                .or(vars.path("REQUESTS_CA_BUNDLE")?)
                .or(vars.path("CURL_CA_BUNDLE")?),
            token: token.as_deref().and_then(Token::parse),
            home,
            cache,
            token_path,
        })
    }

    /// The token of this user: a variable's, else the token file's.
    ///
    /// # Errors
    /// If there is a token file that cannot be read.
    pub fn token(&self) -> Result<Option<Token>, HubError> {
        match &self.token {
            Some(token) => Ok(Some(token.clone())),
            None => read_token(&self.token_path),
        }
    }

    /// Whether a variable gives the token, and so wins over the token file.
    #[must_use]
    pub const fn token_is_set_by_variable(&self) -> bool {
        self.token.is_some()
    }

    /// The file of all tokens that `login` was given, by name.
    #[must_use]
    pub fn stored_tokens_path(&self) -> PathBuf {
        self.token_path.with_file_name("stored_tokens")
    }
}

/// The token in a file; nothing if there is no file or nothing in it.
fn read_token(path: &Path) -> Result<Option<Token>, HubError> {
    let failed = |source| HubError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_TOKEN_FILE => {}
        Ok(_) => {
            return Err(HubError::Argument {
                what: path.display().to_string(),
                why: "a token file is a small text file: `hfcore login` writes it".to_owned(),
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(Token::parse(&text))
}

/// Python's `_is_true`.
fn is_true(value: &str) -> bool {
    let value = value.to_ascii_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<OsString>,
    user_home: Option<PathBuf>,
}

impl Variables<'_> {
    /// The variable, unless it is unset or empty.
    fn text(&self, name: &str) -> Result<Option<String>, HubError> {
        let Some(value) = (self.lookup)(name) else {
            return Ok(None);
        };
        let value = value.into_string().map_err(|_| HubError::Argument {
            what: format!("the variable {name}"),
            why: "it is not UTF-8".to_owned(),
        })?;
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    fn switch(&self, name: &str) -> Result<bool, HubError> {
        Ok(self.text(name)?.is_some_and(|value| is_true(&value)))
    }

    /// Whole seconds; 0 is the default, as in Python.
    fn seconds(&self, name: &str) -> Result<Duration, HubError> {
        let Some(value) = self.text(name)? else {
            return Ok(DEFAULT_TIMEOUT);
        };
        match value.trim().parse::<u32>() {
            Ok(0) => Ok(DEFAULT_TIMEOUT),
            Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
            Err(_) => Err(HubError::Argument {
                what: format!("{name}={value}"),
                why: "it is a number of seconds".to_owned(),
            }),
        }
    }

    fn home_dir(&self, wanted_for: &str) -> Result<PathBuf, HubError> {
        self.user_home.clone().ok_or_else(|| HubError::Argument {
            what: "the cache".to_owned(),
            why: format!("this user has no home folder: set {wanted_for} to a folder"),
        })
    }

    /// Python's `os.path.expandvars(os.path.expanduser(value))`; paths that are no UTF-8 are taken as they are.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, HubError> {
        let Some(value) = (self.lookup)(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let Some(text) = value.to_str() else {
            return Ok(Some(value.into()));
        };
        let below_home = match text.strip_prefix('~') {
            Some("") => Some(""),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        Ok(Some(match below_home {
            Some(rest) => self.home_dir(name)?.join(self.expand_variables(rest)),
            None => self.expand_variables(text).into(),
        }))
    }

    /// `$NAME` and `${NAME}`; one that is not set stays as it is written.
    fn expand_variables(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, length) = if let Some(inner) = rest.strip_prefix("${") {
                let end = inner.find('}').unwrap_or(0);
                (&inner[..end], end + 3)
            } else {
                let end = rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1);
                (&rest[1..=end], end + 1)
            };
            let value = (!name.is_empty()).then(|| (self.lookup)(name)).flatten();
            match value.and_then(|value| value.into_string().ok()) {
                Some(value) => {
                    expanded.push_str(&value);
                    rest = &rest[length..];
                }
                None => {
                    expanded.push('$');
                    rest = &rest[1..];
                }
            }
        }
        expanded + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Environment, HubError> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(found.1))
        };
        Environment::from_lookup(&lookup, Some("/home/ada".into()))
    }

    /// As `huggingface_hub.constants` has them under the same variables, but for the empty one.
    #[test]
    fn places_are_where_python_has_them() {
        for (variables, cache, token) in [
            (
                &[][..],
                "/home/ada/.cache/huggingface/hub",
                "/home/ada/.cache/huggingface/token",
            ),
            (&[("HF_HOME", "/data/hf")], "/data/hf/hub", "/data/hf/token"),
            (
                &[("HF_HOME", "")],
                "/home/ada/.cache/huggingface/hub",
                "/home/ada/.cache/huggingface/token",
            ),
            (
                &[("HF_HOME", "~/hf")],
                "/home/ada/hf/hub",
                "/home/ada/hf/token",
            ),
            (
                &[("HF_HOME", "${X}/hf$Y-$X"), ("X", "/x")],
                "/x/hf$Y-/x/hub",
                "/x/hf$Y-/x/token",
            ),
            (
                &[("HF_HOME", "~/$X"), ("X", "hf")],
                "/home/ada/hf/hub",
                "/home/ada/hf/token",
            ),
            (&[("HF_HOME", "~bob/hf")], "~bob/hf/hub", "~bob/hf/token"),
            (
                &[("XDG_CACHE_HOME", "~/xdg")],
                "/home/ada/xdg/huggingface/hub",
                "/home/ada/xdg/huggingface/token",
            ),
            (
                &[("XDG_CACHE_HOME", "/xdg")],
                "/xdg/huggingface/hub",
                "/xdg/huggingface/token",
            ),
            (
                &[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/h")],
                "/h/hub",
                "/h/token",
            ),
            (
                &[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")],
                "/c",
                "/h/token",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old")],
                "/old",
                "/home/ada/.cache/huggingface/token",
            ),
            (
                &[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")],
                "/c",
                "/home/ada/.cache/huggingface/token",
            ),
            (
                &[("HF_TOKEN_PATH", "/t")],
                "/home/ada/.cache/huggingface/hub",
                "/t",
            ),
        ] {
            let found = environment(variables).unwrap();
            assert_eq!(found.cache, Path::new(cache), "{variables:?}");
            assert_eq!(found.token_path, Path::new(token), "{variables:?}");
        }
    }

    #[test]
    fn switches_and_times() {
        let found = environment(&[]).unwrap();
        assert_eq!(found.endpoint, "https://huggingface.co");
        assert_eq!(found.offline, None);
        assert!(found.implicit_token && found.symlinks && found.shared_blobs);
        assert_eq!(found.etag_timeout, Duration::from_secs(10));
        let found = environment(&[
            ("HF_ENDPOINT", "https://mirror.example/hub//"),
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_HUB_ETAG_TIMEOUT", "3"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
            ("HF_HUB_DISABLE_SYMLINKS", "TRUE"),
        ])
        .unwrap();
        assert_eq!(found.endpoint, "https://mirror.example/hub");
        assert_eq!(found.offline, Some("HF_HUB_OFFLINE"));
        assert!(!found.symlinks);
        assert_eq!(found.etag_timeout, Duration::from_secs(3));
        assert_eq!(found.download_timeout, Duration::from_secs(10));
        // Python asks for the second only where the first is unset or empty.
        let both = [("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")];
        assert_eq!(environment(&both).unwrap().offline, None);
        let second = [("HF_HUB_OFFLINE", ""), ("TRANSFORMERS_OFFLINE", "1")];
        assert_eq!(
            environment(&second).unwrap().offline,
            Some("TRANSFORMERS_OFFLINE")
        );
        let error = environment(&[("HF_HUB_ETAG_TIMEOUT", "soon")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "HF_HUB_ETAG_TIMEOUT=soon cannot be used: it is a number of seconds"
        );
    }

    #[test]
    fn a_user_without_a_home_is_told_what_to_set() {
        let error = Environment::from_lookup(&|_| None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the cache cannot be used: this user has no home folder: set HF_HOME to a folder"
        );
    }

    #[test]
    fn a_variable_wins_over_the_token_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let path = file.to_str().unwrap();
        assert_eq!(
            environment(&[("HF_TOKEN_PATH", path)])
                .unwrap()
                .token()
                .unwrap(),
            None
        );
        fs::write(&file, "hf_file\n").unwrap();
        let found = environment(&[("HF_TOKEN_PATH", path)]).unwrap();
        assert_eq!(found.token().unwrap(), Token::parse("hf_file"));
        assert!(!found.token_is_set_by_variable());
        let found = environment(&[("HF_TOKEN_PATH", path), ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(found.token().unwrap(), Token::parse("hf_variable"));
        assert!(!format!("{found:?}").contains("hf_variable"));
        let found = environment(&[("HF_TOKEN_PATH", folder.path().to_str().unwrap())]).unwrap();
        assert!(
            found
                .token()
                .unwrap_err()
                .to_string()
                .contains("a small text file")
        );
    }
}
