//! The file of named tokens beside the token file: an INI file that Python's `configparser` writes and reads
//! (`utils/_auth.py` of `huggingface_hub` 2.4.0), one section a token.
//!
//! ```text
//! [my laptop]
//! hf_token = hf_…
//!
//! [oauth-ada]
//! hf_token = hf_oauth_…
//! refresh_token = …
//! expires_at = 1790000000
//! ```

use std::collections::BTreeMap;
use std::fmt;

/// The sections by name. Python sorts them when it writes, by code points, as a map of strings does.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct StoredTokens(BTreeMap<String, Section>);

/// Keys and values in the order of the file. Keys that we do not know stay.
type Section = Vec<(String, String)>;

/// The key whose value is the token.
const TOKEN_KEY: &str = "hf_token";
/// The section whose values `configparser` gives to all others, and which cannot be written as a section.
const DEFAULT_SECTION: &str = "DEFAULT";

impl StoredTokens {
    /// What `configparser` reads in `text`, or why it reads nothing.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut tokens = Self::default();
        let mut section: Option<String> = None;
        // The indentation of the last key: what is indented further belongs to its value.
        let mut key_indent: Option<usize> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            if let (Some(name), Some(level)) = (&section, key_indent)
                && indent > level
                && let Some((_, value)) = tokens.0.get_mut(name).and_then(|keys| keys.last_mut())
            {
                value.push('\n');
                value.push_str(trimmed);
                continue;
            }
            if let Some(header) = trimmed
                .strip_prefix('[')
                .and_then(|rest| rest.rsplit_once(']'))
                .map(|(header, _)| header)
                .filter(|header| !header.is_empty())
            {
                if header == DEFAULT_SECTION {
                    return Err("it has a [DEFAULT] section");
                }
                if tokens.0.insert(header.to_owned(), Vec::new()).is_some() {
                    return Err("it has a section twice");
                }
                section = Some(header.to_owned());
                key_indent = None;
                continue;
            }
            let Some(keys) = section.as_ref().and_then(|name| tokens.0.get_mut(name)) else {
                return Err("it begins with something other than a section");
            };
            let Some((key, value)) = trimmed.split_once(['=', ':']) else {
                return Err("it has a line that is neither a section nor `key = value`");
            };
            let key = key.trim().to_lowercase();
            if key.is_empty() || keys.iter().any(|(known, _)| *known == key) {
                return Err("it has an empty key, or a key twice in a section");
            }
            keys.push((key, value.trim().to_owned()));
            key_indent = Some(indent);
        }
        Ok(tokens)
    }

    /// As `configparser` writes it.
    pub(super) fn to_ini(&self) -> String {
        let mut text = String::new();
        for (name, keys) in &self.0 {
            text.push_str(&format!("[{name}]\n"));
            for (key, value) in keys {
                text.push_str(&format!("{key} = {}\n", value.replace('\n', "\n\t")));
            }
            text.push('\n');
        }
        text
    }

    /// The token in use becomes `token` under `name`; what else was known under that name (a refresh token, an expiry) is of
    /// another login and goes.
    pub(super) fn set(&mut self, name: &str, token: &str) {
        let section = vec![(TOKEN_KEY.to_owned(), token.to_owned())];
        self.0.insert(name.to_owned(), section);
    }

    /// The token of that name, which is no longer there after this.
    pub(super) fn remove(&mut self, name: &str) -> Option<String> {
        let section = self.0.remove(name)?;
        Some(token_of(&section).unwrap_or_default().to_owned())
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The name under which a token is kept.
    pub(super) fn name_of(&self, token: &str) -> Option<&str> {
        let mut sections = self.0.iter();
        let found = sections.find(|(_, section)| token_of(section) == Some(token));
        found.map(|(name, _)| name.as_str())
    }
}

fn token_of(section: &Section) -> Option<&str> {
    let mut keys = section.iter();
    let found = keys.find(|(key, _)| key == TOKEN_KEY);
    found.map(|(_, value)| value.as_str())
}

/// What a token may be called in the file: a section is one line, and one name is taken.
pub(super) fn section_name(display_name: &str, account: &str) -> String {
    let clean = |text: &str| -> String {
        let text = text.replace(|c: char| c.is_control(), " ");
        text.trim().chars().take(200).collect()
    };
    match clean(display_name) {
        name if name.is_empty() => format!("oauth-{}", clean(account)),
        name if name == DEFAULT_SECTION => DEFAULT_SECTION.to_lowercase(),
        name => name,
    }
}

impl fmt::Debug for StoredTokens {
    /// Names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `_save_stored_tokens_full` of `huggingface_hub` 2.4.0.
    const BY_PYTHON: &str = "[a ] b]\nhf_token = hf_b=c:d\n\n[my laptop]\nhf_token = hf_1%\n\n\
        [oauth-ada]\nhf_token = hf_oauth_x\nrefresh_token = r\nexpires_at = 17\n\n";

    #[test]
    fn what_python_writes_is_read_and_written_again() {
        let tokens = StoredTokens::parse(BY_PYTHON).unwrap();
        assert_eq!(tokens.names(), ["a ] b", "my laptop", "oauth-ada"]);
        assert_eq!(tokens.name_of("hf_b=c:d"), Some("a ] b"));
        assert_eq!(tokens.name_of("hf_2"), None);
        assert_eq!(tokens.to_ini(), BY_PYTHON);
        let mut changed = tokens;
        changed.set("oauth-ada", "hf_new");
        assert_eq!(changed.remove("my laptop").as_deref(), Some("hf_1%"));
        assert_eq!(changed.remove("my laptop"), None);
        assert_eq!(
            changed.to_ini(),
            "[a ] b]\nhf_token = hf_b=c:d\n\n[oauth-ada]\nhf_token = hf_new\n\n"
        );
    }

    #[test]
    fn what_configparser_allows_is_read() {
        let text = "# mine\n[x]\nHF_Token: hf_1\n; old\nnote = a\n  b\n\n[y]\n";
        let tokens = StoredTokens::parse(text).unwrap();
        assert_eq!(
            tokens.to_ini(),
            "[x]\nhf_token = hf_1\nnote = a\n\tb\n\n[y]\n\n"
        );
    }

    #[test]
    fn what_it_refuses_is_refused() {
        for bad in [
            "hf_token = x",
            "[a]\n[a]\n",
            "[a]\nhf_token\n",
            "[a]\n= x\n",
            "[a]\nk = 1\nk = 2\n",
            "[DEFAULT]\nhf_token = x\n",
        ] {
            assert!(StoredTokens::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(section_name(" my\nlaptop ", "ada"), "my laptop");
        assert_eq!(section_name("", "ada"), "oauth-ada");
        assert_eq!(section_name("DEFAULT", "ada"), "default");
        assert_eq!(
            format!("{:?}", StoredTokens::parse("[a]\nhf_token=hf_1").unwrap()),
            "{\"a\"}"
        );
    }
}
