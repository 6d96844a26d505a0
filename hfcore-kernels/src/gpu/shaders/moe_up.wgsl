// The first half of experts: out[t, j, i] = act(gate) * up, with gate and up row i of expert j of token t.
//
// The weight has for each expert the rows of gate and up by turns, `[N, I, 2, E]`. A workgroup has 4 numbers i
// of one token and expert, 8 rows of the weight, along which its threads take every 64th chunk. It returns
// where the expert is in another part of the weight.
//
// KIND: 0 the activation ACT of gate, times up; 1 the clamped SwiGLU.

#include "activation.wgsl"
#include "expert.wgsl"

struct Params {
    // T * k
    slots: u32,
    k: u32,
    // E
    width: u32,
    // I
    inner: u32,
    // The first expert of this part, and how many it has.
    first: u32,
    count: u32,
    // KIND 1: the bound of gate and up, and the slope of the sigmoid.
    limit: f32,
    alpha: f32,
}
#params

// Gate and up of each number, with their biases.
var<workgroup> pairs: array<f32, 8>;

@compute @workgroup_size({WG})
fn main(t: Thread) {
    let number = group_number(t);
    let blocks = (p.inner + 3u) / 4u;
    let slot = number / blocks;
    // Uniform: of the workgroup, the parameters and what every thread reads alike.
    if slot >= p.slots {
        return;
    }
    let expert = routing[slot] - p.first;
    if expert >= p.count {
        return;
    }
    let first = number % blocks * 4u;
    let chunks = (p.width + CHUNK - 1u) / CHUNK;
    let rows = expert * p.inner * 2u;
#unroll n 0 8
    sums[{n}] = 0.0;
    // Behind the last, the last again, which is not written.
    let row_{n} = (rows + min(first + {n}u / 2u, p.inner - 1u) * 2u + {n}u % 2u) * chunks;
#end
    for (var c = t.index; c < chunks; c += {WG}u) {
        load(slot / p.k, c, p.width);
#unroll n 0 8
        let w_{n} = weight[row_{n} + c];
#end
#unroll n 0 8
        sums[{n}] += product(w_{n});
#end
    }
    let sum = total_sum(t);
    if t.index < 8u {
#if BIAS
        let row = min(first + t.index / 2u, p.inner - 1u) * 2u + t.index % 2u;
        pairs[t.index] = sum + bias[routing[slot] * p.inner * 2u + row];
#else
        pairs[t.index] = sum;
#endif
    }
    workgroupBarrier();
    if t.index < 4u && first + t.index < p.inner {
        let gate = pairs[2u * t.index];
        let up = pairs[2u * t.index + 1u];
#if KIND == 0
        out[slot * p.inner + first + t.index] = activation(gate) * up;
#else
        out[slot * p.inner + first + t.index] = clamped_swiglu(gate, up, p.limit, p.alpha);
#endif
    }
}
