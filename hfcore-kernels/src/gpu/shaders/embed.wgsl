// Rows of a table by token ids, widened exactly: `[T, E]`.
//
// The table lies in parts of `part_rows` rows, of which PARTS, 1 or 4, are bound; a call writes the rows whose
// ids are in its parts. Rows are padded to whole vectors, `row_words` words. DTYPE: 0 f32, 1 f16, 2 bf16, of
// which two lie in a word, the first in the lower half.
//
// A workgroup of 256 threads has 1024 numbers, of which each thread takes every 256th.

struct Params {
    // T * E
    count: u32,
    // E
    width: u32,
    row_words: u32,
    // The first row that is bound, rows of a part, and the first row behind all that is bound.
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
#unroll n 1 {PARTS}
    if part == {n}u {
        return table_{n}[at];
    }
#end
    return table_0[at];
}

fn number(row: u32, column: u32) -> f32 {
    let part = row / p.part_rows;
    let start = row % p.part_rows * p.row_words;
#if DTYPE == 0
    return bitcast<f32>(word(part, start + column));
#elif DTYPE == 1
    let pair = unpack2x16float(word(part, start + column / 2u));
    return select(pair.x, pair.y, column % 2u == 1u);
#else
    let pair = word(part, start + column / 2u);
    return bitcast<f32>(select(pair << 16u, pair & 0xffff0000u, column % 2u == 1u));
#endif
}

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first = (group.y * groups.x + group.x) * 1024u + thread;
#unroll n 0 4
    {
        let i = first + {n}u * 256u;
        if i < p.count {
            let id = ids[i / p.width];
            if id >= p.first && id < p.end {
                out[i] = number(id - p.first, i % p.width);
            }
        }
    }
#end
}
