// Products and quotients of floating-point numbers by whole numbers: rounded to nearest, ties to even,
// as a CPU does. WGSL promises no more than about the right quotient.
//
// The second operand comes unpacked: a mantissa in 2^23..2^24 and `e`, for `mantissa * 2^(e - 150)`.

// The number of sign and exponent, and 25 bits `q` in 2^24..2^25 for `q / 2^24 * 2^(exponent - 127)`;
// `sticky` says that there were bits behind them.
fn rounded(sign: u32, exponent: i32, bits: u32, behind: bool) -> u32 {
    if (exponent >= 255) {
        return sign | 0x7f800000u;
    }
    var q = bits;
    var sticky = behind;
    var base = 0u;
    if (exponent <= 0) {
        let by = u32(1 - exponent);
        if (by > 25u) {
            return sign;
        }
        sticky = sticky || (q & ((1u << by) - 1u)) != 0u;
        q = q >> by;
    } else {
        base = u32(exponent - 1) << 23u;
    }
    let up = (q & 1u) != 0u && (sticky || (q & 2u) != 0u);
    return sign | (base + (q >> 1u) + select(0u, 1u, up));
}

// The exponent `e` of a number that is not 0, as above.
fn exponent_of(magnitude: u32) -> i32 {
    if (magnitude >= 0x800000u) {
        return i32(magnitude >> 23u);
    }
    return 9 - i32(countLeadingZeros(magnitude));
}

fn mantissa_of(magnitude: u32) -> u32 {
    if (magnitude >= 0x800000u) {
        return (magnitude & 0x7fffffu) | 0x800000u;
    }
    return magnitude << (countLeadingZeros(magnitude) - 8u);
}

fn quotient(bits: u32, mantissa: u32, exponent: i32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    if (magnitude == 0u || magnitude >= 0x7f800000u) {
        return bits;
    }
    var rest = mantissa_of(magnitude);
    var e = exponent_of(magnitude) - exponent + 127;
    if (rest < mantissa) {
        rest = rest << 1u;
        e = e - 1;
    }
    var q = 0u;
    for (var i = 0u; i < 25u; i++) {
        q = q << 1u;
        if (rest >= mantissa) {
            q = q | 1u;
            rest = rest - mantissa;
        }
        rest = rest << 1u;
    }
    return rounded(bits & 0x80000000u, e, q, rest != 0u);
}

fn product(bits: u32, mantissa: u32, exponent: i32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    if (magnitude == 0u || magnitude >= 0x7f800000u) {
        return bits;
    }
    let m = mantissa_of(magnitude);
    let e = exponent_of(magnitude) + exponent;
    let lo = m * mantissa;
    let hi = high(m, mantissa);
    let sign = bits & 0x80000000u;
    if (hi >= 0x8000u) {
        return rounded(sign, e - 126, (hi << 9u) | (lo >> 23u), (lo & 0x7fffffu) != 0u);
    }
    return rounded(sign, e - 127, (hi << 10u) | (lo >> 22u), (lo & 0x3fffffu) != 0u);
}
