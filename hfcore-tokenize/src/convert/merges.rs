//! Merges of a BPE vocabulary that comes without them: SentencePiece and tiktoken keep only tokens and their order.
//!
//! Every way to split a token into two tokens is a merge. Trying each split of each token would be quadratic in the
//! length of a token, and a file may hold long ones; so the tokens are sorted twice, once from the front and once
//! from the back, which gives for each token the longest other one that it begins with, and the longest that it
//! ends with. Following these two chains finds every split in time proportional to the vocabulary's bytes.

/// What a token or a merge takes up beside its text, in bytes.
const OVERHEAD: usize = 64;
/// What merges may take up for each byte of the vocabulary; in published files it is 1 to 3.
const GROWTH: usize = 4;
/// What they may take up in any case, in bytes.
const HEADROOM: usize = 64 << 20;
/// Begins or ends with no other token.
const NONE: u32 = u32::MAX;

/// A token and two that make it up, as indices into the list of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) token: u32,
    pub(super) left: u32,
    pub(super) right: u32,
}

/// Every split of every token into two tokens: by token in the order of the list, then by the length of the left part.
/// The tokens are distinct and fewer than `u32::MAX`.
///
/// # Errors
///
/// Where the merges would take more memory than a vocabulary of this size can need.
pub(super) fn splits(tokens: &[&[u8]]) -> Result<Vec<Split>, String> {
    let total: usize = tokens.iter().map(|token| OVERHEAD + token.len()).sum();
    let limit = HEADROOM + GROWTH * total;
    let prefixes = longest_prefixes(tokens);
    let reversed: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.iter().rev().copied())
        .collect();
    let mut rest = reversed.as_slice();
    let backwards: Vec<&[u8]> = tokens
        .iter()
        .map(|token| {
            let (token, after) = rest.split_at(token.len());
            rest = after;
            token
        })
        .collect();
    let suffixes = longest_prefixes(&backwards);

    let length = |index: u32| tokens[index as usize].len();
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut lefts = Vec::new();
    for (token, text) in (0_u32..).zip(tokens) {
        lefts.clear();
        lefts.extend(chain(&prefixes, token));
        // From short to long on the left is from long to short on the right, as the chain of suffixes goes.
        let mut lefts = lefts.iter().rev().copied().peekable();
        for right in chain(&suffixes, token) {
            let wanted = text.len() - length(right);
            while lefts.next_if(|&left| length(left) < wanted).is_some() {}
            let Some(&left) = lefts.peek() else { break };
            if length(left) == wanted {
                bytes += OVERHEAD + text.len();
                if bytes > limit {
                    return Err(format!(
                        "the merges of {} tokens take up more than {limit} bytes",
                        tokens.len()
                    ));
                }
                found.push(Split { token, left, right });
            }
        }
    }
    Ok(found)
}

/// What follows `token` in the chains of `longest`.
fn chain(longest: &[u32], token: u32) -> impl Iterator<Item = u32> {
    let next = |token: u32| Some(longest[token as usize]).filter(|&next| next != NONE);
    std::iter::successors(next(token), move |&token| next(token))
}

/// For each token the longest other one that it begins with, the empty one aside.
fn longest_prefixes(tokens: &[&[u8]]) -> Vec<u32> {
    let mut order: Vec<u32> = (0_u32..)
        .zip(tokens)
        .filter(|(_, token)| !token.is_empty())
        .map(|(index, _)| index)
        .collect();
    order.sort_unstable_by_key(|&index| tokens[index as usize]);
    let mut longest = vec![NONE; tokens.len()];
    // The tokens that the one before begins with, itself last.
    let mut open: Vec<u32> = Vec::new();
    for index in order {
        let token = tokens[index as usize];
        while open
            .pop_if(|&mut last| !token.starts_with(tokens[last as usize]))
            .is_some()
        {}
        longest[index as usize] = open.last().copied().unwrap_or(NONE);
        open.push(index);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(tokens: &[&str]) -> Vec<(String, String, String)> {
        let bytes: Vec<&[u8]> = tokens.iter().map(|token| token.as_bytes()).collect();
        let name = |index: u32| tokens[index as usize].to_owned();
        let splits = splits(&bytes).unwrap();
        splits
            .iter()
            .map(|split| (name(split.token), name(split.left), name(split.right)))
            .collect()
    }

    /// The definition: each token cut at each place.
    fn naive(tokens: &[&str]) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for token in tokens {
            for (cut, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(cut);
                if tokens.contains(&left) && tokens.contains(&right) {
                    found.push(((*token).to_owned(), left.to_owned(), right.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn as_the_definition_says() {
        let vocabularies: [&[&str]; 5] = [
            &["a", "b", "ab", "aba", "ba", "abab", "", "bab"],
            &["aaaa", "aaa", "aa", "a"],
            &["▁", "▁▁", "▁a", "a", "▁▁a", "é", "aé", "▁aé"],
            &["abc", "x"],
            &[],
        ];
        for tokens in vocabularies {
            assert_eq!(pairs(tokens), naive(tokens), "{tokens:?}");
        }
        // All words of up to six letters over two, in a scrambled order.
        let mut words: Vec<String> = (1..7)
            .flat_map(|length| {
                (0..1_u32 << length).map(move |bits| {
                    (0..length)
                        .map(|place| if bits >> place & 1 == 0 { 'x' } else { 'y' })
                        .collect()
                })
            })
            .collect();
        words.sort_by_key(|word| {
            word.bytes()
                .fold(7_u64, |hash, byte| hash * 131 % 1009 + u64::from(byte))
        });
        let words: Vec<&str> = words.iter().step_by(2).map(String::as_str).collect();
        assert!(naive(&words).len() > 20);
        assert_eq!(pairs(&words), naive(&words));
    }

    #[test]
    fn long_tokens_are_no_burden() {
        // 4 MB in two tokens, each as long as no list of splits could be.
        let long = "a".repeat(2_000_000);
        let longer = "a".repeat(2_000_001);
        assert_eq!(pairs(&[&long, &longer, "a"]).len(), 2);
    }

    #[test]
    fn a_vocabulary_made_to_explode_is_refused() {
        let line = "a".repeat(1200);
        let tokens: Vec<&[u8]> = (1..=line.len())
            .map(|length| &line.as_bytes()[..length])
            .collect();
        assert_eq!(
            splits(&tokens).unwrap_err(),
            "the merges of 1200 tokens take up more than 70298464 bytes"
        );
    }
}
