// What the k experts of a token gave, `[T, k, E]`, as one row: `[T, E]`, behind the rows of earlier calls. With
// RESIDUAL, that is added.
//
// A workgroup of 256 threads has 1024 numbers, of which each thread takes every 256th.

struct Params {
    // Numbers of this call, and the first.
    count: u32,
    first: u32,
    k: u32,
    // E
    width: u32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
#if RESIDUAL
@group(0) @binding(2) var<storage, read> residual: array<f32>;
#endif

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
            let start = i / p.width * p.k * p.width + i % p.width;
            var sum = 0.0;
            for (var j = 0u; j < p.k; j++) {
                sum += x[start + j * p.width];
            }
#if RESIDUAL
            sum += residual[p.first + i];
#endif
            out[p.first + i] = sum;
        }
    }
#end
}
