//! Failures of the transport, in words that hold no address: an address may be signed.

use std::io;

/// Whether nothing can have reached the server, so that even a POST may be sent again.
pub(crate) fn before_sending(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        ),
        _ => false,
    }
}

/// Whether the same request may succeed the next time.
pub(crate) fn is_transient(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => is_transient_io(error),
        ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BodyStalled
        | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Whether reading on from where it broke may succeed. A file that became shorter while it was sent (`InvalidData`) stays
/// so; an error of TLS is its own kind and stays too.
pub(crate) fn is_transient_io(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied
    )
}

/// Why TLS failed, if it did: no certificate, a wrong one, an old protocol.
pub(crate) fn tls_reason(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Rustls(error) => Some(error.to_string()),
        ureq::Error::Tls(why) => Some((*why).to_owned()),
        ureq::Error::TlsRequired => Some("the connection is not encrypted".to_owned()),
        ureq::Error::Io(error) => {
            let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
            Some(inner.to_string())
        }
        _ => None,
    }
}

/// As an `io::Error` whose text names no address and no header.
pub(crate) fn into_io(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::Io(error) => error,
        ureq::Error::Timeout(what) => io::Error::new(
            io::ErrorKind::TimedOut,
            match what {
                ureq::Timeout::Resolve => "the host's name was not resolved in time",
                ureq::Timeout::Connect => "no connection in time",
                ureq::Timeout::RecvResponse => "no reply in time",
                _ => "nothing came or went in time",
            },
        ),
        ureq::Error::HostNotFound => {
            io::Error::new(io::ErrorKind::NotFound, "there is no such host")
        }
        ureq::Error::ConnectionFailed => {
            io::Error::new(io::ErrorKind::NotConnected, "no connection")
        }
        ureq::Error::ConnectProxyFailed(_) => io::Error::new(
            io::ErrorKind::NotConnected,
            "the proxy refused the connection",
        ),
        ureq::Error::Protocol(error) => io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the reply breaks HTTP: {error}"),
        ),
        ureq::Error::LargeResponseHeader(..) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the headers of the reply are too large",
        ),
        ureq::Error::BodyStalled => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the reply broke off")
        }
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => io::Error::new(
            io::ErrorKind::InvalidInput,
            "the address or a header cannot be sent",
        ),
        error => match tls_reason(&error) {
            Some(why) => io::Error::other(format!("TLS: {why}")),
            None => io::Error::other("the request could not be sent"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_repeated() {
        let error = ureq::Error::BadUri("https://cdn/x?Signature=secret".to_owned());
        assert_eq!(
            into_io(error).to_string(),
            "the address or a header cannot be sent"
        );
    }

    #[test]
    fn what_reached_nobody_may_be_sent_again() {
        assert!(before_sending(&ureq::Error::HostNotFound));
        assert!(before_sending(&ureq::Error::Io(
            io::ErrorKind::ConnectionRefused.into()
        )));
        assert!(!before_sending(&ureq::Error::Io(
            io::ErrorKind::ConnectionReset.into()
        )));
        assert!(is_transient(&ureq::Error::Io(
            io::ErrorKind::ConnectionReset.into()
        )));
        assert!(!is_transient(&ureq::Error::Io(
            io::ErrorKind::InvalidData.into()
        )));
    }
}
