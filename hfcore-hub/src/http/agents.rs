//! ureq's agents, which keep connections: one for each set of waiting times, with the proxy that the environment names, and
//! with TLS once it is needed.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use ureq::tls::TlsConfig;
use ureq::{Agent, Proxy};

use super::address::Address;
use super::request::Patience;
use super::tls;
use crate::error::HubError;

/// All agents of a Hub.
pub(super) struct Agents {
    /// The authorities that are trusted in place of the built-in ones.
    ca_bundle: Option<PathBuf>,
    proxy: Option<Proxy>,
    tls: OnceLock<TlsConfig>,
    known: Mutex<Vec<(AgentKind, Agent)>>,
}

/// ureq keeps connections per agent, and waiting times are an agent's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct AgentKind {
    patience: Patience,
    https: bool,
    proxied: bool,
}

impl Agents {
    /// # Errors
    /// If the environment names a proxy that is none.
    pub(super) fn new(ca_bundle: Option<PathBuf>) -> Result<Self, HubError> {
        Ok(Self {
            ca_bundle,
            proxy: proxy()?,
            tls: OnceLock::new(),
            known: Mutex::new(Vec::new()),
        })
    }

    /// The agent for such a request; made when it is first needed.
    pub(super) fn agent(&self, address: &Address, patience: Patience) -> Result<Agent, HubError> {
        let proxy = self.proxy.as_ref().filter(|_| !address.is_loopback());
        let kind = AgentKind {
            patience,
            https: address.is_https(),
            proxied: proxy.is_some(),
        };
        let mut agents = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, agent)) = agents.iter().find(|(known, _)| *known == kind) {
            return Ok(agent.clone());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("")
            .proxy(proxy.cloned())
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.response))
            .timeout_per_read(Some(patience.idle.max(patience.response)))
            .timeout_per_write(Some(patience.idle))
            .max_idle_connections(16)
            .max_idle_connections_per_host(16);
        // A proxy may be spoken to in TLS too.
        if kind.https || kind.proxied {
            config = config.tls_config(self.tls()?);
        }
        let agent = config.build().new_agent();
        agents.push((kind, agent.clone()));
        Ok(agent)
    }

    fn tls(&self) -> Result<TlsConfig, HubError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let config = tls::config(self.ca_bundle.as_deref())?;
        Ok(self.tls.get_or_init(|| config).clone())
    }
}

/// The proxy that the environment names, in ureq's order; one that is named and is none is an error, since going past it
/// is not what was meant.
fn proxy() -> Result<Option<Proxy>, HubError> {
    let names = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"];
    let names = names
        .into_iter()
        .flat_map(|name| [name.to_owned(), name.to_lowercase()]);
    for name in names {
        let value = std::env::var(&name).unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        return match Proxy::new(&value) {
            // Once more, for `NO_PROXY`.
            Ok(_) => Ok(Proxy::try_from_env()),
            Err(_) => Err(HubError::Argument {
                what: format!("the variable {name}"),
                why: "it is no proxy: `http://host:port` or `socks5://host:port`".to_owned(),
            }),
        };
    }
    Ok(None)
}
