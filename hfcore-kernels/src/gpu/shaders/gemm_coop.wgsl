// Products of many rows of x with a matrix [O, I], `y = x W^T + bias`, by the products of small matrices that
// the hardware has: squares of EDGE halves, multiplied by a subgroup, summed in f32.
//
// x was made halves before (see halves.wgsl): row m is 2^exponents[m] times what it was, once, or as the sum of
// two parts behind each other. W becomes halves on its way to workgroup memory: f16 as it is, whole numbers of
// int8 as they are, bf16 and int4 times a power of two of the whole matrix. All of that is exact; the powers of two,
// and the scales of int8, are taken off the sums.
//
// A workgroup makes ROWS x COLUMNS numbers of y, 32 inputs at a time: both tiles, [ROWS, 32] and [COLUMNS, 32],
// are in workgroup memory, each row followed by 8 halves of room, so that rows that are read together lie in
// different banks. With BUFFERS 2 there are two of each: one is read while the other is filled. What the next
// step needs is on its way from memory meanwhile.
//
// PIECES pieces of the result, PIECES_N side by side, of FM x FN squares: a subgroup sums one. There may be more
// subgroups than pieces, which then only bring tiles, or fewer: then it is all done in several rounds.
//
//   VEC       numbers of an element of the tiles: 4, or 1 where products are read from nothing but scalars
//   RESIDUAL  y += residual
//   GATED     two matrices, gate and up, half of the tile each: y = activation(gate) * up. A piece has the same
//             columns of both, HALF squares side by side of each
//
// DTYPE: see weight.wgsl.

#include "weight.wgsl"
#if GATED
#include "activation.wgsl"
#else
#include "math.wgsl"
#endif

struct Params {
    // Rows of x.
    rows: u32,
    // Vectors of eight halves of a row of x, of all of its parts.
    x_units: u32,
    // Steps of 32 inputs of a part, and parts.
    steps: u32,
    parts: u32,
    // Groups of eight numbers of a row of W.
    w_units: u32,
    outputs: u32,
    // The first output's number in a row of y, and the numbers of such a row.
    first: u32,
    width: u32,
    // The base-2 logarithm of how many vectors of W share a scale.
    group_shift: u32,
    // The power of two that W is multiplied with.
    exponent_0: i32,
    exponent_1: i32,
}

// Eight numbers as they lie in a row of W.
#if DTYPE == 1
alias Raw = mat2x4<f16>;
#elif DTYPE == 2
alias Raw = vec4<u32>;
#elif DTYPE == 3
alias Raw = vec2<u32>;
#else
alias Raw = u32;
#endif

@group(0) @binding(#) var<storage, read> x: array<mat2x4<f16>>;
@group(0) @binding(#) var<storage, read> exponents: array<i32>;
@group(0) @binding(#) var<storage, read> weight_0: array<Raw>;
#if GATED
@group(0) @binding(#) var<storage, read> weight_1: array<Raw>;
#endif
#if BIAS
@group(0) @binding(#) var<storage, read> bias_0: array<f32>;
#endif
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<f32>;
#endif
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#params

// Of a row of a tile: 32 halves and the room after them, in vectors of four.
const STRIDE = 10u;

#if VEC == 4
var<workgroup> x_tile: array<vec4<f16>, {X_TILE}>;
var<workgroup> w_tile: array<vec4<f16>, {W_TILE}>;

fn put_x(at: u32, v: vec4<f16>) {
    x_tile[at] = v;
}

fn put_w(at: u32, v: vec4<f16>) {
    w_tile[at] = v;
}
#else
var<workgroup> x_tile: array<f16, {X_TILE}>;
var<workgroup> w_tile: array<f16, {W_TILE}>;

fn put_x(at: u32, v: vec4<f16>) {
#unroll i 0 4
    x_tile[4u * at + {i}u] = v[{i}];
#end
}

fn put_w(at: u32, v: vec4<f16>) {
#unroll i 0 4
    w_tile[4u * at + {i}u] = v[{i}];
#end
}
#endif

// A square of each piece: zeros to begin with, then sums on their way out.
var<workgroup> squares: array<f32, {SQUARES}>;

// Eight numbers of W, or the row's last: beyond it, x is zero. Rows of the tile from OUTPUTS on are those of the other
// matrix.
fn w_raw(row: u32, start: u32, unit: u32) -> Raw {
    let at = start + min(unit, p.w_units - 1u);
#if GATED
    if row >= {OUTPUTS}u {
        return weight_1[at];
    }
#endif
    return weight_0[at];
}

#if DTYPE == 4
// Their scale, times the matrix's power of two.
fn w_scale(row: u32, start: u32, unit: u32) -> f32 {
    let at = (start + min(unit, p.w_units - 1u)) >> (p.group_shift + 2u);
    let word = p.outputs * p.w_units + (at >> 1u);
#if GATED
    if row >= {OUTPUTS}u {
        return scale_in(weight_1[word], at) * power_of_two(p.exponent_1);
    }
#endif
    return scale_in(weight_0[word], at) * power_of_two(p.exponent_0);
}
#elif DTYPE == 2
fn w_scale(row: u32, start: u32, unit: u32) -> f32 {
#if GATED
    if row >= {OUTPUTS}u {
        return power_of_two(p.exponent_1);
    }
#endif
    return power_of_two(p.exponent_0);
}
#endif

// The first four of eight numbers, and the others.
fn w_low(raw: Raw, scale: f32) -> vec4<f16> {
#if DTYPE == 1
    return raw[0];
#elif DTYPE == 2
    return vec4<f16>(quad_0(raw) * scale);
#elif DTYPE == 3
    return vec4<f16>(four_bytes(raw.x));
#else
    return vec4<f16>(four_low(raw) * scale);
#endif
}

fn w_high(raw: Raw, scale: f32) -> vec4<f16> {
#if DTYPE == 1
    return raw[1];
#elif DTYPE == 2
    return vec4<f16>(quad_1(raw) * scale);
#elif DTYPE == 3
    return vec4<f16>(four_bytes(raw.y));
#else
    return vec4<f16>(four_high(raw) * scale);
#endif
}

// The first vector of the tile of W that holds the columns of a piece's square `j`.
fn w_square(piece: u32, j: u32) -> u32 {
    let column = piece % {PIECES_N}u * ({HALF}u * {EDGE}u) + j % {HALF}u * {EDGE}u;
    return (j / {HALF}u * {OUTPUTS}u + column) * STRIDE;
}

// What is taken off a sum of row m: both powers of two.
fn unscaled(sum: f32, row: u32, exponent: i32) -> f32 {
    let n = -(exponents[row] + exponent);
    let half = n >> 1u;
    return sum * power_of_two(half) * power_of_two(n - half);
}

#if DTYPE == 3
// The scale of an output, behind all numbers.
fn scale_0(o: u32) -> f32 {
    return bitcast<f32>(weight_0[p.outputs * p.w_units + (o >> 1u)][o & 1u]);
}
#if GATED
fn scale_1(o: u32) -> f32 {
    return bitcast<f32>(weight_1[p.outputs * p.w_units + (o >> 1u)][o & 1u]);
}
#endif
#endif

@compute @workgroup_size({WG})
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let row = group.x * {ROWS}u;
    let output = group.y * {OUTPUTS}u;
    let steps = p.steps * p.parts;

    // What a thread brings of each step: eight numbers of each of X_LOADS rows of x, and of W_LOADS of W.
#unroll i 0 {X_LOADS}
    let x_row_{i} = (thread + {i}u * {WG}u) / 4u;
    let x_from_{i} = min(row + x_row_{i}, p.rows - 1u) * p.x_units + thread % 4u;
    let x_to_{i} = x_row_{i} * STRIDE + thread % 4u * 2u;
#end
#unroll i 0 {W_LOADS}
    let w_row_{i} = (thread + {i}u * {WG}u) / 4u;
    let w_from_{i} = min(output + w_row_{i} % {OUTPUTS}u, p.outputs - 1u) * p.w_units;
    let w_to_{i} = w_row_{i} * STRIDE + thread % 4u * 2u;
#end

    for (var round = 0u; round < {PIECES}u; round += subgroups) {
        let works = round + subgroup < {PIECES}u;
        let piece = min(round + subgroup, {PIECES}u - 1u);
        let slot = (piece - round) * ({EDGE}u * {EDGE}u);

        for (var i = thread; i < {SQUARES}u; i += {WG}u) {
            squares[i] = 0.0;
        }
#unroll i 0 {X_LOADS}
        var x_next_{i} = x[x_from_{i}];
#end
#unroll i 0 {W_LOADS}
        var w_next_{i} = w_raw(w_row_{i}, w_from_{i}, thread % 4u);
        var s_next_{i} = 1.0;
#if DTYPE == 2 || DTYPE == 4
        s_next_{i} = w_scale(w_row_{i}, w_from_{i}, thread % 4u);
#endif
#end
        workgroupBarrier();
#unroll i 0 {FM}
#unroll j 0 {FN}
        var sum_{i}_{j} = coopLoadT<coop_mat{EDGE}x{EDGE}<f32, C>>(&squares[slot], {EDGE}u);
#end
#end

#if BUFFERS == 2
#unroll i 0 {X_LOADS}
        put_x(x_to_{i}, x_next_{i}[0]);
        put_x(x_to_{i} + 1u, x_next_{i}[1]);
#end
#unroll i 0 {W_LOADS}
        put_w(w_to_{i}, w_low(w_next_{i}, s_next_{i}));
        put_w(w_to_{i} + 1u, w_high(w_next_{i}, s_next_{i}));
#end
        workgroupBarrier();
#endif

        // The tile of W begins anew with each part of x.
        var w_step = 0u;
        for (var step = 0u; step < steps; step++) {
#if BUFFERS == 2
            let x_tile_now = (step & 1u) * ({ROWS}u * STRIDE);
            let w_tile_now = (step & 1u) * ({COLUMNS}u * STRIDE);
#else
            let x_tile_now = 0u;
            let w_tile_now = 0u;
#unroll i 0 {X_LOADS}
            put_x(x_to_{i}, x_next_{i}[0]);
            put_x(x_to_{i} + 1u, x_next_{i}[1]);
#end
#unroll i 0 {W_LOADS}
            put_w(w_to_{i}, w_low(w_next_{i}, s_next_{i}));
            put_w(w_to_{i} + 1u, w_high(w_next_{i}, s_next_{i}));
#end
            workgroupBarrier();
#endif
            let more = step + 1u < steps;
            w_step = select(w_step + 1u, 0u, w_step + 1u == p.steps);
            if more {
#unroll i 0 {X_LOADS}
                x_next_{i} = x[x_from_{i} + (step + 1u) * 4u];
#end
#unroll i 0 {W_LOADS}
                w_next_{i} = w_raw(w_row_{i}, w_from_{i}, w_step * 4u + thread % 4u);
#if DTYPE == 4
                s_next_{i} = w_scale(w_row_{i}, w_from_{i}, w_step * 4u + thread % 4u);
#endif
#end
            }
            // All of a subgroup go this way or none: as a loop, it is one that naga lets products be in.
            loop {
                if !works {
                    break;
                }
                let x_piece = x_tile_now + piece / {PIECES_N}u * ({FM}u * {EDGE}u * STRIDE);
#if EDGE == 8
                for (var k = 0u; k < 4u; k++) {
#else
                {
                    let k = 0u;
#endif
#unroll u 0 {UNROLLED}
                    {
                    let inputs = (k + {u}u) * ({EDGE}u / 4u);
#unroll j 0 {FN}
                    let w_at_{j} = w_tile_now + w_square(piece, {j}u) + inputs;
                    let w_{j} = coopLoad<coop_mat{EDGE}x{EDGE}<f16, B>>(&w_tile[w_at_{j} * {PER_4}u], STRIDE * {PER_4}u);
#end
#unroll i 0 {FM}
                    {
                        let x_at = x_piece + {i}u * ({EDGE}u * STRIDE) + inputs;
                        let v = coopLoadT<coop_mat{EDGE}x{EDGE}<f16, A>>(&x_tile[x_at * {PER_4}u], STRIDE * {PER_4}u);
#unroll j 0 {FN}
                        sum_{i}_{j} = coopMultiplyAdd(v, w_{j}, sum_{i}_{j});
#end
                    }
#end
                    }
#end
                }
                break;
            }
#if BUFFERS == 2
            if more {
                let x_tile_next = ({ROWS}u * STRIDE) - x_tile_now;
                let w_tile_next = ({COLUMNS}u * STRIDE) - w_tile_now;
#unroll i 0 {X_LOADS}
                put_x(x_tile_next + x_to_{i}, x_next_{i}[0]);
                put_x(x_tile_next + x_to_{i} + 1u, x_next_{i}[1]);
#end
#unroll i 0 {W_LOADS}
                put_w(w_tile_next + w_to_{i}, w_low(w_next_{i}, s_next_{i}));
                put_w(w_tile_next + w_to_{i} + 1u, w_high(w_next_{i}, s_next_{i}));
#end
            }
#endif
            workgroupBarrier();
        }

        // The squares of all pieces go through workgroup memory, where every thread takes some of their numbers.
#unroll i 0 {FM}
#unroll j 0 {HALF}
        loop {
            if !works {
                break;
            }
            coopStoreT(sum_{i}_{j}, &squares[slot], {EDGE}u);
            break;
        }
        workgroupBarrier();
#unroll n 0 {TAKES}
        let sum_{i}_{j}_{n} = squares[thread + {n}u * {WG}u];
#end
        workgroupBarrier();
#if GATED
        // The square of up that belongs to it.
        loop {
            if !works {
                break;
            }
#unroll u {HALF} {FN}
            if {u}u == {j}u + {HALF}u {
                coopStoreT(sum_{i}_{u}, &squares[slot], {EDGE}u);
            }
#end
            break;
        }
        workgroupBarrier();
#unroll n 0 {TAKES}
        let other_{i}_{j}_{n} = squares[thread + {n}u * {WG}u];
#end
        workgroupBarrier();
#endif
#unroll n 0 {TAKES}
        {
            let at = thread + {n}u * {WG}u;
            let owner = round + at / ({EDGE}u * {EDGE}u);
            let m = row + owner / {PIECES_N}u * ({FM}u * {EDGE}u) + {i}u * {EDGE}u + at % ({EDGE}u * {EDGE}u) / {EDGE}u;
            let o = output + owner % {PIECES_N}u * ({HALF}u * {EDGE}u) + {j}u * {EDGE}u + at % {EDGE}u;
            if owner < min(round + subgroups, {PIECES}u) && m < p.rows && o < p.outputs {
                let to = m * p.width + p.first + o;
                var sum = unscaled(sum_{i}_{j}_{n}, m, p.exponent_0);
#if DTYPE == 3
                sum *= scale_0(o);
#endif
#if BIAS
                sum += bias_0[p.first + o];
#endif
#if GATED
                var other = unscaled(other_{i}_{j}_{n}, m, p.exponent_1);
#if DTYPE == 3
                other *= scale_1(o);
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
#end
#end
    }
}
