// Chosen tokens, some of them or in another order: `out[i] = tokens[rows[i]]`.

struct Params {
    count: u32,
}

#params

@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < p.count) {
        out[id.x] = tokens[rows[id.x]];
    }
}
