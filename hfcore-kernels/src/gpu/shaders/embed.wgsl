// Rows of a table by token ids, widened exactly: `[T, E]`.
//
// The table lies in parts of `part_rows` rows, of which PARTS, 1 or 4, are bound; a call writes the rows whose ids are
// in its parts. DTYPE: 0 f32, 1 f16, 2 bf16. Numbers of 16 bits lie in pairs, the first in the lower half;
// E may be odd, so that rows begin in the middle of a word.
//
// A workgroup of 256 threads has 1024 numbers, of which each thread takes every 256th.

struct Params {
    // T * E
    count: u32,
    // E
    width: u32,
    // The first row of the first part that is bound, rows of a part, and the first row behind all bound.
    first: u32,
    part_rows: u32,
    end: u32,
}
#params

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> table_0: array<u32>;
#if PARTS > 1
@group(0) @binding(3) var<storage, read> table_1: array<u32>;
@group(0) @binding(4) var<storage, read> table_2: array<u32>;
@group(0) @binding(5) var<storage, read> table_3: array<u32>;
#endif

fn word(part: u32, at: u32) -> u32 {
#unroll n 0 {PARTS}
    if part == {n}u {
        return table_{n}[at];
    }
#end
    return 0u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let block = (group.y * groups.x + group.x) * 1024u + thread;
#unroll n 0 4
    {
        let i = block + {n}u * 256u;
        if i < p.count {
            let id = ids[i / p.width];
            if id >= p.first && id < p.end {
                let row = id - p.first;
                let at = row % p.part_rows * p.width + i % p.width;
                out[i] = number(row / p.part_rows, at);
            }
        }
    }
#end
}

fn number(part: u32, at: u32) -> f32 {
#if DTYPE == 0
    return bitcast<f32>(word(part, at));
#endif
#if DTYPE == 1
    let pair = unpack2x16float(word(part, at / 2u));
    return select(pair.x, pair.y, at % 2u == 1u);
#endif
#if DTYPE == 2
    let pair = word(part, at / 2u);
    return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, at % 2u == 1u));
#endif
}
