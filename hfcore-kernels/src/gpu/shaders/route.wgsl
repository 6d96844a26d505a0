// The k experts of each token, from the router's logits `[T, N]`: a workgroup for each token.
//
// out is `[2, T, k]`: the numbers of the experts, then the bits of their weights. The experts of a token are in
// the order of falling values, of equal values the lower number first: in each of k rounds the largest is taken
// of those that come after the last taken in this order, so that nothing has to be remembered but the last.
//
// ROUTER 0  values are the softmax over all logits, which are the weights
//        1  the same, weights divided by the sum of those taken
//        2  values are the logits, weights the softmax over those taken

#include "math.wgsl"
#include "reduce.wgsl"

struct Params {
    // T, N, k
    tokens: u32,
    experts: u32,
    k: u32,
}
#params

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

const LOWEST = -3.4028234e38;

@compute @workgroup_size({WG})
fn main(t: Thread) {
    // Uniform: of the workgroup and the parameters alone.
    let token = group_number(t);
    if token >= p.tokens {
        return;
    }
    let start = token * p.experts;
    var most = LOWEST;
    for (var i = t.index; i < p.experts; i += {WG}u) {
        let v = logits[start + i];
        most = select(most, v, v > most);
    }
    let largest = reduce_max(t, most);
    var sum = 1.0;
#if ROUTER != 2
    var part = 0.0;
    for (var i = t.index; i < p.experts; i += {WG}u) {
        part += exp_f32(logits[start + i] - largest);
    }
    sum = reduce_sum(t, part);
#endif

    // The last taken; the first round takes the largest of all.
    var last = 0xffffffffu;
    var last_expert = 0u;
    var taken = 0.0;
    let weights = p.tokens * p.k + token * p.k;
    for (var round = 0u; round < p.k; round++) {
        var best = 0u;
        var best_expert = 0xffffffffu;
        for (var i = t.index; i < p.experts; i += {WG}u) {
            let order = order_of(value(logits[start + i], largest, sum));
            let is_after = round == 0u || order < last || (order == last && i > last_expert);
            // Of equals a thread meets the lower number first.
            if is_after && (best_expert == 0xffffffffu || order > best) {
                best = order;
                best_expert = i;
            }
        }
        last = reduce_max_u32(t, best);
        let is_best = best == last && best_expert != 0xffffffffu;
        last_expert = ~reduce_max_u32(t, select(0u, ~best_expert, is_best));
        var weight = of_order(last);
#if ROUTER == 2
        weight = exp_f32(weight - largest);
#endif
        taken += weight;
        if t.index == 0u {
            out[token * p.k + round] = last_expert;
            out[weights + round] = bitcast<u32>(weight);
        }
    }
#if ROUTER != 0
    // By the thread that wrote them.
    if t.index == 0u {
        for (var round = 0u; round < p.k; round++) {
            out[weights + round] = bitcast<u32>(bitcast<f32>(out[weights + round]) / taken);
        }
    }
#endif
}

fn value(logit: f32, largest: f32, sum: f32) -> f32 {
#if ROUTER == 2
    return logit;
#else
    return exp_f32(logit - largest) / sum;
#endif
}
