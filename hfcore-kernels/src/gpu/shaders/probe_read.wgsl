// Reads all of `data`, and does nothing else: LOADS vectors of each thread are in flight at once.

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;

@compute @workgroup_size({WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = {WG}u * {LOADS}u;
    let tiles = arrayLength(&data) / tile;
    var sum = vec4<u32>(0u);
    for (var t = group.x; t < tiles; t += groups.x) {
        let first = t * tile + thread;
#unroll i 0 {LOADS}
        let v{i} = data[first + {i}u * {WG}u];
#end
#unroll i 0 {LOADS}
        sum ^= v{i};
#end
    }
    let word = sum.x ^ sum.y ^ sum.z ^ sum.w;
    // Hardly ever true, which a compiler does not know: the reads are needed.
    if (word == 0x9e3779b9u) {
        found[0] = word;
    }
}
