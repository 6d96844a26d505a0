// The parts of attention split over its keys, merged.
//
// `parts`: of each split and row the values `[H, Dv]`, sums weighted relative to the split's largest score; then of each
// split and row `[H]` pairs of that score and the sum of the weights. There is room for `splits`, at most 64, and
// a word of the step says how many there are. The rows are those of the entries of `words`, in their order. WITHIN: the
// result goes where the values of the first split are.
//
// Grid: heads; entries.
struct Params {
    rows: u32,
    heads: u32,
    value_dim: u32,
    splits: u32,
}

@group(0) @binding(0) var<storage, read> words: array<u32>;
#if WITHIN
@group(0) @binding(1) var<storage, read_write> parts: array<f32>;
#else
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> whole: array<f32>;
#endif
#params

const THREADS: u32 = 128u;

// Of each split.
var<workgroup> maxima: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;
var<workgroup> factors: array<f32, 64>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let count = words[2];
    let place = group.y * p.heads + group.x;
    let step = p.rows * p.heads;
    var most = -3.0e38;
    var sum = 0.0;
    if thread < count {
        let at = p.splits * step * p.value_dim + 2u * (thread * step + place);
        most = parts[at];
        sum = parts[at + 1u];
    }
    if thread < 64u {
        maxima[thread] = most;
    }
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            maxima[thread] = max(maxima[thread], maxima[thread + half]);
        }
    }
    workgroupBarrier();
    // Of a split without keys, values and sum are 0.
    let factor = exp(most - maxima[0]);
    if thread < 64u {
        factors[thread] = factor;
        sums[thread] = factor * sum;
    }
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
    let scale = select(1.0 / sums[0], 0.0, sums[0] == 0.0);

#if !WITHIN
    let row = words[4u + 8u * group.y];
#endif
    let far = step * p.value_dim;
    for (var d = thread; d < p.value_dim; d += THREADS) {
        var at = place * p.value_dim + d;
        var value = 0.0;
        // Several at a time: what takes the time is waiting for each.
        var s = 0u;
        for (; s + 8u <= count; s += 8u) {
#unroll n 0 8
            let v{n} = parts[at + {n}u * far];
#end
#unroll n 0 8
            value += factors[s + {n}u] * v{n};
#end
            at += 8u * far;
        }
        for (; s < count; s++) {
            value += factors[s] * parts[at];
            at += far;
        }
#if WITHIN
        // What is read here is no other thread's.
        parts[place * p.value_dim + d] = value * scale;
#else
        whole[(row * p.heads + group.x) * p.value_dim + d] = value * scale;
#endif
    }
}
