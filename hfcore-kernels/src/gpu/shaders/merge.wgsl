// Attention over a context in several splits, merged as it is read: `x[m][h D + d]`.
//
// For each split, attention left the sum of `e^(score - most) v`, and `most` and the sum of `e^(score - most)`
// (in which a sink is part of one split's). Merged, they are sums weighted by `e^(most - the largest)`, over
// the sum of all: one factor for each split, which is found first, in workgroup memory.
//
// The kernel's Params have `rows`, `heads`, `head_quads` (D / 4) and `splits`, for how many there is room;
// rows * heads * splits is at most 2048. WG threads.

// [rows, heads, splits, D / 4]
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
// [rows, heads, splits]: most, sum
@group(0) @binding(#) var<storage, read> stats: array<vec2<f32>>;
// [rows]: splits in use
@group(0) @binding(#) var<storage, read> used: array<u32>;

var<workgroup> coefficients: array<f32, 2048>;

// Find the factors; to be called by all threads, in uniform flow, before `merged`.
fn merge_coefficients(thread: u32) {
    for (var i = thread; i < p.rows * p.heads; i += {WG}u) {
        let count = used[i / p.heads];
        let start = i * p.splits;
        var most = -3.4e38;
        for (var s = 0u; s < count; s++) {
            most = max(most, stats[start + s].x);
        }
        var total = 0.0;
        for (var s = 0u; s < count; s++) {
            let stat = stats[start + s];
            let factor = exp(stat.x - most);
            total += factor * stat.y;
            // Of a split that saw no key, whatever it left counts as nothing.
            coefficients[start + s] = select(0.0, factor, stat.y > 0.0);
        }
        // All that is masked gives zeros.
        let inverse = select(0.0, 1.0 / total, total > 0.0);
        for (var s = 0u; s < count; s++) {
            coefficients[start + s] *= inverse;
        }
    }
    workgroupBarrier();
}

// Numbers 4 quad to 4 quad + 3 of row m.
fn merged(m: u32, quad: u32) -> vec4<f32> {
    let head = quad / p.head_quads;
    let start = (m * p.heads + head) * p.splits;
    let within = quad - head * p.head_quads;
    var x = vec4<f32>();
    for (var s = 0u; s < used[m]; s++) {
        x += coefficients[start + s] * partials[(start + s) * p.head_quads + within];
    }
    return x;
}
