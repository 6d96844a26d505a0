// A draw from all scores, or from all that min-p leaves: by as many workgroups as there are chunks.
//
//     STAGE 0     the sum of the weights of each chunk; workgroup (c, i) has chunk c of choice i
//     STAGE 1     the chunk at which their running sum passes fraction * total, and in it the token; workgroup i has
//                 choice i
//
// Weights are whole numbers: their sums are the same in any order, and the token is the one that one running sum over
// all of them finds.
//
// Token `base + i` goes to `tokens[base + i]`, and whether there is one to `tokens[choices + base + i]`.

struct Params {
    vocab: u32,
    chunk: u32,
    chunks: u32,
    choices: u32,
    base: u32,
}

#params

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
#if STAGE == 0
@group(0) @binding(3) var<storage, read_write> of_chunks: array<vec2<u32>>;
#else
@group(0) @binding(3) var<storage, read> of_chunks: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
#endif

#include "sample_weight.wgsl"
#include "sample_merge.wgsl"
#include "sample_sums.wgsl"

#if STAGE == 1
// Where the running sum passes the target, and what is left of the target there.
var<workgroup> passed: vec3<u32>;
#endif

// The weight of a score where the largest is `max_key`; none below the least.
fn kept_weight(max_key: u32, key: u32) -> vec2<u32> {
    let w = weight(max_key, key);
    return select(w, vec2<u32>(0u), less64(w, vec2<u32>(words[7], words[8])));
}

#if STAGE == 0
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = group.y;
    let best = merge(choice, lane);
    let first = group.x * p.chunk;
    var end = min(first + p.chunk, p.vocab);
    if (status(best) != 0u) {
        end = first;
    }
    var mine = vec2<u32>(0u);
    for (var i = first + lane; i < end; i += 256u) {
        mine = add64(mine, kept_weight(best.x, keys[choice * p.vocab + i]));
    }
    let sum = running_sum(lane, mine);
    if (lane == 255u) {
        of_chunks[choice * p.chunks + group.x] = sum;
    }
}
#else
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = group.x;
    let best = merge(choice, lane);
    let state = status(best);
    if (lane == 0u) {
        passed = vec3<u32>(0u);
    }
    var mine = vec2<u32>(0u);
    if (lane < p.chunks) {
        mine = of_chunks[choice * p.chunks + lane];
    }
    var sum = running_sum(lane, mine);
    let at = 48u + 8u * (p.base + choice);
    // Eight steps: the last running sum is in the first half again.
    let goal = part(vec2<u32>(words[at + 2u], words[at + 3u]), sums[255]);
    var before = sub64(sum, mine);
    if (!less64(goal, before) && less64(goal, sum)) {
        passed = vec3<u32>(lane, sub64(goal, before));
    }
    workgroupBarrier();
    let chunk = passed;
    workgroupBarrier();
    // A lane has tokens that follow each other.
    let each = p.chunk / 256u;
    let first = min(chunk.x * p.chunk + lane * each, p.vocab);
    let end = min(first + each, p.vocab);
    mine = vec2<u32>(0u);
    for (var i = first; i < end; i++) {
        mine = add64(mine, kept_weight(best.x, keys[choice * p.vocab + i]));
    }
    sum = running_sum(lane, mine);
    before = sub64(sum, mine);
    if (!less64(chunk.yz, before) && less64(chunk.yz, sum)) {
        var token = first;
        for (var i = first; i < end; i++) {
            before = add64(before, kept_weight(best.x, keys[choice * p.vocab + i]));
            if (!less64(chunk.yz, before)) {
                token = i + 1u;
            }
        }
        passed.x = token;
    }
    workgroupBarrier();
    if (lane == 0u) {
        tokens[p.base + choice] = select(passed.x, 0u, state != 0u);
        tokens[p.choices + p.base + choice] = state;
    }
}
#endif
