// The k experts of each token, from the router's logits `[T, N]`: a workgroup for each token.
//
// out is `[2, T, k]`: the numbers of the experts, then the bits of their weights. The experts of a token are in
// the order of falling values, of equal values the lower number first: in each of k rounds the largest is taken
// of those that come after the last taken in this order.
//
// ROUTER 0  values are the softmax over all logits, which are the weights
//        1  the same, weights divided by the sum of those taken
//        2  values are the logits, weights the softmax over those taken
// HELD: values that a thread keeps in registers, so that WG times as many are all; 0 where they are too many, and
// are computed anew in each round.

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
const NOBODY = 0xffffffffu;

// Candidates of each subgroup or thread: the order of a value, and the number of its expert. Rounds take turns,
// so that one may write while the other is still read.
var<workgroup> candidates: array<vec2<u32>, {WG} * 2>;

// Of two candidates the one with the larger value; of equals, that with the lower number.
fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let takes_b = b.x > a.x || (b.x == a.x && b.y < a.y);
    return select(a, b, vec2<bool>(takes_b));
}

fn best_of_all(t: Thread, mine: vec2<u32>, round: u32) -> vec2<u32> {
    let start = (round & 1u) * {WG}u;
#if SUBGROUP
    let order = subgroupMax(mine.x);
    let expert = subgroupMin(select(NOBODY, mine.y, mine.x == order));
    if t.lane == 0u {
        candidates[start + t.subgroup] = vec2<u32>(order, expert);
    }
    workgroupBarrier();
    var best = candidates[start];
    for (var i = 1u; i < t.subgroups; i++) {
        best = better(best, candidates[start + i]);
    }
    return best;
#else
    candidates[start + t.index] = mine;
    for (var width = {WG}u / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if t.index < width {
            let other = candidates[start + t.index + width];
            candidates[start + t.index] = better(candidates[start + t.index], other);
        }
    }
    workgroupBarrier();
    return candidates[start];
#endif
}

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
#unroll n 0 {HELD}
    let expert_{n} = t.index + {n}u * {WG}u;
    var order_{n} = 0u;
    if expert_{n} < p.experts {
        order_{n} = order_of(value(logits[start + expert_{n}], largest, sum));
    }
#end

    // The last taken.
    var last = vec2<u32>(NOBODY, 0u);
    var taken = 0.0;
    let weights = p.tokens * p.k + token * p.k;
    for (var round = 0u; round < p.k; round++) {
        var mine = vec2<u32>(0u, NOBODY);
#unroll n 0 {HELD}
        if expert_{n} < p.experts && comes_after(round, last, order_{n}, expert_{n}) {
            mine = better(mine, vec2<u32>(order_{n}, expert_{n}));
        }
#end
#if HELD == 0
        for (var i = t.index; i < p.experts; i += {WG}u) {
            let order = order_of(value(logits[start + i], largest, sum));
            if comes_after(round, last, order, i) {
                mine = better(mine, vec2<u32>(order, i));
            }
        }
#endif
        last = best_of_all(t, mine, round);
        var weight = of_order(last.x);
#if ROUTER == 2
        weight = exp_f32(weight - largest);
#endif
        taken += weight;
        if t.index == 0u {
            out[token * p.k + round] = min(last.y, p.experts - 1u);
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

// Whether an expert has not been taken in the rounds before: it comes after the last that was.
fn comes_after(round: u32, last: vec2<u32>, order: u32, expert: u32) -> bool {
    return round == 0u || order < last.x || (order == last.x && expert > last.y);
}

fn value(logit: f32, largest: f32, sum: f32) -> f32 {
#if ROUTER == 2
    return logit;
#else
    return exp_f32(logit - largest) / sum;
#endif
}
