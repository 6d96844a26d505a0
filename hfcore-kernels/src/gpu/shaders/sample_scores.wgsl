// The first stage of a choice: scores as they compete, and the largest of each chunk.
//
// Workgroup (c, i) looks at chunk c of the row of choice i: penalties, bans, temperature; it writes the
// scores as keys (`sample_weight.wgsl`) if something is drawn from them, and
//
//     partials[i, c] = key of the largest, its first index, flags (1: NaN, 2: +inf)
//
// `words` has what changes from step to step:
//
//     [0] top-k  [1] temperature (mantissa, exponent)  [3] penalty (mantissa, exponent)
//     [5] 1 - top-p (64 bits)  [7] least weight (64 bits)
//     [16] a table for weights (32)
//     [48 + 8 i] row, forced, fraction (64 bits), rows of the recent tokens (3)
//     then, where there are such, the banned tokens of each choice and the seen tokens of each choice, a
//     bit each

struct Params {
    vocab: u32,
    chunk: u32,
    chunks: u32,
    banned: u32,
    seen: u32,
    set_words: u32,
    base: u32,
}

#params

@group(0) @binding(0) var<storage, read> logits: array<u32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<u32>>;
#if DRAW
@group(0) @binding(3) var<storage, read_write> keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
#endif
#if RECENT >= 1
@group(0) @binding({BASE}) var<storage, read> recent_0: array<u32>;
#endif
#if RECENT >= 2
@group(0) @binding({BASE_1}) var<storage, read> recent_1: array<u32>;
#endif
#if RECENT >= 3
@group(0) @binding({BASE_2}) var<storage, read> recent_2: array<u32>;
#endif

#include "sample_weight.wgsl"
#include "sample_score.wgsl"

var<workgroup> best: array<vec4<u32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    // Of all choices, and of those of this call.
    let choice = p.base + group.y;
    let end = min((group.x + 1u) * p.chunk, p.vocab);
    var mine = vec4<u32>(0u, 0xffffffffu, 0u, 0u);
    for (var i = group.x * p.chunk + lane; i < end; i += 256u) {
        let bits = score(choice, i);
        let key = key_of(bits);
        if ((bits & 0x7fffffffu) > 0x7f800000u) {
            mine.z |= 1u;
        } else if (bits == 0x7f800000u) {
            mine.z |= 2u;
        }
        if (key > mine.x) {
            mine.x = key;
            mine.y = i;
        }
#if DRAW
        keys[group.y * p.vocab + i] = key;
#endif
    }
    best[lane] = mine;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half >> 1u) {
        if (lane < half) {
            let a = best[lane];
            let b = best[lane + half];
            let other = b.x > a.x || (b.x == a.x && b.y < a.y);
            best[lane] = vec4<u32>(select(a.xy, b.xy, other), a.z | b.z, 0u);
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        partials[group.y * p.chunks + group.x] = best[0];
#if DRAW
        if (group.x == 0u) {
            counts[group.y] = 0u;
        }
#endif
    }
}
