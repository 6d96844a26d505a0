// The score of a token as it competes: penalties, bans, temperature. The file that includes this one has `logits`
// and `words`, laid out as `sample_scores.wgsl` says, and what it needs of `Params`.

#include "sample_float.wgsl"

fn in_set(start: u32, choice: u32, token: u32) -> bool {
    return ((words[start + choice * p.set_words + (token >> 5u)] >> (token & 31u)) & 1u) != 0u;
}

#if SEEN
fn has_occurred(choice: u32, token: u32) -> bool {
    let at = 48u + 8u * choice;
    var occurred = in_set(p.seen, choice, token);
#if RECENT >= 1
    occurred = occurred || recent_0[words[at + 4u]] == token;
#endif
#if RECENT >= 2
    occurred = occurred || recent_1[words[at + 5u]] == token;
#endif
#if RECENT >= 3
    occurred = occurred || recent_2[words[at + 6u]] == token;
#endif
    return occurred;
}
#endif

fn score(choice: u32, token: u32) -> u32 {
    let at = 48u + 8u * choice;
    var bits = logits[words[at] * p.vocab + token];
#if SEEN
    if (has_occurred(choice, token)) {
        // NaN stays NaN both ways.
        if (bits > 0x80000000u) {
            bits = product(bits, words[3], bitcast<i32>(words[4]));
        } else {
            bits = quotient(bits, words[3], bitcast<i32>(words[4]));
        }
    }
#endif
#if BANNED
    if (words[at + 1u] != 0u) {
        bits = 0u;
    }
    if (in_set(p.banned, choice, token)) {
        bits = 0xff800000u;
    }
#endif
#if DRAW
    if (words[1] != 0u) {
        bits = quotient(bits, words[1], bitcast<i32>(words[2]));
    }
#endif
    return bits;
}
