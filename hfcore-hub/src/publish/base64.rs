//! Base64 (RFC 4648, section 4), in which small files travel inside a commit.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes` is appended to `out`.
pub(super) fn encode_to(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            // n bytes have 8 n bits: n + 1 digits, the rest is padding.
            if i <= group.len() {
                let digit = (bits >> (18 - 6 * i)) & 63;
                out.push(ALPHABET[digit as usize]);
            } else {
                out.push(b'=');
            }
        }
    }
}

/// The text of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    encode_to(bytes, &mut out);
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, section 10, and the ends of the alphabet.
    #[test]
    fn rfc_4648() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xff, 0xfe], "///+"),
            (&[0, 0, 0], "AAAA"),
        ] {
            assert_eq!(encode(bytes), text);
        }
    }
}
