// A workgroup normalises one row: RMS (KIND 0), RMS with gains stored less one (1), mean and variance (2).
struct Params {
    rows: u32,
    width: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
#if GAIN
@group(0) @binding(1) var<storage, read> gain: array<f32>;
#endif
#if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#elif GAIN
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
#endif
#params

var<workgroup> partial: array<f32, 128>;

// The sum over the workgroup of each lane's `value`, in one fixed order.
fn sum(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = 64u; half > 0u; half /= 2u) {
        if lane < half {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let total = partial[0];
    workgroupBarrier();
    return total;
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= p.rows {
        return;
    }
    let start = row * p.width;
    var mean = 0.0;
#if KIND == 2
    var total = 0.0;
    for (var i = lane; i < p.width; i += 128u) {
        total += x[start + i];
    }
    mean = sum(lane, total) / f32(p.width);
#endif
    var squares = 0.0;
    for (var i = lane; i < p.width; i += 128u) {
        let d = x[start + i] - mean;
        squares += d * d;
    }
    let scale = 1.0 / sqrt(sum(lane, squares) / f32(p.width) + p.eps);
    for (var i = lane; i < p.width; i += 128u) {
        var v = (x[start + i] - mean) * scale;
#if GAIN
#if KIND == 1
        v *= 1.0 + gain[i];
#else
        v *= gain[i];
#endif
#endif
#if BIAS
        v += bias[i];
#endif
        y[start + i] = v;
    }
}
