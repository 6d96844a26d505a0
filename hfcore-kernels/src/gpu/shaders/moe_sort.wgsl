// The slots of tokens `[T, k]` by their experts, for kernels that do many tokens of an expert at once.
//
// out is a table of `tiles` tiles, three words each: an expert, the first of its slots, and how many, at most 32;
// 0 where there is no tile. Behind it are the slots themselves, those of an expert by rising number.
//
// One workgroup. An expert's thread counts, then lists: every thread reads the same words at the same time.

struct Params {
    // Of this call: T * k, and the first.
    slots: u32,
    base: u32,
    // N
    experts: u32,
    tiles: u32,
}
#params

@group(0) @binding(0) var<storage, read> routing: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

// Slots of each expert, then where they begin.
var<workgroup> starts: array<u32, 2048>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32) {
    for (var expert = thread; expert < p.experts; expert += 256u) {
        var n = 0u;
        for (var slot = 0u; slot < p.slots; slot++) {
            n += select(0u, 1u, routing[p.base + slot] == expert);
        }
        starts[expert] = n;
    }
    workgroupBarrier();
    if thread == 0u {
        var start = 0u;
        var tile = 0u;
        for (var expert = 0u; expert < p.experts; expert++) {
            let n = starts[expert];
            starts[expert] = start;
            for (var done = 0u; done < n; done += 32u) {
                out[3u * tile] = expert;
                out[3u * tile + 1u] = start + done;
                out[3u * tile + 2u] = min(n - done, 32u);
                tile++;
            }
            start += n;
        }
        for (; tile < p.tiles; tile++) {
            out[3u * tile + 2u] = 0u;
        }
    }
    workgroupBarrier();
    for (var expert = thread; expert < p.experts; expert += 256u) {
        var at = 3u * p.tiles + starts[expert];
        for (var slot = 0u; slot < p.slots; slot++) {
            if routing[p.base + slot] == expert {
                out[at] = slot;
                at++;
            }
        }
    }
}
