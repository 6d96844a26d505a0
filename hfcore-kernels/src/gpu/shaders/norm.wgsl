// Rows that are normalised: a workgroup for each row `[D]`, which it goes through two or three times, the
// row being in the cache by then.
//
// KIND 0  x / sqrt(mean(x^2) + eps) * (gain + offset)             Zhang and Sennrich 2019
//      1  (x - mean(x)) / sqrt(variance(x) + eps) * gain + bias   Ba et al. 2016
//      2  x / max(|x|, eps)
//      3  e^(x - max) / sum, a row of -inf alone gets zeros
// GAIN, BIAS: whether there is one.

#include "math.wgsl"
#include "reduce.wgsl"

struct Params {
    rows: u32,
    // D
    width: u32,
    eps: f32,
    // KIND 0: 1 where gains are stored as their distance from one, else 0.
    offset: f32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
#if GAIN
@group(0) @binding(2) var<storage, read> gain: array<f32>;
#endif
#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#endif

// Below every number a softmax is asked for; WGSL has no literal for -inf.
const LOWEST = -3.4028234e38;

@compute @workgroup_size({WG})
fn main(t: Thread) {
    // Uniform: of the workgroup and the parameters alone.
    let row = group_number(t);
    if row >= p.rows {
        return;
    }
    let start = row * p.width;
    let end = start + p.width;
    let first = start + t.index;
    let n = f32(p.width);
#if KIND == 0
    var squares = 0.0;
    for (var i = first; i < end; i += {WG}u) {
        squares += x[i] * x[i];
    }
    let scale = 1.0 / sqrt(reduce_sum(t, squares) / n + p.eps);
    for (var i = first; i < end; i += {WG}u) {
#if GAIN
        out[i] = x[i] * scale * (gain[i - start] + p.offset);
#else
        out[i] = x[i] * scale;
#endif
    }
#endif
#if KIND == 1
    var total = 0.0;
    for (var i = first; i < end; i += {WG}u) {
        total += x[i];
    }
    let mean = reduce_sum(t, total) / n;
    var squares = 0.0;
    for (var i = first; i < end; i += {WG}u) {
        squares += (x[i] - mean) * (x[i] - mean);
    }
    let scale = 1.0 / sqrt(reduce_sum(t, squares) / n + p.eps);
    for (var i = first; i < end; i += {WG}u) {
#if BIAS
        out[i] = (x[i] - mean) * scale * gain[i - start] + bias[i - start];
#else
        out[i] = (x[i] - mean) * scale * gain[i - start];
#endif
    }
#endif
#if KIND == 2
    var squares = 0.0;
    for (var i = first; i < end; i += {WG}u) {
        squares += x[i] * x[i];
    }
    let length = sqrt(reduce_sum(t, squares));
    let divisor = select(length, p.eps, length < p.eps);
    for (var i = first; i < end; i += {WG}u) {
        out[i] = x[i] / divisor;
    }
#endif
#if KIND == 3
    var most = LOWEST;
    for (var i = first; i < end; i += {WG}u) {
        most = select(most, x[i], x[i] > most);
    }
    let largest = reduce_max(t, most);
    if largest <= LOWEST {
        // Nothing but -inf, or NaN, which must not become a number.
        for (var i = first; i < end; i += {WG}u) {
            out[i] = select(0.0, x[i], is_nan(x[i]));
        }
        return;
    }
    var parts = 0.0;
    for (var i = first; i < end; i += {WG}u) {
        parts += exp_f32(x[i] - largest);
    }
    let sum = reduce_sum(t, parts);
    for (var i = first; i < end; i += {WG}u) {
        out[i] = exp_f32(x[i] - largest) / sum;
    }
#endif
}
