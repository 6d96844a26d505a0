//! Standard base64 with padding (RFC 4648, section 4): character maps and the tokens of rank files are written so.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes that `text` stands for; `None` where it is not base64, or its padding is missing or misplaced.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (index, group) in groups.iter().enumerate() {
        let padding = if index + 1 == groups.len() {
            group.iter().rev().take_while(|&&c| c == b'=').count()
        } else {
            0
        };
        let mut bits = 0_u32;
        for &c in &group[..4 - padding.min(2)] {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * padding.min(2);
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding.min(2)]);
    }
    Some(bytes)
}

/// `bytes` in base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            text.push(if place <= group.len() {
                char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding() {
        assert_eq!(decode("AAECAw==").unwrap(), [0, 1, 2, 3]);
        assert_eq!(decode("/+9h").unwrap(), [0xff, 0xef, 0x61]);
        assert_eq!(decode("AAECAwQ=").unwrap(), [0, 1, 2, 3, 4]);
        assert!(decode("").unwrap().is_empty());
        for bad in ["A", "AA=A", "A===", "AA==AAAA", "AA A"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(encode(&[0, 1, 2, 3]), "AAECAw==");
        assert_eq!(encode(&[0xff, 0xef, 0x61]), "/+9h");
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            assert_eq!(decode(&encode(&bytes[..length])).unwrap(), &bytes[..length]);
        }
    }
}
