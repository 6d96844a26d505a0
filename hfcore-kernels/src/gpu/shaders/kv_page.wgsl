// Where keys and values are in pages of 32 positions, and their 16 bits.
//
// A page has, of each head in turn, `[key units, 32]` then `[32, value units]` units of 16 bytes: VEC numbers that
// follow one another, zeros beyond the last. So threads that take a key each read 512 bytes that lie together,
// and so do threads that take a unit of a value each.
//
// STORE: 0 f32, 1 bf16, 2 f16, 3 dense: rows `[S, K, D]` of f32, without pages.

#if STORE == 1 || STORE == 2
const VEC: u32 = 8u;
#else
const VEC: u32 = 4u;
#endif
const PAGE: u32 = 32u;

fn units(numbers: u32) -> u32 {
    return (numbers + VEC - 1u) / VEC;
}

// The unit where head `head` of page `page` begins, of pages with `heads` heads of `key` and `value` units.
fn head_unit(page: u32, head: u32, heads: u32, key: u32, value: u32) -> u32 {
    return (page * heads + head) * (key + value) * PAGE;
}
