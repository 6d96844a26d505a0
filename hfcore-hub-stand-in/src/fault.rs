//! What can be made to go wrong, where, and how often.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::http::{Body, Host, Request, Response};
use crate::world::World;

/// How an answer is written to the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire {
    /// The connection ends after so many bytes of the body.
    pub(crate) cut: Option<u64>,
    /// It ends by a reset.
    pub(crate) reset: bool,
    /// Not even a head is written.
    pub(crate) silent: bool,
    /// Nothing more comes, and the connection stays, after so many bytes of the body.
    pub(crate) stall: Option<u64>,
    /// So many bytes at a time, with a pause after each.
    pub(crate) pace: Option<(usize, Duration)>,
    /// The byte of the file, counted from its start, of which a bit is wrong.
    pub(crate) corrupt: Option<u64>,
    /// What the length that is announced is wrong by.
    pub(crate) length: i64,
    /// No length is announced: the body ends with the connection.
    pub(crate) unannounced: bool,
    /// In chunks.
    pub(crate) chunked: bool,
}

type Change = Arc<dyn Fn(&mut World) + Send + Sync>;

#[derive(Clone)]
enum Action {
    Wire(Arc<dyn Fn(&mut Wire) + Send + Sync>),
    Before(Change),
    Answer(Arc<dyn Fn(Response) -> Response + Send + Sync>),
    /// The request is answered as if it had no `Range`.
    IgnoreRange,
}

/// One thing that goes wrong: which requests it hits, how often, and what happens. Of the faults that hit a request all
/// happen.
///
/// ```
/// # use hfcore_hub_stand_in::{Fault, StandIn};
/// let hub = StandIn::start();
/// hub.fault(Fault::on("model.safetensors").method("GET").times(2).status(503));
/// hub.fault(Fault::on("/api/models").header("Link", "<https://elsewhere.example/>; rel=\"next\""));
/// ```
#[derive(Clone)]
pub struct Fault {
    part: String,
    method: Option<String>,
    host: Option<Host>,
    skip: usize,
    times: usize,
    actions: Vec<Action>,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault on {:?}, {} times", self.part, self.times)
    }
}

impl Fault {
    /// Hits requests whose path, or whose file's name on the second host, contains this (all, if it is empty): always,
    /// if not told otherwise.
    #[must_use]
    pub fn on(part: &str) -> Self {
        Self {
            part: part.to_owned(),
            method: None,
            host: None,
            skip: 0,
            times: usize::MAX,
            actions: Vec::new(),
        }
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests to this host.
    #[must_use]
    pub fn at(mut self, host: Host) -> Self {
        self.host = Some(host);
        self
    }

    /// Not the first `n` that it would hit.
    #[must_use]
    pub fn after(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// `n` times, and no more.
    #[must_use]
    pub fn times(mut self, n: usize) -> Self {
        self.times = n;
        self
    }

    /// Once, and no more.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn answer(mut self, answer: impl Fn(Response) -> Response + Send + Sync + 'static) -> Self {
        self.actions.push(Action::Answer(Arc::new(answer)));
        self
    }

    fn wire(mut self, wire: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        self.actions.push(Action::Wire(Arc::new(wire)));
        self
    }

    /// Answers this status, with a line of text.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.answer(move |_| {
            Response::new(status)
                .with("Content-Type", "text/plain")
                .bytes(format!("{status}, as it was told\n").into_bytes())
        })
    }

    /// Answers this status with a body.
    #[must_use]
    pub fn reply(self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let (content_type, body) = (content_type.to_owned(), body.into());
        self.answer(move |_| {
            Response::new(status)
                .with("Content-Type", &*content_type)
                .bytes(body.clone())
        })
    }

    /// Answers 200 with this document.
    #[must_use]
    pub fn json(self, value: Value) -> Self {
        self.answer(move |_| Response::json(200, &value))
    }

    /// Answers 200 with the page of a captive portal.
    #[must_use]
    pub fn login_page(self) -> Self {
        self.reply(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Log in</title><p>Please accept the terms of this network.\n",
        )
    }

    /// Answers 200 with this, then that again and again.
    ///
    /// # Panics
    ///
    /// If there is nothing to repeat.
    #[must_use]
    pub fn endless(self, content_type: &str, first: &[u8], again: &[u8]) -> Self {
        assert!(!again.is_empty(), "what is repeated is not empty");
        let (content_type, first, again) =
            (content_type.to_owned(), first.to_vec(), again.to_vec());
        self.answer(move |_| {
            let mut response = Response::new(200).with("Content-Type", &*content_type);
            response.body = Body::Endless(first.clone(), again.clone());
            response
        })
    }

    /// Redirects to there.
    #[must_use]
    pub fn redirect(self, status: u16, location: &str) -> Self {
        let location = location.to_owned();
        self.answer(move |_| Response::new(status).with("Location", &*location))
    }

    /// Puts a header in place of those of its name.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.answer(move |mut response| {
            response.set(&name, &value);
            response
        })
    }

    /// Leaves a header out.
    #[must_use]
    pub fn without_header(self, name: &str) -> Self {
        let name = name.to_owned();
        self.answer(move |mut response| {
            response.remove(&name);
            response
        })
    }

    /// Compresses the body with gzip, unasked.
    #[must_use]
    pub fn gzip(self) -> Self {
        self.answer(|mut response| {
            let len = response
                .body
                .len()
                .and_then(|len| usize::try_from(len).ok());
            if let Some(bytes) = len.and_then(|len| response.body.piece(0, len).ok()) {
                response.body = Body::Bytes(crate::content::gzip(&bytes));
                response.set("Content-Encoding", "gzip");
            }
            response
        })
    }

    /// Answers the whole to a request for a part, with 200.
    #[must_use]
    pub fn ignore_range(mut self) -> Self {
        self.actions.push(Action::IgnoreRange);
        self
    }

    /// Ends the connection by a reset before anything is answered.
    #[must_use]
    pub fn reset(self) -> Self {
        self.wire(|wire| (wire.silent, wire.reset) = (true, true))
    }

    /// Ends the connection by a reset after so many bytes of the body.
    #[must_use]
    pub fn reset_after(self, bytes: u64) -> Self {
        self.wire(move |wire| (wire.cut, wire.reset) = (Some(bytes), true))
    }

    /// Ends the connection in good order before anything is answered.
    #[must_use]
    pub fn hang_up(self) -> Self {
        self.wire(|wire| wire.silent = true)
    }

    /// Ends the connection in good order after so many bytes of the body.
    #[must_use]
    pub fn cut_after(self, bytes: u64) -> Self {
        self.wire(move |wire| wire.cut = Some(bytes))
    }

    /// Sends nothing more after so many bytes of the body, and leaves the connection open.
    #[must_use]
    pub fn stall_after(self, bytes: u64) -> Self {
        self.wire(move |wire| wire.stall = Some(bytes))
    }

    /// Sends so many bytes of the body at a time, with a pause after each.
    #[must_use]
    pub fn slow(self, bytes: usize, pause: Duration) -> Self {
        self.wire(move |wire| wire.pace = Some((bytes.max(1), pause)))
    }

    /// Turns a bit of the byte at this place of the file.
    #[must_use]
    pub fn corrupt(self, at: u64) -> Self {
        self.wire(move |wire| wire.corrupt = Some(at))
    }

    /// Announces a length that is wrong by so many bytes; the connection ends after the body.
    #[must_use]
    pub fn wrong_length(self, by: i64) -> Self {
        self.wire(move |wire| wire.length = by)
    }

    /// Announces no length: the body ends with the connection.
    #[must_use]
    pub fn unannounced(self) -> Self {
        self.wire(|wire| wire.unannounced = true)
    }

    /// Sends the body in chunks, without its length.
    #[must_use]
    pub fn chunked(self) -> Self {
        self.wire(|wire| wire.chunked = true)
    }

    /// Changes what there is, before the request is answered: lets a branch move while it is downloaded, say.
    #[must_use]
    pub fn then(mut self, change: impl Fn(&mut World) + Send + Sync + 'static) -> Self {
        self.actions.push(Action::Before(Arc::new(change)));
        self
    }

    fn is_on(&self, request: &Request, file: Option<&str>) -> bool {
        (request.path.contains(&self.part) || file.is_some_and(|file| file.contains(&self.part)))
            && self.method.as_ref().is_none_or(|m| *m == request.method)
            && self.host.is_none_or(|host| host == request.host)
    }
}

/// Faults that hit one request.
#[derive(Default)]
pub(crate) struct Faults(Vec<Action>);

impl Faults {
    /// Those of the script that hit this request, which are counted.
    pub(crate) fn on(script: &mut [Fault], request: &Request, file: Option<&str>) -> Self {
        let mut actions = Vec::new();
        for fault in script {
            if !fault.is_on(request, file) {
            } else if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 {
                fault.times -= usize::from(fault.times != usize::MAX);
                actions.extend(fault.actions.iter().cloned());
            }
        }
        Self(actions)
    }

    pub(crate) fn wire(&self) -> Wire {
        let mut wire = Wire::default();
        for action in &self.0 {
            if let Action::Wire(change) = action {
                change(&mut wire);
            }
        }
        wire
    }

    pub(crate) fn before(&self, world: &mut World) {
        for action in &self.0 {
            if let Action::Before(change) = action {
                change(world);
            }
        }
    }

    pub(crate) fn ignore_range(&self) -> bool {
        self.0.iter().any(|a| matches!(a, Action::IgnoreRange))
    }

    pub(crate) fn answer(&self, response: Response) -> Response {
        self.0
            .iter()
            .fold(response, |response, action| match action {
                Action::Answer(answer) => answer(response),
                _ => response,
            })
    }
}
