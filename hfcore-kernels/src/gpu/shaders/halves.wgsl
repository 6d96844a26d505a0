// Rows of x as halves, for products of matrices in hardware: y = 2^e x, with e such that the largest number of a row is
// between 2^14 and 2^15, so that what a half cannot hold is less than 2^-29 of it.
//
// A workgroup makes one row, in p.units vectors of eight, filled up with zeros. With PARTS 2 as
// many follow, of what rounding lost: both together are x to 22 bits.
//
//   RAGGED  the inputs are no multiple of 4

#include "reduce.wgsl"
#include "round_half.wgsl"
#include "math.wgsl"

struct Params {
    rows: u32,
    // Numbers of a row.
    inputs: u32,
    // Vectors of eight halves of a part.
    units: u32,
}

#if RAGGED
@group(0) @binding(#) var<storage, read> x: array<f32>;
#else
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(#) var<storage, read_write> y: array<vec4<u32>>;
@group(0) @binding(#) var<storage, read_write> exponents: array<i32>;
#params

// Four numbers of a row from 4 quad on, zeros after its end.
fn x_quad(row: u32, quad: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if RAGGED
#unroll i 0 4
    if 4u * quad + {i}u < p.inputs {
        v[{i}] = x[row * p.inputs + 4u * quad + {i}u];
    }
#end
#else
    if quad < p.inputs / 4u {
        v = x[row * (p.inputs / 4u) + quad];
    }
#endif
    return v;
}

fn four_halves(v: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(
        f16_bits(v.x) | (f16_bits(v.y) << 16u),
        f16_bits(v.z) | (f16_bits(v.w) << 16u),
    );
}

// What v has more than its halves; nothing of what is no finite half.
fn lost(v: vec4<f32>, halves: vec2<u32>) -> vec4<f32> {
    let kept = vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
    let finite = abs(kept) < vec4<f32>(65536.0);
    return select(vec4<f32>(), v - kept, finite);
}

@compute @workgroup_size({WG})
fn main(t: Thread) {
    let row = group_number(t);
    if row >= p.rows {
        return;
    }
    var most = 0u;
    for (var q = t.index; q < (p.inputs + 3u) / 4u; q += {WG}u) {
        // Without signs, bits have the order of the numbers.
        let bits = bitcast<vec4<u32>>(x_quad(row, q)) & vec4<u32>(0x7fffffffu);
        most = max(most, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    let exponent = clamp(141 - i32(reduce_max_u32(t, most) >> 23u), -126, 126);
    if t.index == 0u {
        exponents[row] = exponent;
    }
    let scale = power_of_two(exponent);
    let start = row * p.units * {PARTS}u;
    for (var u = t.index; u < p.units; u += {WG}u) {
        let a = x_quad(row, 2u * u) * scale;
        let b = x_quad(row, 2u * u + 1u) * scale;
        let a_halves = four_halves(a);
        let b_halves = four_halves(b);
        y[start + u] = vec4<u32>(a_halves, b_halves);
#if PARTS == 2
        y[start + p.units + u] = vec4<u32>(four_halves(lost(a, a_halves)), four_halves(lost(b, b_halves)));
#endif
    }
}
