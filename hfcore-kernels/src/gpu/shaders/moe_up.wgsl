// The first half of experts, for a few tokens: out[t, j, i] = act(gate) * up, with number i of gate and of up
// of expert j of token t.
//
// A workgroup has 4 numbers i of one token and expert, 8 rows of matrices, along which its threads take every
// WG-th vector. It returns where the expert is not of this part.
//
// KIND: 0 the activation `act` of gate, times up; 1 the clamped SwiGLU, of one matrix with gate and up by turns.

#include "activation.wgsl"
#include "expert.wgsl"

struct Params {
    // Of this call: T * k, and the first.
    slots: u32,
    base: u32,
    k: u32,
    // E
    width: u32,
    // I
    inner: u32,
    // The first expert of this part, and how many it has.
    first: u32,
    count: u32,
    // Vectors of an expert, of its gate, and of a row.
    stride: u32,
    other: u32,
    chunks: u32,
    group_shift: u32,
    // KIND 0: the number of the activation.
    act: u32,
    // KIND 1: the bound of gate and up, and the slope of the sigmoid.
    limit: f32,
    alpha: f32,
}
#params

// Gate and up of each number, with their biases.
var<workgroup> pairs: array<f32, 8>;

#if KIND == 0
const TURNS = 1u;
#else
const TURNS = 2u;
#endif

@compute @workgroup_size({WG})
fn main(t: Thread) {
    let number = group_number(t);
    let blocks = (p.inner + 3u) / 4u;
    let slot = number / blocks;
    // Uniform: of the workgroup, the parameters and what every thread reads alike.
    if slot >= p.slots {
        return;
    }
    let expert = routing[p.base + slot] - p.first;
    if expert >= p.count {
        return;
    }
    let first = number % blocks * 4u;
    let rows = p.inner * TURNS;
    let gate = expert * p.stride;
#if KIND == 0
    let up = gate + p.other;
#else
    let up = gate;
#endif
#unroll n 0 4
    // Behind the last, the last again, which is not written.
    let gate_row_{n} = min(first + {n}u, p.inner - 1u) * TURNS;
    let up_row_{n} = gate_row_{n} + TURNS - 1u;
    sums[2 * {n}] = 0.0;
    sums[2 * {n} + 1] = 0.0;
#end
    let token = (p.base + slot) / p.k;
    for (var c = t.index; c < p.chunks; c += {WG}u) {
#unroll n 0 4
        let gate_{n} = weight[gate + gate_row_{n} * p.chunks + c];
        let up_{n} = weight[up + up_row_{n} * p.chunks + c];
        var gate_part_{n} = 0.0;
        var up_part_{n} = 0.0;
#end
#unroll q 0 {QUADS}
        let x_{q} = x_quad(token, c * {QUADS}u + {q}u, p.width);
#unroll n 0 4
        gate_part_{n} += dot(quad_{q}(gate_{n}), x_{q});
        up_part_{n} += dot(quad_{q}(up_{n}), x_{q});
#end
#end
#unroll n 0 4
#if DTYPE == 4
        sums[2 * {n}] += gate_part_{n} * scale_of(gate, rows, p.chunks, gate_row_{n}, c, p.group_shift);
        sums[2 * {n} + 1] += up_part_{n} * scale_of(up, rows, p.chunks, up_row_{n}, c, p.group_shift);
#else
        sums[2 * {n}] += gate_part_{n};
        sums[2 * {n} + 1] += up_part_{n};
#endif
#end
    }
    var sum = total_sum(t);
    if t.index < 8u {
        let half = t.index % 2u;
        let row = min(first + t.index / 2u, p.inner - 1u) * TURNS + half * (TURNS - 1u);
#if DTYPE == 3
        sum *= scale_of(select(gate, up, half == 1u), rows, p.chunks, row, 0u, 0u);
#endif
#if BIAS
        // `[N, 2 I]`, of one matrix as it is, of two one behind the other.
        sum += bias[routing[p.base + slot] * p.inner * 2u + half * (2u - TURNS) * p.inner + row];
#endif
        pairs[t.index] = sum;
    }
    workgroupBarrier();
    if t.index < 4u && first + t.index < p.inner {
        let a = pairs[2u * t.index];
        let b = pairs[2u * t.index + 1u];
#if KIND == 0
        out[slot * p.inner + first + t.index] = activation_of(p.act, a) * b;
#else
        out[slot * p.inner + first + t.index] = clamped_swiglu(a, b, p.limit, p.alpha);
#endif
    }
}
