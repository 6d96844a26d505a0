// out = combine(unary(a), b), number by number.
//
// OPERANDS says where `a` and `b` of number i lie:
//   0  a = x[i]                                          no b
//   1  a = x[i],            b = y[i]                     two tensors of one shape
//   2  a = x[i],            b = y[i % period]            a row, or a tile of rows, again and again
//   3  a = x[r, c],         b = x[r, width + c]          halves of rows of 2 width numbers
//   4  a = x[2 i],          b = x[2 i + 1]               by turns
// UNARY: 0 the activation ACT, 1 a * factor, 2 factor * tanh(a / factor).
// COMBINE: 0 unary(a), 1 unary(a) + b, 2 unary(a) * b, 3 the clamped SwiGLU of a and b.
//
// A workgroup of 256 threads has 1024 numbers, of which each thread takes every 256th.

#include "activation.wgsl"

struct Params {
    // Numbers of the output.
    count: u32,
    // OPERANDS 2: the period; 3: numbers of a half.
    period: u32,
    // Of UNARY 1 and 2; COMBINE 3: the limit.
    factor: f32,
    // COMBINE 3: the slope of the sigmoid.
    alpha: f32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
#if OPERANDS == 1
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
#elif OPERANDS == 2
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
#endif

fn unary(a: f32) -> f32 {
#if UNARY == 0
    return activation(a);
#endif
#if UNARY == 1
    return a * p.factor;
#endif
#if UNARY == 2
    return p.factor * tanh_f32(a / p.factor);
#endif
}

fn combine(a: f32, b: f32) -> f32 {
#if COMBINE == 0
    return unary(a);
#endif
#if COMBINE == 1
    return unary(a) + b;
#endif
#if COMBINE == 2
    return unary(a) * b;
#endif
#if COMBINE == 3
    return clamped_swiglu(a, b, p.factor, p.alpha);
#endif
}

fn number(i: u32) -> f32 {
#if OPERANDS == 0
    return combine(x[i], 0.0);
#endif
#if OPERANDS == 1
    return combine(x[i], y[i]);
#endif
#if OPERANDS == 2
    return combine(x[i], y[i % p.period]);
#endif
#if OPERANDS == 3
    let at = i + i / p.period * p.period;
    return combine(x[at], x[at + p.period]);
#endif
#if OPERANDS == 4
    return combine(x[2u * i], x[2u * i + 1u]);
#endif
}

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first = (group.y * groups.x + group.x) * 1024u + thread;
#unroll n 0 4
    {
        let i = first + {n}u * 256u;
        if i < p.count {
            out[i] = number(i);
        }
    }
#end
}
