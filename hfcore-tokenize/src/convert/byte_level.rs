//! The printable characters that byte-level tokens are written in (`openai/gpt-2`, `bytes_to_unicode`).

/// The character that stands for each byte: itself where it is printable, else one from U+0100 on.
pub(super) fn alphabet() -> [char; 256] {
    let mut alphabet = ['\0'; 256];
    let mut next = 0x100_u32;
    for (byte, place) in (0_u8..=255).zip(&mut alphabet) {
        *place = match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                let character = char::from_u32(next).expect("U+0100 to U+0143 are characters");
                next += 1;
                character
            }
        };
    }
    alphabet
}

/// `bytes` in these characters.
pub(super) fn spelled(bytes: &[u8], alphabet: &[char; 256]) -> String {
    bytes
        .iter()
        .map(|&byte| alphabet[usize::from(byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_gpt2_has_it() {
        let alphabet = alphabet();
        assert_eq!(spelled(b" a\n\t\x00", &alphabet), "ĠaĊĉĀ");
        assert_eq!(spelled("é\u{ad}".as_bytes(), &alphabet), "Ã©ÂŃ");
        assert_eq!(spelled(&[0x7f, 0xa0, 0xff], &alphabet), "ġłÿ");
        let mut all = alphabet.to_vec();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 256);
    }
}
