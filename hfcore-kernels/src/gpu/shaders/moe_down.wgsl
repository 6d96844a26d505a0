// The second half of experts, and their sum: out[t] = sum over j of weight[t, j] * (down x[t, j] + bias).
//
// The weight is `[N, E, I]`. A workgroup has 4 numbers of one token; its threads take every 64th chunk of the
// token's k rows of `x` `[T, k, I]`, one after the other. Experts in another part of the weight are passed
// over; all parts but the first that is called add to what is there.

#include "expert.wgsl"

struct Params {
    // T
    tokens: u32,
    k: u32,
    // E
    width: u32,
    // I
    inner: u32,
    // The first expert of this part, and how many it has.
    first: u32,
    count: u32,
    // Whether to add to what is there.
    adds: u32,
}
#params

@compute @workgroup_size({WG})
fn main(t: Thread) {
    let number = group_number(t);
    let blocks = (p.width + 3u) / 4u;
    let token = number / blocks;
    // Uniform: of the workgroup and the parameters alone.
    if token >= p.tokens {
        return;
    }
    let first = number % blocks * 4u;
    let chunks = (p.inner + CHUNK - 1u) / CHUNK;
    let weights = p.tokens * p.k;
#unroll n 0 4
    sums[{n}] = 0.0;
    // Behind the last, the last again, which is not written.
    let row_{n} = min(first + {n}u, p.width - 1u) * chunks;
#end
    for (var i = t.index; i < p.k * chunks; i += {WG}u) {
        let slot = token * p.k + i / chunks;
        let expert = routing[slot] - p.first;
        if expert < p.count {
            let c = i % chunks;
            load(slot, c, p.inner);
            let matrix = expert * p.width * chunks + c;
            let share = bitcast<f32>(routing[weights + slot]);
#unroll n 0 4
            let w_{n} = weight[matrix + row_{n}];
#end
#unroll n 0 4
            sums[{n}] += share * product(w_{n});
#end
        }
    }
    var sum = total_sum(t);
    if t.index < 4u && first + t.index < p.width {
        let column = first + t.index;
#if BIAS
        for (var j = 0u; j < p.k; j++) {
            let slot = token * p.k + j;
            let expert = routing[slot];
            if expert - p.first < p.count {
                sum += bitcast<f32>(routing[weights + slot]) * bias[expert * p.width + column];
            }
        }
#endif
        let at = token * p.width + column;
        if p.adds != 0u {
            sum += out[at];
        }
        out[at] = sum;
    }
}
