// Products of a few rows of x with matrices [O, I]: `y = x W^T + bias`, limited by reading W once.
//
// GROUPS groups of LANES threads share a workgroup of WG; a group makes ROWS outputs of up to BATCH rows of
// x. Its lanes go along the inputs, 16 bytes of each of the ROWS rows of W at a time, so that a group reads
// whole lines and many of them are on their way at once; every number of W that was read serves all rows
// of x. Sums of lanes are added in an order that only the device decides.
//
// One call does OUTS matrices of the same x, one after the other in the grid: queries, keys and values.
//
// What is fused:
//   NORM 1    RMS norm of x: its factor is common to a row, and applied to the sums at the end
//   NORM 2    mean and variance of x, found first
//   MERGE     x is what parts of a context attended to (see merge.wgsl)
//   BIAS      every matrix has a bias
//   RESIDUAL  y += residual
//   GATED     two matrices, gate and up: y = activation(gate) * up
//   ACTIVATED y = activation(y)
//   RAGGED    the inputs are no multiple of what 16 bytes hold
//
// DTYPE and QUADS: see weight.wgsl. VALUES, sums of a thread: those of STREAMS matrices, and with NORM 1 one
// of each row of x.

#include "reduce.wgsl"
#include "weight.wgsl"
#if GATED || ACTIVATED
#include "activation.wgsl"
#endif

struct Params {
    // Numbers of a row of x.
    inputs: u32,
    // Vectors of 16 bytes of a row of W.
    chunks: u32,
    // Rows of x, at most BATCH.
    rows: u32,
    // The base-2 logarithm of how many vectors share a scale.
    group_shift: u32,
    outputs_0: u32,
    outputs_1: u32,
    outputs_2: u32,
    // Of a matrix that is alone: its first number in a row of y, and the numbers of such a row.
    first: u32,
    width: u32,
    eps: f32,
    // What is added to gains.
    offset: f32,
    // Which activation.
    act: u32,
#if MERGE
    heads: u32,
    // Vectors of four numbers of a head.
    value_quads: u32,
    // Room for splits.
    splits: u32,
#endif
}

#if MERGE
#include "merge.wgsl"
#elif RAGGED
@group(0) @binding(#) var<storage, read> x: array<f32>;
#else
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
#endif
#unroll l 0 {MATRICES}
@group(0) @binding(#) var<storage, read> weight_{l}: array<vec4<u32>>;
#end
#if NORM
@group(0) @binding(#) var<storage, read> gain: array<vec4<f32>>;
#endif
#if NORM == 2
@group(0) @binding(#) var<storage, read> shift: array<vec4<f32>>;
#endif
#if BIAS
#unroll l 0 {OUTS}
@group(0) @binding(#) var<storage, read> bias_{l}: array<f32>;
#end
#endif
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<f32>;
#endif
#unroll l 0 {OUTS}
@group(0) @binding(#) var<storage, read_write> y_{l}: array<f32>;
#end
#params

// Sums of a subgroup, or of half of the threads.
var<workgroup> partial: array<f32, {PARTS}>;

#if RAGGED
// Four numbers of a row of x that begins at `start`, zeros after its end.
fn x_quad(start: u32, quad: u32) -> vec4<f32> {
    var v = vec4<f32>();
#unroll i 0 4
    if 4u * quad + {i}u < p.inputs {
        v[{i}] = x[start + 4u * quad + {i}u];
    }
#end
    return v;
}
#endif

@compute @workgroup_size({WG})
fn main(t: Thread) {
#if MERGE
    merge_prepare(t.index);
#endif

    // Which matrix, and which block of its outputs.
    var block = group_number(t);
#if OUTS > 1
    var layer = 0u;
    let blocks_0 = (p.outputs_0 + {BLOCK}u - 1u) / {BLOCK}u;
    if block >= blocks_0 {
        block -= blocks_0;
        layer = 1u;
    }
#endif
#if OUTS > 2
    let blocks_1 = (p.outputs_1 + {BLOCK}u - 1u) / {BLOCK}u;
    if layer == 1u && block >= blocks_1 {
        block -= blocks_1;
        layer = 2u;
    }
#endif

    // Subgroups are never shared by groups, whatever threads they consist of.
#if SUBGROUP
    let subgroup_size = {WG}u / t.subgroups;
    let position = t.subgroup * subgroup_size + t.lane;
#else
    let position = t.index;
#endif
    let group = position / {LANES}u;
    let lane = position % {LANES}u;
    let row = block * {BLOCK}u + group * {ROWS}u;

    // Rows of x that are not there are the last one again.
#unroll m 0 {BATCH}
#if MERGE
    let x_{m} = min({m}u, p.rows - 1u);
#elif RAGGED
    let x_{m} = min({m}u, p.rows - 1u) * p.inputs;
#else
    let x_{m} = min({m}u, p.rows - 1u) * (p.inputs / 4u);
#endif
#end

#if NORM == 2
    let quads = p.inputs / 4u;
    let count = f32(p.inputs);
#unroll m 0 {BATCH}
    var total_{m} = 0.0;
    for (var q = t.index; q < quads; q += {WG}u) {
        total_{m} += dot(x[x_{m} + q], vec4<f32>(1.0));
    }
    let mean_{m} = reduce_sum(t, total_{m}) / count;
    var squares_{m} = 0.0;
    for (var q = t.index; q < quads; q += {WG}u) {
        let d = x[x_{m} + q] - mean_{m};
        squares_{m} += dot(d, d);
    }
    let scale_{m} = 1.0 / sqrt(reduce_sum(t, squares_{m}) / count + p.eps);
#end
#endif

    // For one row of x, each matrix has a loop of its own, from which the compiler can read ahead; for more, they
    // share one, which is long enough.
    var sums: array<f32, {VALUES}>;
#unroll l 0 {LOOPS}
#if LOOPS > 1
    if layer == {l}u {
#else
    {
#endif
#if LOOPS == 1 && OUTS > 1
        var outputs = p.outputs_0;
        if layer == 1u {
            outputs = p.outputs_1;
        }
        if layer == 2u {
            outputs = p.outputs_2;
        }
#else
        let outputs = p.outputs_{l};
#endif
#unroll r 0 {ROWS}
        let start_{r} = min(row + {r}u, outputs - 1u) * p.chunks;
#end
#if DTYPE == 4
        let scales = outputs * p.chunks;
#endif
        for (var c = lane; c < p.chunks; c += {LANES}u) {
#unroll s 0 {STREAMS}
#unroll r 0 {ROWS}
            var w_{s}_{r}: vec4<u32>;
#end
#end
#if DTYPE == 4
#unroll r 0 {ROWS}
            let at_{r} = (start_{r} + c) >> p.group_shift;
            let word_{r} = scales + (at_{r} >> 3u);
            let part_{r} = (at_{r} >> 1u) & 3u;
#unroll s 0 {STREAMS}
            var s_{s}_{r}: f32;
#end
#end
#endif
#if GATED
#unroll s 0 2
#unroll r 0 {ROWS}
            w_{s}_{r} = weight_{s}[start_{r} + c];
#if DTYPE == 4
            s_{s}_{r} = scale_in(weight_{s}[word_{r}][part_{r}], at_{r});
#endif
#end
#end
#elif LOOPS == 1 && OUTS > 1
#unroll n 0 {OUTS}
            if layer == {n}u {
#unroll r 0 {ROWS}
                w_0_{r} = weight_{n}[start_{r} + c];
#if DTYPE == 4
                s_0_{r} = scale_in(weight_{n}[word_{r}][part_{r}], at_{r});
#endif
#end
            }
#end
#else
#unroll r 0 {ROWS}
            w_0_{r} = weight_{l}[start_{r} + c];
#if DTYPE == 4
            s_0_{r} = scale_in(weight_{l}[word_{r}][part_{r}], at_{r});
#endif
#end
#endif
#if DTYPE == 4 && BATCH == 1
#unroll s 0 {STREAMS}
#unroll r 0 {ROWS}
            var part_{s}_{r} = 0.0;
#end
#end
#endif
#unroll i 0 {QUADS}
            {
                let quad = c * {QUADS}u + {i}u;
#if NORM
                let g = gain[quad] + p.offset;
#endif
#if NORM == 2
                let b = shift[quad];
#endif
#unroll s 0 {STREAMS}
#unroll r 0 {ROWS}
#if DTYPE == 4 && BATCH > 1
                let v_{s}_{r} = quad_{i}(w_{s}_{r}) * s_{s}_{r};
#else
                let v_{s}_{r} = quad_{i}(w_{s}_{r});
#endif
#end
#end
#unroll m 0 {BATCH}
                {
#if MERGE
                    let v = merged(x_{m}, quad);
#elif RAGGED
                    let v = x_quad(x_{m}, quad);
#elif NORM == 1
                    let raw = x[x_{m} + quad];
                    sums[{SQUARES}u + {m}u] = mac(raw, raw, sums[{SQUARES}u + {m}u]);
                    let v = raw * g;
#elif NORM == 2
                    let v = (x[x_{m} + quad] - mean_{m}) * scale_{m} * g + b;
#else
                    let v = x[x_{m} + quad];
#endif
#unroll s 0 {STREAMS}
#unroll r 0 {ROWS}
#if DTYPE == 4 && BATCH == 1
                    part_{s}_{r} = mac(v_{s}_{r}, v, part_{s}_{r});
#else
                    {
                        let at = ({s}u * {ROWS}u + {r}u) * {BATCH}u + {m}u;
                        sums[at] = mac(v_{s}_{r}, v, sums[at]);
                    }
#endif
#end
#end
                }
#end
            }
#end
#if DTYPE == 4 && BATCH == 1
#unroll s 0 {STREAMS}
#unroll r 0 {ROWS}
            sums[{s}u * {ROWS}u + {r}u] += part_{s}_{r} * s_{s}_{r};
#end
#end
#endif
        }
    }
#end

    // The sums of the lanes of a group, in `shares` parts of VALUES each.
#if SUBGROUP
    let shares = {LANES}u / subgroup_size;
#unroll v 0 {VALUES}
    sums[{v}] = subgroupAdd(sums[{v}]);
#end
    if t.lane == 0u {
#unroll v 0 {VALUES}
        partial[t.subgroup * {VALUES}u + {v}u] = sums[{v}];
#end
    }
#else
    let shares = 1u;
    for (var half = {LANES}u / 2u; half > 0u; half /= 2u) {
        let place = (group * ({LANES}u / 2u) + lane % half) * {VALUES}u;
        if lane >= half && lane < 2u * half {
#unroll v 0 {VALUES}
            partial[place + {v}u] = sums[{v}];
#end
        }
        workgroupBarrier();
        if lane < half {
#unroll v 0 {VALUES}
            sums[{v}] += partial[place + {v}u];
#end
        }
        workgroupBarrier();
    }
    if lane == 0u {
#unroll v 0 {VALUES}
        partial[group * {VALUES}u + {v}u] = sums[{v}];
#end
    }
#endif
    workgroupBarrier();

    // A thread for each output of each row of x: neighbours write neighbours.
    for (var i = t.index; i < {BLOCK}u * p.rows; i += {WG}u) {
        let m = i / {BLOCK}u;
        let output = block * {BLOCK}u + i % {BLOCK}u;
        let begin = i % {BLOCK}u / {ROWS}u * shares;
        let value = i % {ROWS}u * {BATCH}u + m;
        var sum = 0.0;
#if GATED
        var other = 0.0;
#endif
#if NORM == 1
        var squares = 0.0;
#endif
        for (var part = begin; part < begin + shares; part++) {
            sum += partial[part * {VALUES}u + value];
#if GATED
            other += partial[part * {VALUES}u + {ROWS}u * {BATCH}u + value];
#endif
#if NORM == 1
            squares += partial[part * {VALUES}u + {SQUARES}u + m];
#endif
        }
#if NORM == 1
        let scale = 1.0 / sqrt(squares / f32(p.inputs) + p.eps);
        sum *= scale;
#if GATED
        other *= scale;
#endif
#endif
#unroll l 0 {OUTS}
#if OUTS > 1
        if layer == {l}u && output < p.outputs_{l} {
            let to = m * p.outputs_{l} + output;
#else
        if output < p.outputs_0 {
            let to = m * p.width + p.first + output;
#endif
#if DTYPE == 3
            let scales = p.outputs_{l} * p.chunks;
#if GATED
            sum *= bitcast<f32>(weight_0[scales + (output >> 2u)][output & 3u]);
            other *= bitcast<f32>(weight_1[scales + (output >> 2u)][output & 3u]);
#else
            sum *= bitcast<f32>(weight_{l}[scales + (output >> 2u)][output & 3u]);
#endif
#endif
#if BIAS
            sum += bias_{l}[p.first + output];
#endif
#if GATED
            sum = activation_of(p.act, sum) * other;
#elif ACTIVATED
            sum = activation_of(p.act, sum);
#endif
#if RESIDUAL
            sum += residual[to];
#endif
            y_{l}[to] = sum;
        }
#end
    }
}
