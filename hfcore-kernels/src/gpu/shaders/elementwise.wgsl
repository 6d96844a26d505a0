// y[i] = f(a[i], b[i % period])
struct Params {
    len: u32,
    period: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
#if TWO
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#endif
#params

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + lane;
    if i >= p.len {
        return;
    }
#if FUNCTION == 0
    y[i] = a[i] + b[i % p.period];
#elif FUNCTION == 1
    y[i] = a[i] * b[i % p.period];
#elif FUNCTION == 2
    y[i] = a[i] * p.factor;
#else
    y[i] = p.factor * tanh(clamp(a[i] / p.factor, -20.0, 20.0));
#endif
}
