//! An access token of the Hub: sent to its endpoint, shown to nobody.

use std::fmt;

/// An access token. Its text is in no output: `Debug` prints none of it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Line ends and spaces around it are dropped, as Python's `_clean_token` drops them; nothing if nothing is left.
    ///
    /// A token that could not stand in a header (with control characters, spaces or anything beyond ASCII inside) is
    /// kept out too: it would be refused by every server, or smuggle a header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(text.to_owned()))
    }

    /// The text, for the `Authorization` header and for the token file.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_cleaned_and_never_shown() {
        let token = Token::parse(" hf_secret\r\n").unwrap();
        assert_eq!(token.expose(), "hf_secret");
        assert_eq!(format!("{token:?}"), "Token(…)");
        for none in ["", " \n", "a b", "a\nb", "caf\u{e9}"] {
            assert_eq!(Token::parse(none), None, "{none:?}");
        }
    }
}
