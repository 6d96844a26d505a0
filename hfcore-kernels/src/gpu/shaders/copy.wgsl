// Numbers of one tensor in another order: `out[offset + i] = x[source(i)]`, zero where nothing is.
//
// FROM 0  a range of each row: columns
//      1  rows by their numbers, which are words of the step: gather_rows
//      2  the same order: a part of concat_rows
//      3  windows of rows, in the order of a convolution's weight [C, k]: conv1d
//      4  squares of pixels: patches
//
// A workgroup of 256 threads has 1024 numbers, of which each thread takes every 256th.

struct Params {
    // Numbers to write.
    count: u32,
    // Numbers in a row of the output: FROM 3 [C, k], 4 [C, patch, patch].
    width: u32,
    // FROM 0: numbers in a row of x, and the first of them. 2: where to write the first.
    // 3: rows of a sequence of x, and k. 4: [H, W].
    a: u32,
    b: u32,
    // FROM 3: rows of a sequence of the output, stride, padding, C. 4: squares [down, across], patch, C.
    c: u32,
    d: u32,
    e: u32,
    f: u32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
#if FROM == 1
@group(0) @binding(2) var<storage, read> rows: array<u32>;
#endif

fn number(i: u32) -> f32 {
#if FROM == 0
    return x[i / p.width * p.a + p.b + i % p.width];
#endif
#if FROM == 1
    return x[rows[i / p.width] * p.width + i % p.width];
#endif
#if FROM == 2
    return x[i];
#endif
#if FROM == 3
    let row = i / p.width;
    let at = i % p.width;
    let channel = at / p.b;
    // Beyond either end the difference is not below the length, negative numbers having wrapped.
    let position = row % p.c * p.d + at % p.b - p.e;
    if position >= p.a {
        return 0.0;
    }
    return x[(row / p.c * p.a + position) * p.f + channel];
#endif
#if FROM == 4
    let square = i / p.width;
    let at = i % p.width;
    let area = p.e * p.e;
    let channel = at / area;
    let image = square / (p.c * p.d);
    let down = square / p.d % p.c * p.e + at % area / p.e;
    let across = square % p.d * p.e + at % p.e;
    return x[((image * p.f + channel) * p.a + down) * p.b + across];
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
#if FROM == 2
            out[p.a + i] = number(i);
#else
            out[i] = number(i);
#endif
        }
    }
#end
}
