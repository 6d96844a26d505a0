//! A Hub and the cache of what came from it: the door to everything that needs the network.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::environment::Environment;
use crate::error::HubError;
use crate::http::retry::Backoff;
use crate::http::{Http, Settings};
use crate::progress::{NoProgress, Progress};
use crate::token::Token;

/// How many files a snapshot downloads at once; Python's default.
const WORKERS: usize = 8;

/// A Hub, its cache, and how to speak to it. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    cache: Cache,
    workers: usize,
}

impl Hub {
    /// As the environment says ([`Environment`]): what Python's functions use when they are given nothing.
    ///
    /// # Errors
    /// If a variable cannot be used, or the token file cannot be read.
    pub fn from_env() -> Result<Self, HubError> {
        Self::builder()?.build()
    }

    /// Begins with what the environment says; each method wins over it.
    ///
    /// # Errors
    /// As [`Environment::from_process`].
    pub fn builder() -> Result<HubBuilder, HubError> {
        Ok(HubBuilder::new(Environment::from_process()?))
    }

    /// The Hub's address, without a `/` at the end.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.inner.http.endpoint()
    }

    /// What came from it before.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// What switches the network off, if something does: `HF_HUB_OFFLINE` …
    #[must_use]
    pub fn offline(&self) -> Option<&'static str> {
        self.inner.http.offline()
    }

    /// Whether there is a token to send.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.inner.http.token().is_some()
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    pub(crate) fn workers(&self) -> usize {
        self.inner.workers
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("http", &self.inner.http)
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

/// How a [`Hub`] is to be.
#[must_use]
pub struct HubBuilder {
    environment: Environment,
    token: TokenChoice,
    workers: usize,
    progress: Arc<dyn Progress>,
    user_agent: Vec<String>,
    backoff: Backoff,
    pace_window: Duration,
    locks: bool,
}

enum TokenChoice {
    /// What the environment gives, if it may be sent without being asked for.
    Environment,
    This(Token),
    None,
}

impl HubBuilder {
    /// Begins with `environment`, which need not be the process's.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            token: TokenChoice::Environment,
            workers: WORKERS,
            progress: Arc::new(NoProgress),
            user_agent: Vec::new(),
            backoff: Backoff::default(),
            pace_window: Duration::from_secs(60),
            locks: true,
        }
    }

    /// Another Hub: a private one, or a mirror. `http://` and `https://`, with a path if need be.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.environment.endpoint = endpoint.trim_end_matches('/').to_owned();
        self
    }

    /// Sends this token.
    pub fn token(mut self, token: Token) -> Self {
        self.token = TokenChoice::This(token);
        self
    }

    /// Sends no token, even if the environment has one.
    pub fn no_token(mut self) -> Self {
        self.token = TokenChoice::None;
        self
    }

    /// Another folder for the cache.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.environment.cache = folder.into();
        self
    }

    /// Switches the network off: only what is in the cache can be had.
    pub fn offline(mut self, offline: bool) -> Self {
        self.environment.offline = offline.then_some("the option `offline`");
        self
    }

    /// How long the reply to a question about a file may take.
    pub fn etag_timeout(mut self, timeout: Duration) -> Self {
        self.environment.etag_timeout = timeout;
        self
    }

    /// How long a download may go without a byte.
    pub fn download_timeout(mut self, timeout: Duration) -> Self {
        self.environment.download_timeout = timeout;
        self
    }

    /// How many files a snapshot downloads at once; at least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Who is told of what happens.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Names the program in the user agent: `my-tool/1.2`. What cannot stand in a header is dropped.
    pub fn user_agent(mut self, name: &str) -> Self {
        self.user_agent.push(name.to_owned());
        self
    }

    /// The certificate authorities in this PEM file, in place of the built-in ones.
    pub fn ca_bundle(mut self, file: impl Into<PathBuf>) -> Self {
        self.environment.ca_bundle = Some(file.into());
        self
    }

    /// Whether snapshots may hold symbolic links; where they may not, files are moved or copied into them.
    pub fn symlinks(mut self, symlinks: bool) -> Self {
        self.environment.symlinks = symlinks;
        self
    }

    /// Whether the operating system's locks are used; see [`Cache::with_locks`]. The default is that they are.
    pub fn locks(mut self, locks: bool) -> Self {
        self.locks = locks;
        self
    }

    /// Whether the store of blobs that repositories share is used.
    pub fn shared_blobs(mut self, shared_blobs: bool) -> Self {
        self.environment.shared_blobs = shared_blobs;
        self
    }

    /// Waits of these lengths between tries: the first, the longest, and all that servers ask for. For tests, which
    /// have no minutes.
    #[doc(hidden)]
    pub fn backoff(mut self, first: Duration, longest: Duration, asked: Duration) -> Self {
        self.backoff = Backoff {
            first,
            longest,
            asked,
        };
        self
    }

    /// Judges the speed of a body over this long. For tests.
    #[doc(hidden)]
    pub fn pace_window(mut self, window: Duration) -> Self {
        self.pace_window = window;
        self
    }

    /// Nothing is sent yet.
    ///
    /// # Errors
    /// If the endpoint is no address, or the token file cannot be read.
    pub fn build(self) -> Result<Hub, HubError> {
        let environment = self.environment;
        let token = match self.token {
            TokenChoice::This(token) => Some(token),
            TokenChoice::None => None,
            TokenChoice::Environment if environment.implicit_token => environment.token()?,
            TokenChoice::Environment => None,
        };
        let http = Http::new(Settings {
            user_agent: user_agent(&self.user_agent, environment.user_agent_origin.as_deref()),
            endpoint: environment.endpoint,
            token,
            offline: environment.offline,
            etag_timeout: environment.etag_timeout,
            download_timeout: environment.download_timeout,
            ca_bundle: environment.ca_bundle,
            backoff: self.backoff,
            pace_window: self.pace_window,
            progress: self.progress,
        })?;
        Ok(Hub {
            inner: Arc::new(Inner {
                http,
                cache: Cache::new(environment.cache)
                    .with_symlinks(environment.symlinks)
                    .with_shared_blobs(environment.shared_blobs)
                    .with_locks(self.locks),
                workers: self.workers,
            }),
        })
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// `hfcore/0.1.0; rust; my-tool/1.2; origin/x`: Python's form.
fn user_agent(names: &[String], origin: Option<&str>) -> String {
    let mut text = concat!("hfcore/", env!("CARGO_PKG_VERSION"), "; rust").to_owned();
    let origin = origin.map(|origin| format!("origin/{origin}"));
    for name in names.iter().chain(&origin) {
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let name: String = name.chars().filter(plain).take(200).collect();
        if !name.trim().is_empty() {
            text.push_str("; ");
            text.push_str(name.trim());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_names_the_program() {
        let names = [
            "my-tool/1.2".to_owned(),
            "evil\r\nX: y".to_owned(),
            " ".to_owned(),
        ];
        let text = user_agent(&names, Some("here"));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!("hfcore/{version}; rust; my-tool/1.2; evilX: y; origin/here")
        );
    }

    #[test]
    fn debug_shows_no_token_and_a_bad_endpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Some(folder.path().to_owned());
        let environment = Environment::from_lookup(&|_| None, home).unwrap();
        let builder = || HubBuilder::new(environment.clone());
        let token = Token::parse("hf_canary").unwrap();
        let hub = builder().token(token).build().unwrap();
        assert!(hub.has_token());
        assert!(!format!("{hub:?}").contains("canary"));
        let error = builder().endpoint("huggingface.co").build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the endpoint \"huggingface.co\" cannot be used: it is no absolute http(s) address"
        );
    }
}
