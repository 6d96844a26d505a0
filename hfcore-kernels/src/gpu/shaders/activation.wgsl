// The non-linearities: `activation(v)` is number ACT of `activation.rs`' list, whose formulas these are.

#include "math.wgsl"

// max(v, 0) that passes NaN on.
fn relu(v: f32) -> f32 {
    return select(v, 0.0, v < 0.0);
}

fn activation(v: f32) -> f32 {
#if ACT == 0
    return v * sigmoid_f32(v);
#endif
#if ACT == 1
    return 0.5 * v * (1.0 + erf_f32(v * 0.70710678118654752));
#endif
#if ACT == 2
    // sqrt(2 / pi)
    let inner = 0.79788456080286536 * (v + 0.044715 * (v * v * v));
    return 0.5 * v * (1.0 + tanh_f32(inner));
#endif
#if ACT == 3
    return v * sigmoid_f32(1.702 * v);
#endif
#if ACT == 4
    return relu(v);
#endif
#if ACT == 5
    return relu(v) * relu(v);
#endif
#if ACT == 6
    return tanh_f32(v);
#endif
#if ACT == 7
    return sigmoid_f32(v);
#endif
#if ACT == 8
    return v;
#endif
}

// The gated unit of gpt-oss: `(up' + 1) gate' sigmoid(alpha gate')`, gate bounded above and up on both sides.
fn clamped_swiglu(gate: f32, up: f32, limit: f32, alpha: f32) -> f32 {
    let g = select(gate, limit, gate > limit);
    var u = select(up, limit, up > limit);
    u = select(u, -limit, u < -limit);
    return (u + 1.0) * (g * sigmoid_f32(alpha * g));
}
