// The second half of experts, for a few tokens, and their sum: out[t] = sum over j of weight[t, j] *
// (down x[t, j] + bias).
//
// A workgroup has 4 numbers of one token; its threads take every WG-th vector of the rows of the token's k
// experts, one after the other. Experts that are not of this part are passed over; all parts but the first
// that is called add to what is there. With RESIDUAL, that is added.

#include "expert.wgsl"

struct Params {
    // Of this call, the first, and of all.
    tokens: u32,
    base: u32,
    all: u32,
    k: u32,
    // I
    inner: u32,
    // E
    width: u32,
    // The first expert of this part, and how many it has.
    first: u32,
    count: u32,
    // Vectors of an expert, and of a row.
    stride: u32,
    chunks: u32,
    group_shift: u32,
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
    // Of the first token, and the bits of its weights.
    let numbers = p.base * p.k;
    let weights = (p.all + p.base) * p.k;
#unroll n 0 4
    // Behind the last, the last again, which is not written.
    let row_{n} = min(first + {n}u, p.width - 1u);
    sums[{n}] = 0.0;
#end
    for (var i = t.index; i < p.k * p.chunks; i += {WG}u) {
        let slot = token * p.k + i / p.chunks;
        let expert = routing[numbers + slot] - p.first;
        if expert < p.count {
            let c = i % p.chunks;
            let matrix = expert * p.stride;
            let share = bitcast<f32>(routing[weights + slot]);
#unroll n 0 4
            let w_{n} = weight[matrix + row_{n} * p.chunks + c];
            var part_{n} = 0.0;
#end
#unroll q 0 {QUADS}
            let x_{q} = x_quad(slot, c * {QUADS}u + {q}u, p.inner);
#unroll n 0 4
            part_{n} += dot(quad_{q}(w_{n}), x_{q});
#end
#end
#unroll n 0 4
#if DTYPE > 2
            sums[{n}] += share * scale_of(matrix, p.width, p.chunks, row_{n}, c, p.group_shift) * part_{n};
#else
            sums[{n}] += share * part_{n};
#endif
#end
        }
    }
    var sum = total_sum(t);
    if t.index < 4u && first + t.index < p.width {
        let column = first + t.index;
#if BIAS
        for (var j = 0u; j < p.k; j++) {
            let slot = token * p.k + j;
            let expert = routing[numbers + slot];
            if expert - p.first < p.count {
                sum += bitcast<f32>(routing[weights + slot]) * bias[expert * p.width + column];
            }
        }
#endif
        let at = (p.base + token) * p.width + column;
#if RESIDUAL
        sum += residual[at];
#endif
        if p.adds != 0u {
            sum += out[at];
        }
        out[at] = sum;
    }
}
