// Heads of queries, keys and values on their way to attention: queries and keys are normalised and rotated,
// keys and values are rounded and written to pages.
//
// A workgroup is one head of one row: of the queries (PARTS & 1), then the keys, then the values (PARTS & 2).
// The norm is RMS over the head. A row of angles is `[R / 2]` cosines, then as many sines.

#include "kv_page.wgsl"
#include "kv_word.wgsl"
#include "turn.wgsl"

struct Params {
    rows: u32,
    // Heads of queries.
    heads: u32,
    // Heads of keys and values; of them, `count` from `first` on are of these pages.
    kv_heads: u32,
    first: u32,
    count: u32,
    key_dim: u32,
    value_dim: u32,
    // Numbers of a head that are rotated, `R`.
    rotary: u32,
    // 1: normalise; 2: gains are stored less one; 4: pairs are neighbours.
    flags: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> angles: array<f32>;
#if PARTS == 1
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> q_gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> rotated: array<f32>;
#elif PARTS == 2
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> k_gain: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read_write> pages: array<u32>;
#else
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> q_gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> rotated: array<f32>;
@group(0) @binding(4) var<storage, read> k: array<f32>;
@group(0) @binding(5) var<storage, read> k_gain: array<f32>;
@group(0) @binding(6) var<storage, read> v: array<f32>;
@group(0) @binding(7) var<storage, read> slots: array<u32>;
@group(0) @binding(8) var<storage, read_write> pages: array<u32>;
#endif
#params

const THREADS: u32 = 64u;

// The head: no wider than this.
var<workgroup> numbers: array<f32, 1024>;
var<workgroup> sums: array<f32, 64>;

// What the numbers of the head, whose squares' sum over this thread is `squares`, are multiplied with.
fn norm_scale(lane: u32, squares: f32) -> f32 {
    sums[lane] = squares;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    workgroupBarrier();
    return 1.0 / sqrt(sums[0] / f32(p.key_dim) + p.eps);
}

// Number `i` of the head, rotated.
fn turned(row: u32, i: u32) -> f32 {
    if i >= p.rotary {
        return numbers[i];
    }
    let turn = turn_of(i);
    let cosine = angles[row * p.rotary + turn.pair];
    let sine = angles[row * p.rotary + p.rotary / 2u + turn.pair];
    if turn.second {
        return numbers[turn.b] * cosine + numbers[turn.a] * sine;
    }
    return numbers[turn.a] * cosine - numbers[turn.b] * sine;
}

#if PARTS >= 2
// Numbers of the key in `numbers`, and zeros after them.
fn key_number(row: u32, i: u32) -> f32 {
    if i < p.key_dim {
        return turned(row, i);
    }
    return 0.0;
}

fn value_number(place: u32, i: u32) -> f32 {
    if i < p.value_dim {
        return v[place + i];
    }
    return 0.0;
}
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y + group.z * groups.y;
    if row >= p.rows {
        return;
    }
    var head = group.x;
#if PARTS == 1 || PARTS == 3
    if head < p.heads {
        let place = (row * p.heads + head) * p.key_dim;
        var squares = 0.0;
        for (var i = lane; i < p.key_dim; i += THREADS) {
            let x = q[place + i];
            numbers[i] = x;
            squares += x * x;
        }
        if (p.flags & 1u) != 0u {
            let scale = norm_scale(lane, squares);
            let offset = select(0.0, 1.0, (p.flags & 2u) != 0u);
            for (var i = lane; i < p.key_dim; i += THREADS) {
                numbers[i] = numbers[i] * scale * (q_gain[i] + offset);
            }
        }
        workgroupBarrier();
        for (var i = lane; i < p.key_dim; i += THREADS) {
            rotated[place + i] = turned(row, i);
        }
        return;
    }
    head -= p.heads;
#endif
#if PARTS >= 2
    let slot = slots[row];
    if slot == 0xffffffffu {
        return;
    }
    let position = slot % PAGE;
    let key_units = units(p.key_dim);
    let value_units = units(p.value_dim);
    let local = head % p.count;
    let start = head_unit(slot / PAGE, local, p.count, key_units, value_units);
    if head < p.count {
        let place = (row * p.kv_heads + p.first + local) * p.key_dim;
        var squares = 0.0;
        for (var i = lane; i < p.key_dim; i += THREADS) {
            let x = k[place + i];
            numbers[i] = x;
            squares += x * x;
        }
        if (p.flags & 1u) != 0u {
            let scale = norm_scale(lane, squares);
            let offset = select(0.0, 1.0, (p.flags & 2u) != 0u);
            for (var i = lane; i < p.key_dim; i += THREADS) {
                numbers[i] = numbers[i] * scale * (k_gain[i] + offset);
            }
        }
        workgroupBarrier();
        for (var w = lane; w < key_units * 4u; w += THREADS) {
            let i = w * PER_WORD;
            let second = key_number(row, i + PER_WORD - 1u);
            let to = (start + (w / 4u) * PAGE + position) * 4u + w % 4u;
            pages[to] = packed(key_number(row, i), second);
        }
        return;
    }
    let place = (row * p.kv_heads + p.first + local) * p.value_dim;
    for (var w = lane; w < value_units * 4u; w += THREADS) {
        let i = w * PER_WORD;
        let second = value_number(place, i + PER_WORD - 1u);
        let to = (start + key_units * PAGE + position * value_units) * 4u + w;
        pages[to] = packed(value_number(place, i), second);
    }
#endif
}
