// The softmax weight of a score as a whole number: `sample/weight.rs` once more, to the bit.
//
// Scores are worked with as their bits and as keys, which are in the order of the scores and of which the
// two zeros have one. No floating-point operation takes part: what a device does with `exp`, a division or
// a NaN is its own affair. A `vec2<u32>` is a number of 64 bits, the lower half first. The file that
// includes this one has `words`, see `sample_scores.wgsl`.

const KEY_NEG_INF = 0x007fffffu;

fn key_of(bits: u32) -> u32 {
    let b = select(bits, 0u, (bits << 1u) == 0u);
    return select(b | 0x80000000u, ~b, b >= 0x80000000u);
}

fn bits_of(key: u32) -> u32 {
    return select(~key, key & 0x7fffffffu, key >= 0x80000000u);
}

// The upper half of the product.
fn high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let upper = a1 * b0 + ((a0 * b0) >> 16u);
    let lower = a0 * b1 + (upper & 0xffffu);
    return a1 * b1 + (upper >> 16u) + (lower >> 16u);
}

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let lo = a.x + b.x;
    return vec2<u32>(lo, a.y + b.y + select(0u, 1u, lo < a.x));
}

fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// `x` shifted to the left, by less than 64.
fn shl64(x: u32, by: u32) -> vec2<u32> {
    if (by == 0u) {
        return vec2<u32>(x, 0u);
    }
    if (by < 32u) {
        return vec2<u32>(x << by, x >> (32u - by));
    }
    return vec2<u32>(0u, x << (by - 32u));
}

// `floor(fraction * total / 2^64)`.
fn part(fraction: vec2<u32>, total: vec2<u32>) -> vec2<u32> {
    // The upper halves of the products of halves, and the carries of their sum.
    let low = vec2<u32>(high(fraction.x, total.x), 0u);
    let middle = vec2<u32>(fraction.y * total.x, high(fraction.y, total.x));
    let other = vec2<u32>(fraction.x * total.y, high(fraction.x, total.y));
    let sum = add64(low, middle);
    let carry = add64(vec2<u32>(sum.x, 0u), vec2<u32>(other.x, 0u)).y;
    let upper = vec2<u32>(fraction.y * total.y, high(fraction.y, total.y));
    return add64(add64(upper, vec2<u32>(sum.y, 0u)), add64(vec2<u32>(other.y, 0u), vec2<u32>(carry, 0u)));
}

// The score in units of 2^-27, cut towards zero; it is smaller than 2^36.
fn fixed(bits: u32) -> vec2<u32> {
    let exponent = (bits >> 23u) & 0xffu;
    // A number below 2^-27 is cut to zero, and with it every number without an implicit bit.
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    var x = vec2<u32>(0u);
    if (exponent >= 123u) {
        x = shl64(mantissa, exponent - 123u);
    } else if (exponent >= 100u) {
        x = vec2<u32>(mantissa >> (123u - exponent), 0u);
    }
    if (bits >= 0x80000000u) {
        x = sub64(vec2<u32>(0u), x);
    }
    return x;
}

// `max - score` in units of 2^-27, and whether it is below 32.
fn distance(max_key: u32, key: u32) -> vec2<u32> {
    const FAR = 0x51800000u;
    if (key == max_key) {
        return vec2<u32>(0u, 1u);
    }
    let max_bits = bits_of(max_key);
    let bits = bits_of(key);
    if ((max_bits & 0x7fffffffu) >= FAR || (bits & 0x7fffffffu) >= FAR) {
        return vec2<u32>(0u);
    }
    let d = sub64(fixed(max_bits), fixed(bits));
    return vec2<u32>(d.x, select(0u, 1u, d.y == 0u));
}

// `exp(-d)` in units of 2^-43, `d` in units of 2^-27.
fn exp_neg(d: u32) -> vec2<u32> {
    const LOG2_E = 3098164009u;
    const LN_2 = 2977044472u;
    let upper = high(d, LOG2_E);
    let n = upper >> 26u;
    let f = (upper << 6u) | ((d * LOG2_E) >> 26u);
    // `2^(-k / 32)` in units of 2^-31; a table in the shader would be copied by every lane.
    let root = words[16u + (f >> 27u)];
    let x = high(f << 5u, LN_2);
    let x2 = high(x, x);
    let x3 = high(x2, x);
    let x4 = high(x3, x);
    let fall = x - (x2 >> 6u) + ((x3 / 6u) >> 10u) - ((x4 / 24u) >> 15u);
    let mantissa = root - (high(root, fall) >> 5u);
    if (n <= 12u) {
        return shl64(mantissa, 12u - n);
    }
    if (n < 44u) {
        return vec2<u32>(mantissa >> (n - 12u), 0u);
    }
    return vec2<u32>(0u);
}

fn weight(max_key: u32, key: u32) -> vec2<u32> {
    let d = distance(max_key, key);
    if (d.y == 0u) {
        return vec2<u32>(0u);
    }
    return exp_neg(d.x);
}
