// The `count` best scores of a row, with their tokens: exactly so many, and of equal scores those of the lower tokens.
//
// A score has a rank of 32 bits, the smaller the better, and NaN, which torch takes for the largest, is 0. The rank
// of the last one that is taken is found digit by digit, by all workgroups together:
//
//     STAGE 0     no score has been counted
//     STAGE 1     of the ranks that begin as the last one taken does: how many have each value of the next digit;
//                 three times, for digits of 11, 11 and 10 bits
//     STAGE 2     how many ranks of each chunk are better than the last one's, and how many equal it
//     STAGE 3     all of the first and as many of the second as are wanted, each at its place
//
// Nothing depends on the order in which workgroups come by, nor how long it takes on the scores. Workgroup (c, i)
// looks at chunk c of the row of choice `base + i`; a lane looks at tokens that follow each other in the last two.
//
//     out[(base + i) * count ..]              tokens: the better ones, ascending, then the equal ones, ascending
//     out[(choices + base + i) * count ..]    their scores

struct Params {
    vocab: u32,
    chunk: u32,
    chunks: u32,
    banned: u32,
    seen: u32,
    set_words: u32,
    base: u32,
    count: u32,
    choices: u32,
    // Of STAGE 1: 0, 1, 2. Of STAGE 0: words to clear.
    digit: u32,
}

#params

// Of each choice three times 2048, for its digits.
@group(0) @binding(0) var<storage, read_write> bins: array<atomic<u32>>;
#if STAGE > 0
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> words: array<u32>;
#endif
#if STAGE > 1
// Of each chunk: ranks better than the last one taken, and equal to it.
@group(0) @binding(3) var<storage, read_write> partials: array<vec2<u32>>;
#endif
#if STAGE > 2
@group(0) @binding(4) var<storage, read_write> out: array<u32>;
#endif

#if STAGE == 0
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * 256u + lane;
    if (i < p.digit) {
        atomicStore(&bins[i], 0u);
    }
}
#else
#include "sample_weight.wgsl"
#include "sample_score.wgsl"
#include "sample_sums.wgsl"

const BINS = 2048u;

var<workgroup> passed: vec2<u32>;
#if STAGE == 1
var<workgroup> mine: array<atomic<u32>, 2048>;
#endif

fn rank_of(bits: u32) -> u32 {
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return 0u;
    }
    return ~key_of(bits);
}

// The running sum of `x` over the lanes, its own included. All lanes call it.
fn running_count(lane: u32, x: u32) -> u32 {
    workgroupBarrier();
    return running_sum(lane, vec2<u32>(x, 0u)).x;
}

// The first `digits` digits of the rank of the last one taken, and how many are taken of those that begin so.
fn last_taken(choice: u32, lane: u32, digits: u32) -> vec2<u32> {
    var rank = 0u;
    var left = p.count;
    for (var digit = 0u; digit < digits; digit++) {
        let first = (choice * 3u + digit) * BINS + lane * 8u;
        var here = 0u;
        for (var i = 0u; i < 8u; i++) {
            here += atomicLoad(&bins[first + i]);
        }
        let sum = running_count(lane, here);
        let before = sum - here;
        if (before < left && left <= sum) {
            var rest = left - before;
            var at = 0u;
            for (var i = 0u; i < 7u; i++) {
                let n = atomicLoad(&bins[first + i]);
                if (at == i && rest > n) {
                    rest -= n;
                    at++;
                }
            }
            passed = vec2<u32>(lane * 8u + at, rest);
        }
        workgroupBarrier();
        let found = passed;
        rank = (rank << select(11u, 10u, digit == 2u)) | found.x;
        left = found.y;
        workgroupBarrier();
    }
    return vec2<u32>(rank, left);
}
#endif

#if STAGE == 1
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = p.base + group.y;
    for (var i = lane; i < BINS; i += 256u) {
        atomicStore(&mine[i], 0u);
    }
    let last = last_taken(group.y, lane, p.digit);
    workgroupBarrier();
    let first = group.x * p.chunk;
    let end = min(first + p.chunk, p.vocab);
    for (var i = first + lane; i < end; i += 256u) {
        let rank = rank_of(score(choice, i));
        if (p.digit == 0u) {
            atomicAdd(&mine[rank >> 21u], 1u);
        } else if (p.digit == 1u) {
            if ((rank >> 21u) == last.x) {
                atomicAdd(&mine[(rank >> 10u) & 0x7ffu], 1u);
            }
        } else if ((rank >> 10u) == last.x) {
            atomicAdd(&mine[rank & 0x3ffu], 1u);
        }
    }
    workgroupBarrier();
    for (var i = lane; i < BINS; i += 256u) {
        let n = atomicLoad(&mine[i]);
        if (n > 0u) {
            atomicAdd(&bins[(group.y * 3u + p.digit) * BINS + i], n);
        }
    }
}
#endif

#if STAGE > 1
// How many of this lane's ranks are better than the last one taken, and in the upper half how many equal it. A chunk
// has fewer than 2^16.
fn count(choice: u32, first: u32, end: u32, last: u32) -> u32 {
    var n = 0u;
    for (var i = first; i < end; i++) {
        let rank = rank_of(score(choice, i));
        n += select(0u, 1u, rank < last) + select(0u, 0x10000u, rank == last);
    }
    return n;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let choice = p.base + group.y;
    let last = last_taken(group.y, lane, 3u);
    let each = p.chunk / 256u;
    let first = min(group.x * p.chunk + lane * each, p.vocab);
    let end = min(first + each, p.vocab);
    let n = count(choice, first, end, last.x);
    let sum = running_count(lane, n);
#if STAGE == 2
    if (lane == 255u) {
        partials[group.y * p.chunks + group.x] = vec2<u32>(sum & 0xffffu, sum >> 16u);
    }
#else
    // Of the chunks before this one.
    var chunk = vec2<u32>(0u);
    if (lane < p.chunks) {
        chunk = partials[group.y * p.chunks + lane];
    }
    let better = running_count(lane, chunk.x) - chunk.x;
    let equal = running_count(lane, chunk.y) - chunk.y;
    if (lane == group.x) {
        passed = vec2<u32>(better, equal);
    }
    workgroupBarrier();
    let before = sum - n;
    var at = passed.x + (before & 0xffffu);
    var at_equal = p.count - last.y + passed.y + (before >> 16u);
    for (var i = first; i < end; i++) {
        let bits = score(choice, i);
        let rank = rank_of(bits);
        var place = p.count;
        if (rank < last.x) {
            place = at;
            at++;
        } else if (rank == last.x) {
            place = at_equal;
            at_equal++;
        }
        if (place < p.count) {
            out[choice * p.count + place] = i;
            out[(p.choices + choice) * p.count + place] = bits;
        }
    }
#endif
}
#endif
