// Rows of the matrices of experts, and what a workgroup of them multiplies: for `moe_up.wgsl`, `moe_down.wgsl`.
//
// Matrices lie one after the other, row by row, each row padded with zeros to whole `vec4<u32>`: chunks of
// CHUNK numbers. DTYPE: 0 f32, 1 f16, 2 bf16. With ALIGNED the rows of activations are whole vectors too.
//
// Each of the WG threads sums its products of SUMS rows into `sums`; `total_sum` adds up the threads'.

#include "reduce.wgsl"

#if DTYPE == 0
const CHUNK = 4u;
#else
const CHUNK = 8u;
#endif

@group(0) @binding(0) var<storage, read> routing: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;
#if ALIGNED
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
#else
@group(0) @binding(2) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif

var<private> sums: array<f32, {SUMS}>;
// The numbers of a chunk of activations: of f32 the first four; else those of even number, and the others.
var<private> even: vec4<f32>;
var<private> odd: vec4<f32>;

#if !ALIGNED
// Numbers `at..at + 4` of the row of `width` numbers at `start`, zeros behind its end.
fn four(start: u32, at: u32, width: u32) -> vec4<f32> {
    var v = vec4<f32>(0.0);
#unroll n 0 4
    if at + {n}u < width {
        v[{n}] = x[start + at + {n}u];
    }
#end
    return v;
}
#endif

// Take chunk `chunk` of row `row` of the activations `[.., width]`.
fn load(row: u32, chunk: u32, width: u32) {
#if ALIGNED
    let at = (row * width + chunk * CHUNK) / 4u;
    let a = x[at];
#if DTYPE != 0
    let b = x[at + 1u];
#endif
#else
    let a = four(row * width, chunk * CHUNK, width);
#if DTYPE != 0
    let b = four(row * width, chunk * CHUNK + 4u, width);
#endif
#endif
#if DTYPE == 0
    even = a;
#else
    even = vec4<f32>(a.xz, b.xz);
    odd = vec4<f32>(a.yw, b.yw);
#endif
}

// The product of a chunk of a matrix with the chunk that was taken.
fn product(w: vec4<u32>) -> f32 {
#if DTYPE == 0
    return dot(bitcast<vec4<f32>>(w), even);
#endif
#if DTYPE == 1
    let u = array(unpack2x16float(w.x), unpack2x16float(w.y), unpack2x16float(w.z), unpack2x16float(w.w));
    return dot(vec4<f32>(u[0].x, u[1].x, u[2].x, u[3].x), even)
        + dot(vec4<f32>(u[0].y, u[1].y, u[2].y, u[3].y), odd);
#endif
#if DTYPE == 2
    return dot(bitcast<vec4<f32>>(w << vec4<u32>(16u)), even)
        + dot(bitcast<vec4<f32>>(w & vec4<u32>(0xffff0000u)), odd);
#endif
}

// Of each subgroup, or of each thread.
var<workgroup> sum_parts: array<array<f32, {WG}>, {SUMS}>;

// The sums of all threads; sum n is right in thread n. Called once.
fn total_sum(t: Thread) -> f32 {
#if SUBGROUP
#unroll n 0 {SUMS}
    let sum_{n} = subgroupAdd(sums[{n}]);
    if t.lane == 0u {
        sum_parts[{n}][t.subgroup] = sum_{n};
    }
#end
    workgroupBarrier();
    var sum = 0.0;
    if t.index < {SUMS}u {
        for (var i = 0u; i < t.subgroups; i++) {
            sum += sum_parts[t.index][i];
        }
    }
    return sum;
#else
#unroll n 0 {SUMS}
    sum_parts[{n}][t.index] = sums[{n}];
#end
    for (var width = {WG}u / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if t.index < width {
#unroll n 0 {SUMS}
            sum_parts[{n}][t.index] += sum_parts[{n}][t.index + width];
#end
        }
    }
    workgroupBarrier();
    return sum_parts[min(t.index, {SUMS}u - 1u)][0];
#endif
}
