// Sixteen bytes of a row of a matrix as numbers: QUADS times four of them, in the order of the inputs.
//
// DTYPE: 0 f32, 1 f16, 2 bf16, 3 int8, 4 int4, of which QUADS is 1, 2, 2, 4 and 8. Of int8 and int4 these are
// the whole numbers; the scales are the caller's. `gpu/weights.rs` says how rows and scales lie.
//
// Whole numbers become floats without a conversion, which is slow on many GPUs: bits that are the last of
// the fraction of 2^23 add to it what they are worth; so 2^23 and what they are stored too large by are
// taken off again, exactly. Bits further up do so for a smaller power of two.

// a b, added to sum in one chain.
fn mac(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

#if DTYPE == 0
fn quad_0(w: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(w);
}
#elif DTYPE == 1
fn quad_0(w: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
fn quad_1(w: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
}
#elif DTYPE == 2
fn four_halves(a: u32, b: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}
fn quad_0(w: vec4<u32>) -> vec4<f32> {
    return four_halves(w.x, w.y);
}
fn quad_1(w: vec4<u32>) -> vec4<f32> {
    return four_halves(w.z, w.w);
}
#elif DTYPE == 3
// Bytes, stored as unsigned: 128 more than they are.
fn four_bytes(a: u32) -> vec4<f32> {
    let b = a >> 16u;
    let even = vec4<u32>(a & 0xffu, a & 0xff00u, b & 0xffu, b & 0xff00u);
    // 2^23 and 2^15: so large that a byte in bits 0 to 7, and one in bits 8 to 15, are whole numbers.
    let shifted = bitcast<vec4<f32>>(even | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u));
    return shifted - vec4<f32>(8388736.0, 32896.0, 8388736.0, 32896.0);
}
fn quad_0(w: vec4<u32>) -> vec4<f32> {
    return four_bytes(w.x);
}
fn quad_1(w: vec4<u32>) -> vec4<f32> {
    return four_bytes(w.y);
}
fn quad_2(w: vec4<u32>) -> vec4<f32> {
    return four_bytes(w.z);
}
fn quad_3(w: vec4<u32>) -> vec4<f32> {
    return four_bytes(w.w);
}
#elif DTYPE == 4
// Of eight inputs, whose numbers are 8 less than what is stored, k lies in the lower half of byte k, and
// k + 4 in the upper.
fn four_low(a: u32) -> vec4<f32> {
    let b = a >> 16u;
    let bits = vec4<u32>(a & 0xfu, a & 0xf00u, b & 0xfu, b & 0xf00u);
    // 2^23 and 2^15, as of bytes.
    let shifted = bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u));
    return shifted - vec4<f32>(8388616.0, 32776.0, 8388616.0, 32776.0);
}
fn four_high(a: u32) -> vec4<f32> {
    let b = a >> 16u;
    let bits = vec4<u32>(a & 0xf0u, a & 0xf000u, b & 0xf0u, b & 0xf000u);
    // 2^19 and 2^11.
    let shifted = bitcast<vec4<f32>>(bits | vec4<u32>(0x49000000u, 0x45000000u, 0x49000000u, 0x45000000u));
    return shifted - vec4<f32>(524296.0, 2056.0, 524296.0, 2056.0);
}
fn quad_0(w: vec4<u32>) -> vec4<f32> {
    return four_low(w.x);
}
fn quad_1(w: vec4<u32>) -> vec4<f32> {
    return four_high(w.x);
}
fn quad_2(w: vec4<u32>) -> vec4<f32> {
    return four_low(w.y);
}
fn quad_3(w: vec4<u32>) -> vec4<f32> {
    return four_high(w.y);
}
fn quad_4(w: vec4<u32>) -> vec4<f32> {
    return four_low(w.z);
}
fn quad_5(w: vec4<u32>) -> vec4<f32> {
    return four_high(w.z);
}
fn quad_6(w: vec4<u32>) -> vec4<f32> {
    return four_low(w.w);
}
fn quad_7(w: vec4<u32>) -> vec4<f32> {
    return four_high(w.w);
}

// The scale that is the `at`-th bf16 of a plane, in the word it lies in, the `at / 2`-th.
fn scale_in(word: u32, at: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (at & 1u) == 1u));
}
#endif
