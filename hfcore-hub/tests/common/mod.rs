//! What the tests that span modules share: a client of the stand-in, the check of a cache, and a watcher of one.

#![allow(
    dead_code,
    reason = "each test binary uses a part of what all of them share"
)]

pub(crate) mod cache_check;
pub(crate) mod child;
pub(crate) mod python;
pub(crate) mod watcher;

use std::path::Path;
use std::time::Duration;

use hfcore_hub::{Environment, HubBuilder, HubError, Repo, Revision, Token};
use hfcore_hub_stand_in::StandIn;

/// A token that is nowhere but in these tests: whatever contains it has leaked it.
pub(crate) const CANARY: &str = StandIn::READ_TOKEN;

/// Numbers that look random and are the same in every run (`SplitMix64`).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .collect();
        bytes.truncate(len);
        bytes
    }
}

/// A client of `endpoint` with `cache` as its cache and the canary as its token, which does not wait long for anything.
pub(crate) fn client(endpoint: &str, cache: &Path) -> HubBuilder {
    let home = cache.join("home-that-is-not-there");
    let environment = Environment::from_lookup(&|_| None, Some(home)).unwrap();
    HubBuilder::new(environment)
        .endpoint(endpoint)
        .cache(cache)
        .token(Token::parse(CANARY).unwrap())
        .backoff(
            Duration::from_millis(1),
            Duration::from_millis(5),
            Duration::from_millis(50),
        )
        .etag_timeout(Duration::from_secs(10))
        .download_timeout(Duration::from_secs(10))
}

/// The one repository of most tests.
pub(crate) fn repo() -> Repo {
    Repo::model("org/name").unwrap()
}

pub(crate) fn main() -> Revision {
    Revision::parse("main").unwrap()
}

/// What a user could be shown of an error, in every form there is.
pub(crate) fn shown(error: &HubError) -> String {
    let mut text = format!("{error}\n{error:?}\n{}", error.chain());
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!("\n{error}\n{error:?}");
        cause = error.source();
    }
    text
}

/// Fails if a token was told to anybody but the Hub.
#[track_caller]
pub(crate) fn no_leak(hub: &StandIn) {
    let leaks = hub.leaks();
    assert!(leaks.is_empty(), "a token left: {leaks:?}");
}
