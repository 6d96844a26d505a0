// What kernels of experts share: rows of their matrices times activations, for a few tokens.
//
// The matrices of an expert lie in a block of `stride` vectors of 16 bytes, one after the other, each as
// `gpu/weights.rs` says: all its rows, then its scales. A thread sums products of SUMS rows into `sums`, and
// `total_sum` adds up what the WG threads have.
//
// DTYPE, QUADS: see weight.wgsl. RAGGED: the rows of activations are no multiple of what a vector holds.

#include "reduce.wgsl"
#include "weight.wgsl"

// `[2, T, k]`: the experts of each token, and the bits of their weights.
@group(0) @binding(0) var<storage, read> routing: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;
#if RAGGED
@group(0) @binding(2) var<storage, read> x: array<f32>;
#else
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif
#if RESIDUAL && BIAS
@group(0) @binding(5) var<storage, read> residual: array<f32>;
#elif RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<f32>;
#endif

var<private> sums: array<f32, {SUMS}>;

// Numbers `4 quad ..` of row `row` of the activations `[.., width]`, zeros behind its end.
fn x_quad(row: u32, quad: u32, width: u32) -> vec4<f32> {
#if RAGGED
    var v = vec4<f32>();
#unroll n 0 4
    if 4u * quad + {n}u < width {
        v[{n}] = x[row * width + 4u * quad + {n}u];
    }
#end
    return v;
#else
    return x[row * (width / 4u) + quad];
#endif
}

// The scale of vector `chunk` of row `row` of the matrix at `matrix`, of `rows` rows of `chunks` vectors.
fn scale_of(matrix: u32, rows: u32, chunks: u32, row: u32, chunk: u32, group_shift: u32) -> f32 {
#if DTYPE == 3
    return bitcast<f32>(weight[matrix + rows * chunks + (row >> 2u)][row & 3u]);
#elif DTYPE == 4
    let at = (row * chunks + chunk) >> group_shift;
    return scale_in(weight[matrix + rows * chunks + (at >> 3u)][(at >> 1u) & 3u], at);
#else
    return 1.0;
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
