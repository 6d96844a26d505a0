// The last stage of a draw where top-k or top-p cuts: both, min-p and the choice, by one workgroup for each choice.
//
// All four are one search: the entry at which a running sum, taken upwards in the order of (key, index),
// passes a target.
//
//     top-k   weights of 1, by key             passes n - k: the k-th largest key
//     top-p   weights, by key, then by index   passes (1 - p) * total: the first entry that stays
//     draw    weights, by index                passes fraction * total: the token
//
// The search goes digit by digit of 8 bits, from the top: a histogram of the weights over the digit's 256
// values, its running sum, and on with the entries of the value at which the sum passes. Sums are of whole
// numbers, so they do not depend on the order of the list. A bin is four parts of 12 bits of the weight,
// which 2^20 entries do not overflow.
//
// Where 256 entries or fewer are left, as with top-k, each lane has one and looks at all: what is above it,
// what is below it, what is before it.
//
// Workgroup i writes token `base + i` to `tokens[base + i]`, and to `tokens[choices + base + i]` whether there
// is one.

struct Params {
    vocab: u32,
    chunks: u32,
    choices: u32,
    base: u32,
}

#params

@group(0) @binding(0) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read> list: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> words: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;

#include "sample_weight.wgsl"
#include "sample_merge.wgsl"
#include "sample_sums.wgsl"

var<workgroup> bins: array<atomic<u32>, 1024>;
// The digit's value, and what is left of the target there.
var<workgroup> passed: vec3<u32>;

// What is left to choose from: from `key` on, at `key` from `index` on, of at least `weight`.
struct Kept {
    least_key: u32,
    key: u32,
    index: u32,
    weight: vec2<u32>,
}

fn is_kept(e: vec4<u32>, kept: Kept) -> bool {
    return e.x >= kept.least_key && (e.x > kept.key || (e.x == kept.key && e.y >= kept.index))
        && !less64(e.zw, kept.weight);
}

// Of the entries `first..first + n` of the list that are kept: key and index of the one at which the
// running sum passes the target. Digits 0..4 are those of the key, 4..7 those of the index. The target
// is `goal`, or that part of the sum of all, in units of 2^-64.
fn find(
    lane: u32, first: u32, n: u32, kept: Kept, from_digit: u32, to_digit: u32, unit: bool, goal: vec2<u32>, is_part: bool,
) -> vec2<u32> {
    var place = vec2<u32>(0u);
    var rest = goal;
    for (var digit = from_digit; digit < to_digit; digit++) {
        for (var i = lane; i < 1024u; i += 256u) {
            atomicStore(&bins[i], 0u);
        }
        workgroupBarrier();
        for (var i = lane; i < n; i += 256u) {
            let e = list[first + i];
            var here = is_kept(e, kept);
            var bin = 0u;
            if (digit < 4u) {
                // The digits above are those found; there are none above the first.
                here = here && (digit == 0u || (e.x >> (32u - 8u * max(digit, 1u))) == place.x);
                bin = (e.x >> (24u - 8u * digit)) & 0xffu;
            } else {
                here = here && (from_digit == 4u || e.x == place.x)
                    && (e.y >> (24u - 8u * (digit - 4u))) == place.y;
                bin = (e.y >> (16u - 8u * (digit - 4u))) & 0xffu;
            }
            if (here) {
                if (unit) {
                    atomicAdd(&bins[bin], 1u);
                } else {
                    atomicAdd(&bins[bin], e.z & 0xfffu);
                    atomicAdd(&bins[256u + bin], (e.z >> 12u) & 0xfffu);
                    atomicAdd(&bins[512u + bin], ((e.z >> 24u) | (e.w << 8u)) & 0xfffu);
                    atomicAdd(&bins[768u + bin], e.w >> 4u);
                }
            }
        }
        workgroupBarrier();
        var mine = vec2<u32>(atomicLoad(&bins[lane]), 0u);
        mine = add64(mine, shl64(atomicLoad(&bins[256u + lane]), 12u));
        mine = add64(mine, shl64(atomicLoad(&bins[512u + lane]), 24u));
        mine = add64(mine, shl64(atomicLoad(&bins[768u + lane]), 36u));
        let sum = running_sum(lane, mine);
        if (is_part && digit == from_digit) {
            // Eight steps: the last running sum is in the first half again.
            rest = part(goal, sums[255]);
        }
        let before = sub64(sum, mine);
        if (!less64(rest, before) && less64(rest, sum)) {
            passed = vec3<u32>(lane, sub64(rest, before));
        }
        workgroupBarrier();
        let at = passed;
        rest = at.yz;
        if (digit < 4u) {
            place.x = (place.x << 8u) | at.x;
        } else {
            place.y = (place.y << 8u) | at.x;
        }
        workgroupBarrier();
    }
    return place;
}

// All of it for `n` entries, at most one for each lane.
fn choose_of_few(lane: u32, first: u32, n: u32, fraction: vec2<u32>) -> u32 {
    // What was merged is known to all lanes.
    workgroupBarrier();
    var mine = vec4<u32>(0u);
    if (lane < n) {
        mine = list[first + lane];
    }
    merged[lane] = mine;
    workgroupBarrier();
    let k = words[0];
    if (k > 0u && k < n) {
        var above = 0u;
        for (var i = 0u; i < n; i++) {
            above += select(0u, 1u, merged[i].x > mine.x);
        }
        if (above >= k) {
            mine = vec4<u32>(mine.xy, 0u, 0u);
        }
        workgroupBarrier();
        merged[lane] = mine;
        workgroupBarrier();
    }
    let removable = vec2<u32>(words[5], words[6]);
    if (removable.x != 0u || removable.y != 0u) {
        var total = vec2<u32>(0u);
        var below = vec2<u32>(0u);
        for (var i = 0u; i < n; i++) {
            let e = merged[i];
            total = add64(total, e.zw);
            if (e.x < mine.x || (e.x == mine.x && e.y <= mine.y)) {
                below = add64(below, e.zw);
            }
        }
        if (!less64(part(removable, total), below)) {
            mine = vec4<u32>(mine.xy, 0u, 0u);
        }
        workgroupBarrier();
    }
    if (less64(mine.zw, vec2<u32>(words[7], words[8]))) {
        mine = vec4<u32>(mine.xy, 0u, 0u);
    }
    workgroupBarrier();
    merged[lane] = mine;
    workgroupBarrier();
    var total = vec2<u32>(0u);
    var before = vec2<u32>(0u);
    for (var i = 0u; i < n; i++) {
        let e = merged[i];
        total = add64(total, e.zw);
        if (e.y < mine.y) {
            before = add64(before, e.zw);
        }
    }
    let goal = part(fraction, total);
    if (!less64(goal, before) && less64(goal, add64(before, mine.zw))) {
        passed = vec3<u32>(mine.y, 0u, 0u);
    }
    workgroupBarrier();
    return passed.x;
}

fn choose_of_many(lane: u32, first: u32, n: u32, fraction: vec2<u32>) -> u32 {
    var kept = Kept(0u, 0u, 0u, vec2<u32>(0u));
    let k = words[0];
    if (k > 0u && k < n) {
        kept.least_key = find(lane, first, n, kept, 0u, 4u, true, vec2<u32>(n - k, 0u), false).x;
    }
    let removable = vec2<u32>(words[5], words[6]);
    if (removable.x != 0u || removable.y != 0u) {
        let place = find(lane, first, n, kept, 0u, 7u, false, removable, true);
        kept.key = place.x;
        kept.index = place.y;
    }
    kept.weight = vec2<u32>(words[7], words[8]);
    return find(lane, first, n, kept, 4u, 7u, false, fraction, true).y;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = group.x;
    if (lane == 0u) {
        passed = vec3<u32>(0u);
    }
    let state = status(merge(choice, lane));
    let n = counts[choice];
    let first = choice * p.vocab;
    let at = 48u + 8u * (p.base + choice);
    let fraction = vec2<u32>(words[at + 2u], words[at + 3u]);
    var token = 0u;
    if (n <= 256u) {
        token = choose_of_few(lane, first, n, fraction);
    } else {
        token = choose_of_many(lane, first, n, fraction);
    }
    if (lane == 0u) {
        tokens[p.base + choice] = select(token, 0u, state != 0u);
        tokens[p.choices + p.base + choice] = state;
    }
}
