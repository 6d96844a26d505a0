// The second stage of a draw: the scores that can survive, with their weights, in a list.
//
// With top-k, the k-th largest of the chunks' largest scores is a lower bound of the k-th largest score:
// where there are k chunks, what is below it is left out here, and the list is short. It has no order:
// workgroups append to it as they come, and nothing that is done with it depends on the order.
//
//     list[i, ..counts[i]] = key, index, weight (64 bits)

struct Params {
    vocab: u32,
    chunk: u32,
    chunks: u32,
}

#params

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> list: array<vec4<u32>>;

#include "sample_weight.wgsl"
#include "sample_merge.wgsl"

var<workgroup> maxima: array<u32, 256>;
var<workgroup> lowest: u32;
var<workgroup> found: atomic<u32>;
var<workgroup> start: u32;

fn survives(max_key: u32, key: u32, floor: u32) -> bool {
    return key >= floor && distance(max_key, key).y != 0u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = group.y;
    if (lane == 0u) {
        lowest = 0u;
        atomicStore(&found, 0u);
    }
    maxima[lane] = 0u;
    if (lane < p.chunks) {
        maxima[lane] = partials[choice * p.chunks + lane].x;
    }
    let best = merge(choice, lane);
    let k = words[0];
    if (k > 0u && k <= p.chunks && lane < p.chunks) {
        let mine = maxima[lane];
        var rank = 0u;
        for (var i = 0u; i < p.chunks; i++) {
            let other = maxima[i];
            rank += select(0u, 1u, other > mine || (other == mine && i < lane));
        }
        if (rank == k - 1u) {
            lowest = mine;
        }
    }
    workgroupBarrier();
    let floor = max(lowest, KEY_NEG_INF + 1u);
    let first = group.x * p.chunk;
    var end = min(first + p.chunk, p.vocab);
    if (status(best) != 0u) {
        end = first;
    }
    var mine = 0u;
    for (var i = first + lane; i < end; i += 256u) {
        if (survives(best.x, keys[choice * p.vocab + i], floor)) {
            mine++;
        }
    }
    var at = 0u;
    if (mine > 0u) {
        at = atomicAdd(&found, mine);
    }
    workgroupBarrier();
    if (lane == 0u) {
        start = atomicAdd(&counts[choice], atomicLoad(&found));
    }
    workgroupBarrier();
    at += choice * p.vocab + start;
    if (mine > 0u) {
        for (var i = first + lane; i < end; i += 256u) {
            let key = keys[choice * p.vocab + i];
            if (survives(best.x, key, floor)) {
                list[at] = vec4<u32>(key, i, weight(best.x, key));
                at++;
            }
        }
    }
}
