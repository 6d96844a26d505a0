// Products of many rows of x with a matrix [O, I]: `y = x W^T + bias`, in tiles.
//
// A workgroup of 16 x 16 threads makes EDGE x EDGE numbers of y, EDGE = 16 SIDE; a thread has every 16th of
// SIDE rows and SIDE outputs, so that neighbours write neighbours. 32 inputs at a time, the tiles of x and of
// W, as f32, are in workgroup memory, in vectors of four inputs, while those of the next step are on their
// way. Of row r, vector v lies in place v ^ (r % 8) of eight: threads that read the same vector of
// neighbouring rows find them in different banks.
//
//   RESIDUAL  y += residual
//   GATED     two matrices, gate and up, half of the tile each: y = activation(gate) * up
//   RAGGED    the inputs are no multiple of what 16 bytes of the matrix hold
//
// DTYPE and QUADS: see weight.wgsl.

#include "weight.wgsl"
#if GATED
#include "activation.wgsl"
#endif

struct Params {
    // Numbers of a row of x.
    inputs: u32,
    // Vectors of 16 bytes of a row of W.
    chunks: u32,
    // Rows of x.
    rows: u32,
    // The base-2 logarithm of how many vectors share a scale.
    group_shift: u32,
    outputs: u32,
    // The first output's number in a row of y, and the numbers of such a row.
    first: u32,
    width: u32,
}

#if RAGGED
@group(0) @binding(#) var<storage, read> x: array<f32>;
#else
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(#) var<storage, read> weight_0: array<vec4<u32>>;
#if GATED
@group(0) @binding(#) var<storage, read> weight_1: array<vec4<u32>>;
#endif
#if BIAS
@group(0) @binding(#) var<storage, read> bias: array<f32>;
#endif
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<f32>;
#endif
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#params

// [EDGE, 8]
var<workgroup> x_tile: array<vec4<f32>, {TILE}>;
var<workgroup> w_tile: array<vec4<f32>, {TILE}>;

fn place(row: u32, vector: u32) -> u32 {
    return row * 8u + (vector ^ (row & 7u));
}

// Four numbers of a row of x from 4 quad on, zeros after its end.
fn x_quad(row: u32, quad: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if RAGGED
#unroll i 0 4
    if 4u * quad + {i}u < p.inputs {
        v[{i}] = x[row * p.inputs + 4u * quad + {i}u];
    }
#end
#else
    let quads = p.inputs / 4u;
    if quad < quads {
        v = x[row * quads + quad];
    }
#endif
    return v;
}

// A vector of the row of W that begins at `start`, or the last one: beyond it, x is zero. Rows of the tile from
// OUTPUTS on are those of the other matrix.
fn w_vector(row: u32, start: u32, chunk: u32) -> vec4<u32> {
    let at = start + min(chunk, p.chunks - 1u);
#if GATED
    if row >= {OUTPUTS}u {
        return weight_1[at];
    }
#endif
    return weight_0[at];
}

#if DTYPE == 4
// Its scale.
fn w_scale(row: u32, start: u32, chunk: u32) -> f32 {
    let at = (start + min(chunk, p.chunks - 1u)) >> p.group_shift;
    let word = p.outputs * p.chunks + (at >> 3u);
#if GATED
    if row >= {OUTPUTS}u {
        return scale_in(weight_1[word][(at >> 1u) & 3u], at);
    }
#endif
    return scale_in(weight_0[word][(at >> 1u) & 3u], at);
}
#endif

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let column = thread % 16u;
    let line = thread / 16u;
    let row = group.y * {EDGE}u;
    let output = group.x * {OUTPUTS}u;

    // What a thread brings of each step: X_LOADS vectors of x, W_LOADS of W, the latter where there are as many.
#unroll i 0 {X_LOADS}
    let x_row_{i} = thread / 8u + {i}u * 32u;
    let x_from_{i} = min(row + x_row_{i}, p.rows - 1u);
    var x_next_{i} = x_quad(x_from_{i}, thread % 8u);
#end
#unroll i 0 {W_LOADS}
    let w_unit_{i} = thread + {i}u * 256u;
    // Threads without work bring what others do, and leave it.
    let w_row_{i} = min(w_unit_{i} / {STEP}u, {EDGE}u - 1u);
#if GATED
    let w_from_{i} = min(output + w_row_{i} % {OUTPUTS}u, p.outputs - 1u) * p.chunks;
#else
    let w_from_{i} = min(output + w_row_{i}, p.outputs - 1u) * p.chunks;
#endif
    let w_chunk_{i} = w_unit_{i} % {STEP}u;
    var w_next_{i} = w_vector(w_row_{i}, w_from_{i}, w_chunk_{i});
#if DTYPE == 4
    var s_next_{i} = w_scale(w_row_{i}, w_from_{i}, w_chunk_{i});
#endif
#end

    var sums: array<f32, {SUMS}>;
    for (var step = 0u; step < p.chunks; step += {STEP}u) {
        workgroupBarrier();
#unroll i 0 {X_LOADS}
        x_tile[place(x_row_{i}, thread % 8u)] = x_next_{i};
#end
#unroll i 0 {W_LOADS}
        if w_unit_{i} < {UNITS}u {
            let vector = w_chunk_{i} * {QUADS}u;
#unroll q 0 {QUADS}
#if DTYPE == 4
            w_tile[place(w_row_{i}, vector + {q}u)] = quad_{q}(w_next_{i}) * s_next_{i};
#else
            w_tile[place(w_row_{i}, vector + {q}u)] = quad_{q}(w_next_{i});
#endif
#end
        }
#end
        workgroupBarrier();
        let next = step + {STEP}u;
#unroll i 0 {X_LOADS}
        x_next_{i} = x_quad(x_from_{i}, next * {QUADS}u + thread % 8u);
#end
#unroll i 0 {W_LOADS}
        w_next_{i} = w_vector(w_row_{i}, w_from_{i}, next + w_chunk_{i});
#if DTYPE == 4
        s_next_{i} = w_scale(w_row_{i}, w_from_{i}, next + w_chunk_{i});
#endif
#end
        for (var v = 0u; v < 8u; v++) {
#unroll i 0 {SIDE}
            let a_{i} = x_tile[place(line + {i}u * 16u, v)];
#end
#unroll j 0 {SIDE}
            {
                let b = w_tile[place(column + {j}u * 16u, v)];
#unroll i 0 {SIDE}
                sums[{i}u * {SIDE}u + {j}u] = mac(a_{i}, b, sums[{i}u * {SIDE}u + {j}u]);
#end
            }
#end
        }
    }

#unroll j 0 {COLUMNS}
    {
        let o = output + column + {j}u * 16u;
        if o < p.outputs {
#if DTYPE == 3
            let scale = bitcast<f32>(weight_0[p.outputs * p.chunks + (o >> 2u)][o & 3u]);
#if GATED
            let other_scale = bitcast<f32>(weight_1[p.outputs * p.chunks + (o >> 2u)][o & 3u]);
#endif
#endif
#unroll i 0 {SIDE}
            {
                let m = row + line + {i}u * 16u;
                if m < p.rows {
                    let to = m * p.width + p.first + o;
                    var sum = sums[{i}u * {SIDE}u + {j}u];
#if DTYPE == 3
                    sum *= scale;
#endif
#if BIAS
                    sum += bias[p.first + o];
#endif
#if GATED
                    var other = sums[{i}u * {SIDE}u + {j}u + {COLUMNS}u];
#if DTYPE == 3
                    other *= other_scale;
#endif
                    sum = activation(sum) * other;
#endif
#if RESIDUAL
                    sum += residual[to];
#endif
                    y[to] = sum;
                }
            }
#end
        }
    }
#end
}
