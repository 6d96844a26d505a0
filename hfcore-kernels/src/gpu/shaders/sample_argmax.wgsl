// The last stage of a greedy choice: the largest of the chunks' largest, the first among equals.
//
// Workgroup i writes token `base + i` to `tokens[base + i]`, and to `tokens[choices + base + i]` whether there
// is one.

struct Params {
    chunks: u32,
    choices: u32,
    base: u32,
}

#params

@group(0) @binding(0) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> tokens: array<u32>;

const KEY_NEG_INF = 0x007fffffu;

#include "sample_merge.wgsl"

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let best = merge(group.x, lane);
    if (lane == 0u) {
        let found = status(best);
        tokens[p.base + group.x] = select(best.y, 0u, found != 0u);
        tokens[p.choices + p.base + group.x] = found;
    }
}
