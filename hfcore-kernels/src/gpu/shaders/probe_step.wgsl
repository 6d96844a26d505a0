// As little as a kernel can do that the next may wait for.

@group(0) @binding(0) var<storage, read_write> count: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    count[thread] += 1u;
}
