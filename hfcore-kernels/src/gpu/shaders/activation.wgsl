// The non-linearities, with the formulas and in the order of `activation.rs`: `activation` is number ACT of them,
// `activation_of` any.

#include "math.wgsl"

// max(v, 0) that passes NaN on.
fn relu(v: f32) -> f32 {
    return select(v, 0.0, v < 0.0);
}

fn gelu(v: f32) -> f32 {
    return 0.5 * v * (1.0 + erf_f32(v * 0.70710678118654752));
}

fn gelu_tanh(v: f32) -> f32 {
    // sqrt(2 / pi)
    return 0.5 * v * (1.0 + tanh_f32(0.79788456080286536 * (v + 0.044715 * (v * v * v))));
}

fn activation(v: f32) -> f32 {
#if ACT == 0
    return v * sigmoid_f32(v);
#elif ACT == 1
    return gelu(v);
#elif ACT == 2
    return gelu_tanh(v);
#elif ACT == 3
    return v * sigmoid_f32(1.702 * v);
#elif ACT == 4
    return relu(v);
#elif ACT == 5
    return relu(v) * relu(v);
#elif ACT == 6
    return tanh_f32(v);
#elif ACT == 7
    return sigmoid_f32(v);
#else
    return v;
#endif
}

// For kernels in which it is a small part, and that have many variants without it.
fn activation_of(act: u32, v: f32) -> f32 {
    switch act {
        case 0u { return v * sigmoid_f32(v); }
        case 1u { return gelu(v); }
        case 2u { return gelu_tanh(v); }
        case 3u { return v * sigmoid_f32(1.702 * v); }
        case 4u { return relu(v); }
        case 5u { return relu(v) * relu(v); }
        case 6u { return tanh_f32(v); }
        case 7u { return sigmoid_f32(v); }
        default { return v; }
    }
}

// The gated unit of gpt-oss: `(up' + 1) gate' sigmoid(alpha gate')`, gate bounded above and up on both sides.
fn clamped_swiglu(gate: f32, up: f32, limit: f32, alpha: f32) -> f32 {
    let g = select(gate, limit, gate > limit);
    var u = select(up, limit, up > limit);
    u = select(u, -limit, u < -limit);
    return (u + 1.0) * (g * sigmoid_f32(alpha * g));
}
