//! Tokens in files that are about to be published: a token in a public repository belongs to whoever finds it first.

/// Larger files are not notes or settings of a person, and are not looked through.
pub(super) const MAX_SEARCHED_BYTES: u64 = 4 << 20;

/// The tokens of the Hub are these, followed by 34 letters and digits.
const PREFIXES: [&[u8]; 2] = [b"hf_", b"api_org_"];
/// How many follow.
const DIGITS: usize = 34;
/// The tokens of a login by browser: a JSON web token, which begins with `{"`, follows.
const WEB_TOKEN_PREFIXES: [&[u8]; 2] = [b"hf_oauth_eyJ", b"hf_jwt_eyJ"];

/// The first line (from 1) of a text that has what is or looks like a token: the one in use, whatever its form, or one of
/// the Hub's forms. Binary files have no lines, and none is found.
pub(super) fn line_of_token(bytes: &[u8], own: Option<&str>) -> Option<usize> {
    if bytes.contains(&0) {
        return None;
    }
    let own = own.map(str::as_bytes).filter(|own| own.len() >= 8);
    let lines = bytes.split(|&byte| byte == b'\n');
    let mut lines = lines.enumerate();
    lines
        .find(|(_, line)| looks_like_token(line) || own.is_some_and(|own| contains(line, own)))
        .map(|(index, _)| index + 1)
}

fn looks_like_token(line: &[u8]) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = (0..line.len()).filter(|&at| at == 0 || !is_word(line[at - 1]));
    starts.map(|at| &line[at..]).any(|rest| {
        let plain = PREFIXES.iter().any(|prefix| {
            rest.strip_prefix(*prefix).is_some_and(|digits| {
                let length = digits.iter().take_while(|byte| is_word(**byte)).count();
                length == DIGITS && digits[..length].iter().all(u8::is_ascii_alphanumeric)
            })
        });
        plain
            || WEB_TOKEN_PREFIXES
                .iter()
                .any(|prefix| rest.starts_with(prefix))
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_line() {
        let digits = "aB3".repeat(12)[..34].to_owned();
        for (text, line) in [
            (format!("hf_{digits}"), Some(1)),
            (format!("a\nb = \"hf_{digits}\"\n"), Some(2)),
            (format!("x\r\n\r\nHF_TOKEN=api_org_{digits}\r\n"), Some(3)),
            (
                "t: hf_oauth_eyJhbGciOiJFZERTQSJ9.eyJ9.sig".to_owned(),
                Some(1),
            ),
            // Another length, another word, a placeholder.
            (format!("hf_{digits}a"), None),
            (format!("hf_{}", &digits[1..]), None),
            (format!("my_hf_{digits}"), None),
            ("hf_oauth_expiration_minutes: 480".to_owned(), None),
            (format!("hf_{}", "_".repeat(34)), None),
            (format!("\0hf_{digits}"), None),
            ("hf_".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(line_of_token(text.as_bytes(), None), line, "{text:?}");
        }
    }

    #[test]
    fn the_token_in_use_is_found_in_any_form() {
        let text = b"one\ntwo=secret-of-mirror;\n";
        assert_eq!(line_of_token(text, Some("secret-of-mirror")), Some(2));
        assert_eq!(line_of_token(text, Some("secret-of-others")), None);
        // A short string is found everywhere and is no secret.
        assert_eq!(line_of_token(b"a b c", Some("b")), None);
    }
}
