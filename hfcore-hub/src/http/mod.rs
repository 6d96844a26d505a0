//! Requests to a Hub: over TLS, with retries, and with redirects followed by hand, since where one leads decides whether
//! the token goes along. The token is sent to the endpoint's own scheme, host and port and nowhere else, and neither it nor
//! the query of an address is in any message.

pub(crate) mod address;
mod agents;
mod failure;
pub(crate) mod pages;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod status;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::de::DeserializeOwned;
use ureq::SendBody;
use ureq::http::HeaderValue;

use crate::error::HubError;
use crate::progress::{Event, Progress};
use crate::token::Token;
use address::Address;
use agents::Agents;
use failure::{before_sending, into_io, tls_reason};
use pages::Pages;
use request::{Body, Counted, Method, Patience, Redirects, Request};
use response::{BodyReader, Response, header};
use retry::{Backoff, Waits, asked_wait};

/// Python follows 20; no chain of the Hub has three.
const MAX_REDIRECTS: usize = 10;

/// As `http_backoff` of Python.
const RETRIES: u32 = 5;

/// For what a server has to think about: a listing, an account, a commit.
const API_RESPONSE: Duration = Duration::from_secs(60);

/// How a Hub is spoken to.
pub(crate) struct Http {
    endpoint: Address,
    token: Option<Token>,
    settings: Settings,
    agents: Agents,
}

/// What a [`Hub`](crate::Hub) was built with, as far as it is about requests.
pub(crate) struct Settings {
    pub(crate) endpoint: String,
    pub(crate) token: Option<Token>,
    /// What switches the network off.
    pub(crate) offline: Option<&'static str>,
    pub(crate) user_agent: String,
    pub(crate) etag_timeout: Duration,
    pub(crate) download_timeout: Duration,
    pub(crate) ca_bundle: Option<PathBuf>,
    pub(crate) backoff: Backoff,
    /// Over how long the slowest speed of a body is judged.
    pub(crate) pace_window: Duration,
    pub(crate) progress: Arc<dyn Progress>,
}

/// One try that came to nothing.
struct Failure {
    error: HubError,
    /// Whether another try may help.
    again: bool,
    /// How long the server asks to wait before.
    asked: Option<Duration>,
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self {
            error,
            again: false,
            asked: None,
        }
    }
}

impl Http {
    /// # Errors
    /// If the endpoint is no address.
    pub(crate) fn new(mut settings: Settings) -> Result<Self, HubError> {
        let endpoint = Address::parse(&settings.endpoint).map_err(|why| {
            // What stands before an `@` may be a password.
            let shown = settings.endpoint.rsplit('@').next().unwrap_or_default();
            HubError::Argument {
                what: format!("the endpoint {shown:?}"),
                why: why.to_owned(),
            }
        })?;
        Ok(Self {
            endpoint,
            token: settings.token.take(),
            agents: Agents::new(settings.ca_bundle.take())?,
            settings,
        })
    }

    /// As it was given, without a `/` at the end.
    pub(crate) fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    pub(crate) const fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// What switches the network off, if something does.
    pub(crate) const fn offline(&self) -> Option<&'static str> {
        self.settings.offline
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.settings.progress
    }

    pub(crate) const fn backoff(&self) -> Backoff {
        self.settings.backoff
    }

    /// A request to the Hub itself, with the token if there is one. `path` is what follows the endpoint, encoded:
    /// `/api/models/org/name?expand=sha`.
    ///
    /// # Errors
    /// If `path` is none.
    pub(crate) fn api(&self, method: Method, path: &str) -> Result<Request, HubError> {
        let address = self
            .endpoint
            .below(path)
            .map_err(|why| HubError::Argument {
                what: format!("the path {path:?} on {}", self.endpoint()),
                why: why.to_owned(),
            })?;
        Ok(self.request(method, address, true))
    }

    /// A request to any address, never with the token: storage hosts are given addresses that are signed.
    ///
    /// # Errors
    /// If it is no address. It may come from a server, so the error is about a reply.
    pub(crate) fn storage(&self, method: Method, url: &str) -> Result<Request, HubError> {
        let address = self.endpoint.join(url).map_err(|why| HubError::BadReply {
            url: self.endpoint().to_owned(),
            why: format!("an address in it: {why}"),
        })?;
        if self.endpoint.is_https() && !address.is_https() {
            return Err(HubError::BadReply {
                url: self.endpoint().to_owned(),
                why: format!("an address in it, {address}, is not encrypted"),
            });
        }
        let mut request = self.request(method, address, false);
        request.patience = self.download_patience();
        Ok(request)
    }

    fn request(&self, method: Method, address: Address, authorized: bool) -> Request {
        let connect = self.settings.etag_timeout;
        Request {
            method,
            doing: format!("asking {}", address.host()),
            address,
            authorized,
            headers: Vec::new(),
            body: Body::Empty,
            redirects: Redirects::Follow,
            patience: Patience {
                connect,
                response: API_RESPONSE.max(connect),
                idle: API_RESPONSE.max(connect),
            },
            retries: RETRIES,
            idempotent: method.is_idempotent(),
            repo: None,
            revision: None,
            path: None,
            stop: None,
            on_sent: None,
        }
    }

    /// For questions about a file: everything within `etag_timeout`.
    pub(crate) fn metadata_patience(&self) -> Patience {
        let timeout = self.settings.etag_timeout;
        Patience {
            connect: timeout,
            response: timeout,
            idle: timeout,
        }
    }

    /// For bodies: no silence longer than `download_timeout`.
    pub(crate) fn download_patience(&self) -> Patience {
        let timeout = self.settings.download_timeout;
        Patience {
            connect: timeout,
            response: timeout,
            idle: timeout,
        }
    }

    /// The entries of all pages.
    pub(crate) fn pages<T: DeserializeOwned>(&self, request: Request) -> Pages<'_, T> {
        Pages::new(self, request)
    }

    /// Sends it until there is a reply, by the rules of [`Request`]: its redirects, its retries. The status of what is
    /// returned is below 300, or a redirect that the request does not follow.
    ///
    /// # Errors
    /// Everything else, as a [`HubError`] of the kind the Hub means.
    pub(crate) fn send(&self, request: &Request) -> Result<Response, HubError> {
        if let Some(why) = self.settings.offline {
            return Err(HubError::Offline {
                what: request.doing.clone(),
                why,
            });
        }
        let mut waits = Waits::new(self.settings.backoff);
        let mut tries = 0;
        loop {
            let failure = match self.follow(request) {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if !failure.again || tries >= request.retries || request.is_stopped() {
                return Err(failure.error);
            }
            let Some(wait) = waits.next(failure.asked) else {
                return Err(failure.error);
            };
            tries += 1;
            self.wait(request, wait, &failure.error);
            if request.is_stopped() {
                return Err(failure.error);
            }
        }
    }

    /// Waits, and says so.
    pub(crate) fn wait(&self, request: &Request, wait: Duration, why: &HubError) {
        self.progress().event(&Event::Retry {
            what: &request.doing,
            after: wait,
            why,
        });
        let until = Instant::now() + wait;
        while !request.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// One try: all redirects.
    fn follow(&self, request: &Request) -> Result<Response, Failure> {
        let mut address = request.address.clone();
        let mut authorized = request.authorized;
        for _ in 0..=MAX_REDIRECTS {
            let home = address.same_origin(&request.address);
            let mut response = self.once(request, &address, authorized, home)?;
            let is_redirect = matches!(response.status(), 301 | 302 | 303 | 307 | 308);
            let location = response.header("location").filter(|_| is_redirect);
            let Some(location) = location.map(str::to_owned) else {
                return self.judge(request, response);
            };
            let refuse = |to: String, why| HubError::Redirect {
                from: address.to_string(),
                to,
                why,
            };
            let target = match address.join(&location) {
                Ok(target) => target,
                Err(why) => return Err(refuse("an address that is refused".to_owned(), why).into()),
            };
            if !matches!(request.method, Method::Get | Method::Head) {
                let why = "what is sent is not sent elsewhere";
                return Err(refuse(target.to_string(), why).into());
            }
            let stays = target.same_origin(&address);
            if !stays && request.redirects == Redirects::ToMetadata && has_metadata(&response) {
                return Ok(response);
            }
            if address.is_https() && !target.is_https() {
                let why = "it leads from https to http";
                return Err(refuse(target.to_string(), why).into());
            }
            // Once left behind, the token does not come back: not even to a host that redirects home.
            authorized &= stays;
            response.drain();
            address = target;
        }
        let (from, to) = (request.address.to_string(), address.to_string());
        let why = "it is the eleventh in a row";
        Err(HubError::Redirect { from, to, why }.into())
    }

    /// The reply, or the error that its status stands for.
    fn judge(&self, request: &Request, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let asked = asked_wait(status, &|name| response.header(name), SystemTime::now());
        // Of these two a server says that it did nothing.
        let may_repeat = request.idempotent || matches!(status, 429 | 503);
        Err(Failure {
            again: retry::is_transient(status) && may_repeat,
            error: status::error(request, self, response, asked),
            asked,
        })
    }

    /// One request, one reply.
    fn once(
        &self,
        request: &Request,
        address: &Address,
        authorized: bool,
        home: bool,
    ) -> Result<Response, Failure> {
        let agent = self.agents.agent(address, request.patience)?;
        let token = self
            .token
            .as_ref()
            .filter(|_| authorized && address.same_origin(&self.endpoint));
        let mut message = ureq::http::Request::builder()
            .method(request.method.as_str())
            .uri(address.to_request())
            .header("accept-encoding", "identity")
            .header("user-agent", &self.settings.user_agent);
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .expect("a token has only visible ASCII characters");
            value.set_sensitive(true);
            message = message.header("authorization", value);
        }
        for (name, value) in &request.headers {
            // What was meant for one host is not for another, but for the range of a file.
            if home || name.eq_ignore_ascii_case("range") {
                message = message.header(*name, value);
            }
        }
        let body = match (&request.body, request.method) {
            (Body::Empty, Method::Get | Method::Head | Method::Delete) => SendBody::none(),
            (body, _) => {
                let open = body.open()?;
                message = message.header("content-length", open.len);
                let declared = request
                    .headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                if let Some(kind) = open.content_type.filter(|_| !declared) {
                    message = message.header("content-type", kind);
                }
                match &request.on_sent {
                    Some(on_sent) => SendBody::from_owned_reader(Counted {
                        inner: open.reader,
                        on_sent: Arc::clone(on_sent),
                    }),
                    None => SendBody::from_owned_reader(open.reader),
                }
            }
        };
        let message = message.body(body).map_err(|_| HubError::Argument {
            what: format!("a header of the request to {address}"),
            why: "it has characters that no header has".to_owned(),
        })?;
        match agent.run(message) {
            Ok(reply) => {
                let (parts, body) = reply.into_parts();
                if header(&parts.headers, "content-encoding").is_some_and(|coding| {
                    !coding.trim().is_empty() && !coding.trim().eq_ignore_ascii_case("identity")
                }) {
                    return Err(HubError::BadReply {
                        url: address.to_string(),
                        why: "its body is encoded, although it was asked for as it is".to_owned(),
                    }
                    .into());
                }
                Ok(Response {
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    address: address.clone(),
                    authenticated: token.is_some(),
                    body: BodyReader::new(body, self.settings.pace_window),
                })
            }
            Err(error) => Err(self.transport_failure(request, address, error)),
        }
    }

    fn transport_failure(
        &self,
        request: &Request,
        address: &Address,
        error: ureq::Error,
    ) -> Failure {
        if let Some(why) = tls_reason(&error) {
            let why = format!(
                "{} was not trusted ({why}); where a proxy of your network opens TLS, SSL_CERT_FILE names its certificates",
                address.host()
            );
            return HubError::Tls { why }.into();
        }
        let again = failure::is_transient(&error) && (request.idempotent || before_sending(&error));
        Failure {
            again,
            error: HubError::Network {
                doing: request.doing.clone(),
                host: address.host(),
                source: into_io(error),
            },
            asked: None,
        }
    }
}

/// Whether a redirect says itself what the file is, as the Hub's to its storage do.
fn has_metadata(response: &Response) -> bool {
    let names = ["x-repo-commit", "x-linked-etag"];
    names.iter().any(|name| response.header(name).is_some())
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
