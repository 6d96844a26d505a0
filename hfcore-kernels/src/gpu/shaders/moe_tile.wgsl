// Half of experts for many tokens: up to 32 slots of one expert times 64 rows of its matrices.
//
// HALF 0  out[slot, i] = act(gate) * up        for 32 numbers i: their rows of gate, then those of up
//      1  out[slot, e] = weight of the slot * (down + bias)
//
// Tiles are those of `moe_sort.wgsl`. In steps of 32 numbers along the rows, activations and widened weights go
// through workgroup memory; thread (x, y) has slots y and y + 16, and rows x, x + 16, x + 32 and x + 48.
//
// KIND, RAGGED: see moe_up.wgsl. DTYPE, QUADS: see weight.wgsl.

#include "activation.wgsl"
#include "weight.wgsl"

struct Params {
    // At most.
    tiles: u32,
    // The first slot of this call, and slots of all.
    base: u32,
    slots: u32,
    k: u32,
    // Numbers of a row of x, and of a row of out.
    width: u32,
    outputs: u32,
    // The first expert of this part, and how many it has.
    first: u32,
    count: u32,
    // Vectors of an expert, of its gate, and of a row.
    stride: u32,
    other: u32,
    chunks: u32,
    group_shift: u32,
    act: u32,
    limit: f32,
    alpha: f32,
}
#params

@group(0) @binding(0) var<storage, read> plan: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;
#if RAGGED
@group(0) @binding(2) var<storage, read> x: array<f32>;
#else
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
#endif
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#if HALF == 1
@group(0) @binding(4) var<storage, read> routing: array<u32>;
#endif
#if BIAS && HALF == 0
@group(0) @binding(4) var<storage, read> bias: array<f32>;
#endif
#if BIAS && HALF == 1
@group(0) @binding(5) var<storage, read> bias: array<f32>;
#endif

// Rows of 8 vectors, and one more: so that neighbours meet in no bank.
var<workgroup> a: array<vec4<f32>, 288>;
var<workgroup> b: array<vec4<f32>, 576>;

#if HALF == 0 && KIND == 1
const TURNS = 2u;
#else
const TURNS = 1u;
#endif

fn x_quad(row: u32, quad: u32) -> vec4<f32> {
#if RAGGED
    var v = vec4<f32>();
#unroll n 0 4
    if 4u * quad + {n}u < p.width {
        v[{n}] = x[row * p.width + 4u * quad + {n}u];
    }
#end
    return v;
#else
    if 4u * quad >= p.width {
        return vec4<f32>();
    }
    return x[row * (p.width / 4u) + quad];
#endif
}

// The scale of vector `chunk` of row `row` of the matrix at `matrix`, of `rows` rows.
fn scale_of(matrix: u32, rows: u32, row: u32, chunk: u32) -> f32 {
#if DTYPE == 3
    return bitcast<f32>(weight[matrix + rows * p.chunks + (row >> 2u)][row & 3u]);
#elif DTYPE == 4
    let at = (row * p.chunks + chunk) >> p.group_shift;
    return scale_in(weight[matrix + rows * p.chunks + (at >> 3u)][(at >> 1u) & 3u], at);
#else
    return 1.0;
#endif
}

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let number = group.y * groups.x + group.x;
#if HALF == 0
    let blocks = (p.outputs + 31u) / 32u;
    let first = number % blocks * 32u;
#else
    let blocks = (p.outputs + 63u) / 64u;
    let first = number % blocks * 64u;
#endif
    let tile = number / blocks;
    // Uniform: of the workgroup, the parameters and what every thread reads alike.
    if tile >= p.tiles {
        return;
    }
    let of_tile = plan[3u * tile + 2u];
    let expert = plan[3u * tile] - p.first;
    if of_tile == 0u || expert >= p.count {
        return;
    }
    let order = 3u * p.tiles + plan[3u * tile + 1u];
    let matrix = expert * p.stride;
    let rows = p.outputs * TURNS;

    // What this thread brings of the activations.
    let a_row = thread / 8u;
    let a_quad = thread % 8u;
    // Slots behind the last are the last again, which is not written.
    let a_slot = plan[order + min(a_row, of_tile - 1u)];
#if HALF == 0
    let a_from = (p.base + a_slot) / p.k;
#else
    let a_from = a_slot;
#endif
    let tx = thread % 16u;
    let ty = thread / 16u;
#unroll i 0 2
#unroll j 0 4
    var sum_{i}{j} = 0.0;
#end
#end
    for (var step = 0u; step * 8u < p.chunks * {QUADS}u; step++) {
        a[a_row * 9u + a_quad] = x_quad(a_from, step * 8u + a_quad);
        for (var i = thread; i < 512u / {QUADS}u; i += 256u) {
            let n = i / (8u / {QUADS}u);
            let v = i % (8u / {QUADS}u);
            let chunk = step * (8u / {QUADS}u) + v;
#if HALF == 0
            let half = n / 32u;
            let row = min(first + n % 32u, p.outputs - 1u) * TURNS + half * (TURNS - 1u);
            let start = matrix + half * (2u - TURNS) * p.other;
#else
            let row = min(first + n, p.outputs - 1u);
            let start = matrix;
#endif
            let to = n * 9u + v * {QUADS}u;
            if chunk < p.chunks {
                let w = weight[start + row * p.chunks + chunk];
#if DTYPE > 2
                let scale = scale_of(start, rows, row, chunk);
#unroll q 0 {QUADS}
                b[to + {q}u] = quad_{q}(w) * scale;
#end
#else
#unroll q 0 {QUADS}
                b[to + {q}u] = quad_{q}(w);
#end
#endif
            } else {
#unroll q 0 {QUADS}
                b[to + {q}u] = vec4<f32>();
#end
            }
        }
        workgroupBarrier();
        for (var q = 0u; q < 8u; q++) {
#unroll i 0 2
            let a_{i} = a[(ty + 16u * {i}u) * 9u + q];
#end
#unroll j 0 4
            let b_{j} = b[(tx + 16u * {j}u) * 9u + q];
#end
#unroll i 0 2
#unroll j 0 4
            sum_{i}{j} += dot(a_{i}, b_{j});
#end
#end
        }
        workgroupBarrier();
    }
#unroll i 0 2
    if ty + 16u * {i}u < of_tile {
        let slot = plan[order + ty + 16u * {i}u];
#if HALF == 0
        let up_sums_{i} = array(sum_{i}2, sum_{i}3);
#unroll j 0 2
        {
            let column = first + tx + 16u * {j}u;
            if column < p.outputs {
                var gate = sum_{i}{j};
                var up = up_sums_{i}[{j}];
#if BIAS
                // `[N, 2 I]`, of one matrix as it is, of two one behind the other.
                let place = plan[3u * tile] * p.outputs * 2u + column * TURNS;
                gate += bias[place];
                up += bias[place + select(p.outputs, 1u, TURNS == 2u)];
#endif
#if KIND == 0
                out[slot * p.outputs + column] = activation_of(p.act, gate) * up;
#else
                out[slot * p.outputs + column] = clamped_swiglu(gate, up, p.limit, p.alpha);
#endif
            }
        }
#end
#else
        let share = bitcast<f32>(routing[p.slots + p.base + slot]);
#unroll j 0 4
        {
            let column = first + tx + 16u * {j}u;
            if column < p.outputs {
#if BIAS
                out[slot * p.outputs + column] = share * (sum_{i}{j} + bias[plan[3u * tile] * p.outputs + column]);
#else
                out[slot * p.outputs + column] = share * sum_{i}{j};
#endif
            }
        }
#end
#endif
    }
#end
}
