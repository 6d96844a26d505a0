//! What a status means, as `hf_raise_for_status` of `huggingface_hub` 2.4 (`utils/_http.py`) reads it.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;

use super::Http;
use super::request::Request;
use super::response::Response;
use crate::error::HubError;
use crate::repo::Revision;
use crate::token::Token;

/// An error message is a few lines.
const MAX_BODY: u64 = 64 * 1024;
/// What of it is shown.
const MAX_MESSAGE: usize = 500;

/// The error that a reply with such a status is.
pub(crate) fn error(
    request: &Request,
    http: &Http,
    response: Response,
    wait: Option<Duration>,
) -> HubError {
    let status = response.status();
    let code = response.header("x-error-code").map(str::to_owned);
    let said = response.header("x-error-message").map(str::to_owned);
    let request_id = ["x-request-id", "x-amzn-trace-id", "x-amz-cf-id"]
        .into_iter()
        .find_map(|name| response.header(name))
        .map(printable);
    let authenticated = response.authenticated;
    // A storage host is told no token; where there is one, the advice to get one would be wrong.
    let has_token = http.token().is_some();
    let url = response.address().to_string();
    // A storage host's 403 is about a signature, not about a token.
    let on_endpoint = request.authorized && response.address().same_origin(&request.address);
    let endpoint = http.endpoint().to_owned();
    let message = if response.address().same_origin(&request.address) {
        let secrets = [http.token().map(Token::expose), request.address.query()];
        server_message(said.as_deref(), response, &secrets)
    } else {
        // What a storage host says may repeat an address that is signed.
        None
    };
    let revision = || request.revision.clone().unwrap_or_default();
    if let Some(repo) = &request.repo
        && on_endpoint
    {
        let repo = repo.clone();
        let not_found = |repo| HubError::RepositoryNotFound {
            repo,
            endpoint: endpoint.clone(),
            authenticated,
            suggestions: Vec::new(),
        };
        match code.as_deref() {
            Some("RevisionNotFound") => {
                return HubError::RevisionNotFound {
                    repo,
                    revision: revision(),
                    suggestions: Vec::new(),
                };
            }
            Some("EntryNotFound") => {
                return HubError::EntryNotFound {
                    repo,
                    revision: revision(),
                    path: request.path.clone().unwrap_or_default(),
                    suggestions: Vec::new(),
                };
            }
            Some("GatedRepo") => {
                return HubError::Gated {
                    page: format!("{endpoint}/{repo}"),
                    repo,
                    account: None,
                };
            }
            _ if said.as_deref() == Some("Access to this resource is disabled.")
                || matches!(status, 410 | 451) =>
            {
                return HubError::Disabled { repo, message };
            }
            Some("RepoNotFound") => return not_found(repo),
            // The Hub says 401 for what is private, gated or not there at all.
            _ if status == 401
                && said.as_deref() != Some("Invalid credentials in Authorization header") =>
            {
                return not_found(repo);
            }
            _ => {}
        }
    }
    match status {
        401 if on_endpoint => HubError::Unauthorized { endpoint, message },
        403 if on_endpoint => HubError::Forbidden { endpoint, message },
        429 => HubError::RateLimited {
            endpoint,
            retry_after: wait,
            authenticated: has_token,
        },
        503 if wait.is_some() => HubError::RateLimited {
            endpoint,
            retry_after: wait,
            authenticated: has_token,
        },
        _ => HubError::Status {
            url,
            status,
            message,
            request_id,
        },
    }
}

/// What the server said: in a header, as JSON (`error`, `error_description`, `errors[].message`) or as text. A web page is
/// no message. A server that repeats what it was told is not quoted in that.
fn server_message(
    header: Option<&str>,
    response: Response,
    secrets: &[Option<&str>],
) -> Option<String> {
    let html = response
        .header("content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let mut bytes = Vec::new();
    // Best effort: the status is the error, not what goes wrong while its explanation is read.
    let _ = response.reader().take(MAX_BODY).read_to_end(&mut bytes);
    let body = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = header.map(str::to_owned).into_iter().collect();
    match serde_json::from_str::<Value>(&body) {
        Ok(value) => json_messages(&value, &mut lines),
        // Storage hosts answer in XML.
        Err(_) if !html && !body.trim_start().starts_with('<') => lines.push(body.into_owned()),
        Err(_) => {}
    }
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        let secrets = secrets.iter().flatten().filter(|secret| !secret.is_empty());
        let line = secrets.fold(line, |line, secret| line.replace(*secret, "…"));
        let line = printable(line.trim());
        if !line.is_empty() && !seen.contains(&line) {
            seen.push(line);
        }
    }
    (!seen.is_empty()).then(|| seen.join("; "))
}

fn json_messages(value: &Value, lines: &mut Vec<String>) {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let description = value.get("error_description").and_then(text);
    match (value.get("error"), description) {
        (Some(Value::Array(errors)), _) => lines.extend(errors.iter().filter_map(text)),
        (Some(error), description) => {
            let described = [text(error), description];
            let described: Vec<String> = described.into_iter().flatten().collect();
            lines.push(described.join(": "));
        }
        (None, description) => lines.extend(description),
    }
    if let Some(Value::Array(errors)) = value.get("errors") {
        lines.extend(
            errors
                .iter()
                .filter_map(|error| error.get("message").and_then(text)),
        );
    }
}

/// Without control characters, which could write to a terminal what it should not show, and not too long.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_MESSAGE).map(plain).collect()
}

/// The revision an error is about is the one that was asked for, not the commit it stands for.
pub(crate) fn with_revision(error: HubError, asked: &Revision) -> HubError {
    match error {
        HubError::EntryNotFound {
            repo,
            path,
            suggestions,
            ..
        } => HubError::EntryNotFound {
            repo,
            revision: asked.clone(),
            path,
            suggestions,
        },
        HubError::RevisionNotFound {
            repo, suggestions, ..
        } => HubError::RevisionNotFound {
            repo,
            revision: asked.clone(),
            suggestions,
        },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_where_python_finds_them() {
        for (body, expected) in [
            (r#"{"error": "a"}"#, "a"),
            (r#"{"error": ["a", "b", "a"]}"#, "a|b|a"),
            (
                r#"{"error": "invalid_grant", "error_description": "why"}"#,
                "invalid_grant: why",
            ),
            (r#"{"error_description": "why"}"#, "why"),
            (
                r#"{"error": "a", "errors": [{"message": "b"}, {"other": 1}]}"#,
                "a|b",
            ),
            ("[]", ""),
            ("7", ""),
        ] {
            let mut lines = Vec::new();
            json_messages(&serde_json::from_str(body).unwrap(), &mut lines);
            assert_eq!(lines.join("|"), expected, "{body}");
        }
    }

    #[test]
    fn a_message_cannot_write_to_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a [31mb c");
        assert_eq!(printable(&"x".repeat(10_000)).len(), MAX_MESSAGE);
    }
}
