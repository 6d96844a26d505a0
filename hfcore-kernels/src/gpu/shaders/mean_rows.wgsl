// The mean of the rows of each span, `[S, W]`. The spans are words of the step: first row and end of each.
//
// A workgroup has 32 columns of one span; eight rows at a time, of which the sums are added in order.

struct Params {
    // W
    width: u32,
    spans: u32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> spans: array<u32>;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let number = group.y * groups.x + group.x;
    let across = (p.width + 31u) / 32u;
    let span = number / across;
    // Uniform: of the workgroup and the parameters alone.
    if span >= p.spans {
        return;
    }
    let column = number % across * 32u + thread % 32u;
    let slice = thread / 32u;
    let start = spans[2u * span];
    let end = spans[2u * span + 1u];
    var sum = 0.0;
    if column < p.width {
        for (var row = start + slice; row < end; row += 8u) {
            sum += x[row * p.width + column];
        }
    }
    parts[thread] = sum;
    workgroupBarrier();
    if slice == 0u && column < p.width {
        for (var i = 1u; i < 8u; i++) {
            sum += parts[i * 32u + thread];
        }
        out[span * p.width + column] = sum * (1.0 / f32(end - start));
    }
}
