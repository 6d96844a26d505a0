// A word of a page, rounded from numbers. STORE: see `kv_page.wgsl`.

#include "round_half.wgsl"

// One number, or two.
#if STORE == 0
fn packed(first: f32, second: f32) -> u32 {
    return bitcast<u32>(first);
}
const PER_WORD: u32 = 1u;
#elif STORE == 1
fn packed(first: f32, second: f32) -> u32 {
    return bf16_bits(first) | (bf16_bits(second) << 16u);
}
const PER_WORD: u32 = 2u;
#else
fn packed(first: f32, second: f32) -> u32 {
    return f16_bits(first) | (f16_bits(second) << 16u);
}
const PER_WORD: u32 = 2u;
#endif
