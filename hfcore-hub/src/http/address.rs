//! An http(s) address, taken apart: whose it is decides who gets the token, and what of it may be printed.

use std::fmt;

use crate::repo::percent_encode;

/// `scheme://host[:port]/path[?query]`. What cannot be one, or hides where it leads (a user before an `@`, control
/// characters, a backslash), is refused. A fragment is dropped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    https: bool,
    /// Lower case; an IPv6 address keeps its brackets.
    host: String,
    port: u16,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

/// Far above any signed address.
const MAX_BYTES: usize = 16 * 1024;

impl Address {
    /// # Errors
    /// What is wrong with it, in words that do not repeat it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        check_characters(text)?;
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("it is no absolute http(s) address")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither http nor https"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (host, port) = authority_parts(authority, if https { 443 } else { 80 })?;
        let (path, query) = path_and_query(rest);
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            https,
            host,
            port,
            path: path.to_owned(),
            query,
        })
    }

    /// Where `location`, which stands in a reply of this address, leads (RFC 3986, section 5).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn join(&self, location: &str) -> Result<Self, &'static str> {
        check_characters(location)?;
        let scheme_end = location.find(':').unwrap_or(0);
        let has_scheme = scheme_end > 0
            && location[..scheme_end]
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if has_scheme {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            let scheme = if self.https { "https:" } else { "http:" };
            return Self::parse(&format!("{scheme}{location}"));
        }
        let (path, query) = path_and_query(location);
        let path = if path.is_empty() {
            self.path.clone()
        } else if path.starts_with('/') {
            without_dots(path)
        } else {
            let folder = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
            without_dots(&format!("{folder}{path}"))
        };
        // An empty reference is this very address, its query too.
        let query = match query {
            None if location.is_empty() || location.starts_with('#') => self.query.clone(),
            query => query,
        };
        Ok(Self {
            path,
            query,
            ..self.clone()
        })
    }

    /// This address with `suffix` (which begins with `/` and may have a query) behind its path: how an endpoint becomes
    /// the address of something on it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn below(&self, suffix: &str) -> Result<Self, &'static str> {
        check_characters(suffix)?;
        let (path, query) = path_and_query(suffix);
        Ok(Self {
            path: format!("{}{path}", self.path.trim_end_matches('/')),
            query,
            ..self.clone()
        })
    }

    /// Scheme, host and port are the same: only then is it the same server, as far as a token is concerned.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.https == other.https && self.host == other.host && self.port == other.port
    }

    /// Whether it is encrypted.
    pub(crate) const fn is_https(&self) -> bool {
        self.https
    }

    /// This machine itself: never reached through a proxy.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The host, and the port if it is not the scheme's own.
    pub(crate) fn host(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What stands behind the question mark: never for a message.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Everything, the query too: for the request line, never for a message.
    pub(crate) fn to_request(&self) -> String {
        match &self.query {
            Some(query) => format!("{self}?{query}"),
            None => self.to_string(),
        }
    }
}

/// Without the query, which may be a signature.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host(), self.path)
    }
}

/// Without the query too.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A path of a repository as part of an address: each segment encoded, the `/` between them kept.
pub(crate) fn encode_path(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(percent_encode).collect();
    segments.join("/")
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it has more than 16 KiB");
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte);
    if !text.bytes().all(plain) {
        return Err("it has characters that no address has");
    }
    Ok(())
}

fn authority_parts(authority: &str, usual_port: u16) -> Result<(String, u16), &'static str> {
    if authority.contains('@') {
        return Err("it has a user name, which could hide where it leads");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']').ok_or("its host is not closed")?;
            if inside.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("its host is no IPv6 address");
            }
            (format!("[{inside}]"), port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
                return Err("its host is no host name");
            }
            (host.to_owned(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match (port, port.parse()) {
                ("", _) => usual_port,
                (_, Ok(port)) if port > 0 => port,
                _ => return Err("its port is none"),
            }
        }
        None if port.is_empty() => usual_port,
        _ => return Err("its port is none"),
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn path_and_query(text: &str) -> (&str, Option<String>) {
    let text = text.split('#').next().unwrap_or_default();
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (text, None),
    }
}

/// `.` and `..` taken out of an absolute path; `..` never climbs above the root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, shown, host) in [
            (
                "https://HuggingFace.co",
                "https://huggingface.co/",
                "huggingface.co",
            ),
            (
                "https://huggingface.co:443/a",
                "https://huggingface.co/a",
                "huggingface.co",
            ),
            ("http://a.b:8080/x?y=z#f", "http://a.b:8080/x", "a.b:8080"),
            ("http://[::1]:80/x", "http://[::1]/x", "[::1]"),
            ("http://127.0.0.1?x", "http://127.0.0.1/", "127.0.0.1"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.host(), host);
        }
        for bad in [
            "",
            "huggingface.co",
            "ftp://a/b",
            "file:///etc/passwd",
            "https:///x",
            "https://user@host/",
            "https://user:word@host/",
            "https://a b/",
            "https://a/b\r\nX: y",
            "https://a\\@b/",
            "https://a:b/",
            "https://a:0/",
            "https://a:65536/",
            "https://a:+1/",
            "https://[::1/",
            "https://[zz]/",
            "https://[::1]x/",
            "https://caf\u{e9}/",
            "https://a%2eb/",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Address::parse(&format!("https://a/{}", "x".repeat(MAX_BYTES))).is_err());
    }

    /// The reference resolution of RFC 3986, section 5.4, as far as it is about paths.
    #[test]
    fn a_location_is_resolved() {
        let base = Address::parse("http://a/b/c/d;p?q").unwrap();
        for (location, whole) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("https://x/y?z", "https://x/y?z"),
        ] {
            assert_eq!(
                base.join(location).unwrap().to_request(),
                whole,
                "{location}"
            );
        }
        assert!(base.join("javascript:alert(1)").is_err());
        assert!(base.join("//user@g/").is_err());
        assert!(base.join("/a b").is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = Address::parse("https://huggingface.co/a").unwrap();
        for (other, same) in [
            ("https://HUGGINGFACE.co:443/b?c", true),
            ("http://huggingface.co/a", false),
            ("https://huggingface.co:8443/a", false),
            ("https://huggingface.co.evil.com/a", false),
            ("https://cdn.huggingface.co/a", false),
        ] {
            let other = Address::parse(other).unwrap();
            assert_eq!(hub.same_origin(&other), same, "{other}");
        }
    }

    #[test]
    fn the_query_is_not_shown() {
        let signed = Address::parse("https://cdn/x?Signature=secret").unwrap();
        assert_eq!(signed.to_string(), "https://cdn/x");
        assert!(!format!("{signed:?}").contains("secret"));
        assert_eq!(signed.to_request(), "https://cdn/x?Signature=secret");
    }

    #[test]
    fn an_endpoint_may_have_a_path() {
        let endpoint = Address::parse("https://mirror/hub/").unwrap();
        let below = endpoint.below("/api/models/a/b?x=1").unwrap();
        assert_eq!(below.to_request(), "https://mirror/hub/api/models/a/b?x=1");
        assert_eq!(encode_path("a b/c?d.txt"), "a%20b/c%3Fd.txt");
    }
}
