// Elementary functions as accurate as the CPU's.
//
// Vulkan lets the builtin `exp` err by 3 + 2 |x| units in the last place, and leaves `tanh` to whatever
// `sinh` and `cosh` give: overflow far from zero, cancellation near it. WGSL has no `erf`. These are the
// polynomials of `math.rs`, which says where they come from and how large their errors are.
//
// NaN gives NaN wherever the driver keeps it: all bounds are selections, not `min` and `max`.

// e^x; 0 below -104, infinite above 88.73. 2^n e^r with n = round(x / ln 2).
fn exp_f32(v: f32) -> f32 {
    var x = select(v, -105.0, v < -105.0);
    x = select(x, 89.0, x > 89.0);
    let n = round(x * 1.44269504088896);
    // ln 2 in two parts, the first so short that n times it is exact.
    let r = fma(-n, 1.4286068e-6, fma(-n, 0.69314575, x));
    var p = 1.98756915e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    p = p * (r * r) + r + 1.0;
    // 2^n in two factors, each a normal number, for n from -152 to 128.
    let whole = i32(n);
    let half = whole >> 1u;
    return p * power_of_two(half) * power_of_two(whole - half);
}

// 2^n for n from -126 to 127.
fn power_of_two(n: i32) -> f32 {
    return bitcast<f32>(u32(n + 127) << 23u);
}

// `size` with the sign of `sign`.
fn copy_sign(size: f32, sign: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(size) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}

// Whether x is not a number, from its bits: compilers may take it that no number is NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// 1 / (1 + e^-x)
fn sigmoid_f32(x: f32) -> f32 {
    let e = exp_f32(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

// Near zero a polynomial, where 1 - 2 / (e^2x + 1) would cancel.
fn tanh_f32(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    var p = -5.70498872745e-3;
    p = p * z + 2.06390887954e-2;
    p = p * z - 5.37397155531e-2;
    p = p * z + 1.33314422036e-1;
    p = p * z - 3.33332819422e-1;
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp_f32(2.0 * a) + 1.0);
    return copy_sign(select(far, near, a < 0.625), x);
}

// x + x P(x^2) near zero, 1 - e^-Q(|x|) elsewhere.
fn erf_f32(x: f32) -> f32 {
    let a = abs(x);
    var s = x * x;
    var p = -5.96761603e-4;
    p = p * s + 4.99119423e-3;
    p = p * s - 2.67681349e-2;
    p = p * s + 1.12819925e-1;
    p = p * s - 3.76125336e-1;
    p = p * s + 1.28379166e-1;
    let near = p * x + x;

    // Beyond 4 the result is 1, and the polynomial is not made for it.
    let t = select(a, 4.0, a > 4.0);
    s = t * t;
    var q = -1.72853470e-5 * t + 3.83197126e-4;
    let u = -3.88396438e-3 * t + 2.42546219e-2;
    q = q * s + u;
    q = q * t - 1.06777877e-1;
    q = q * t - 6.34846687e-1;
    q = q * t - 1.28717512e-1;
    q = q * t - t;
    let far = copy_sign(1.0 - exp_f32(q), x);
    return select(far, near, a < 0.927734375);
}
