// Heads on their way to attention, done by whoever attends: what `heads.wgsl` does, where each row is the newest of its
// sequence.
//
// A workgroup normalises and rotates the queries of its heads. Where its split has the newest key, it does so with that
// as well, and attends to it, and to its value, from here, as they would be read from their page; of all that
// have them, one writes them there. Nobody reads a slot that is written by the same call.
//
// The words begin with the angles `[T, R]`, of each row cosines, then sines. NORM: there is one of each head.

#include "kv_word.wgsl"
#include "turn.wgsl"

@group(0) @binding(#) var<storage, read> k: array<f32>;
@group(0) @binding(#) var<storage, read> v: array<f32>;
#if NORM
@group(0) @binding(#) var<storage, read> q_gain: array<f32>;
@group(0) @binding(#) var<storage, read> k_gain: array<f32>;
#endif

// Where the key lies among `weights`, after the queries of the heads `[TILE, Dk]`.
const KEY: u32 = 1024u;
// Threads for the norm of one head.
const NORMING: u32 = 16u;

#if NORM
// Of each query, and of the key.
var<workgroup> scales: array<f32, 9>;
#endif

// Bring the queries of `heads` heads that begin at `first_query`, and the key of the head `first_kv`; to be called by
// all threads.
fn prepare(thread: u32, first_query: u32, heads: u32, first_kv: u32) {
    let numbers = heads * p.key_dim;
    for (var i = thread; i < numbers; i += THREADS) {
        weights[i] = q[first_query + i];
    }
    for (var i = thread; i < p.key_dim; i += THREADS) {
        weights[KEY + i] = k[first_kv * p.key_dim + i];
    }
    workgroupBarrier();
#if NORM
    let head = thread / NORMING;
    var squares = 0.0;
    if head <= TILE {
        let start = select(head * p.key_dim, KEY, head == TILE);
        if head < heads || head == TILE {
            for (var i = thread % NORMING; i < p.key_dim; i += NORMING) {
                squares += weights[start + i] * weights[start + i];
            }
        }
    }
    lanes[thread] = squares;
    workgroupBarrier();
    if thread <= TILE {
        var sum = 0.0;
        for (var i = 0u; i < NORMING; i++) {
            sum += lanes[thread * NORMING + i];
        }
        scales[thread] = 1.0 / sqrt(sum / f32(p.key_dim) + p.eps);
    }
    workgroupBarrier();
    let offset = select(0.0, 1.0, (p.flags & 8u) != 0u);
    for (var i = thread; i < numbers; i += THREADS) {
        weights[i] = weights[i] * scales[i / p.key_dim] * (q_gain[i % p.key_dim] + offset);
    }
    for (var i = thread; i < p.key_dim; i += THREADS) {
        weights[KEY + i] = weights[KEY + i] * scales[TILE] * (k_gain[i] + offset);
    }
    workgroupBarrier();
#endif
}

// Number `i` of the head at `start`, rotated; 0 after the last.
fn turned(start: u32, row: u32, i: u32) -> f32 {
    if i >= p.key_dim {
        return 0.0;
    }
    if i >= p.rotary {
        return weights[start + i];
    }
    let turn = turn_of(i);
    let cosine = bitcast<f32>(words[row * p.rotary + turn.pair]);
    let sine = bitcast<f32>(words[row * p.rotary + p.rotary / 2u + turn.pair]);
    if turn.second {
        return weights[start + turn.b] * cosine + weights[start + turn.a] * sine;
    }
    return weights[start + turn.a] * cosine - weights[start + turn.b] * sine;
}

// Vector `j` of the query at `start`.
fn turned_vector(start: u32, row: u32, j: u32) -> vec4<f32> {
    var found = vec4<f32>();
    for (var c = 0u; c < 4u; c++) {
        found[c] = turned(start, row, number_of(j, c));
    }
    return found;
}

// Unit `u` of the key, as pages have it.
fn key_words(row: u32, u: u32) -> vec4<u32> {
    var found = vec4<u32>();
    for (var c = 0u; c < 4u; c++) {
        let i = (4u * u + c) * PER_WORD;
        found[c] = packed(turned(KEY, row, i), turned(KEY, row, i + PER_WORD - 1u));
    }
    return found;
}

// Vector `j` of the key, as it would be read back.
fn key_vector(row: u32, j: u32) -> vec4<f32> {
#if STORE == 1 || STORE == 2
    let found = unit(key_words(row, j / 2u));
    return select(found.a, found.b, j % 2u == 1u);
#else
    return unit(key_words(row, j)).a;
#endif
}

// Number `i` of the value of the head `first_kv`; 0 after the last.
fn value_number(first_kv: u32, i: u32) -> f32 {
    if i < p.value_dim {
        return v[first_kv * p.value_dim + i];
    }
    return 0.0;
}

// Unit `u` of that value, as pages have it.
fn value_words(first_kv: u32, u: u32) -> vec4<u32> {
    var found = vec4<u32>();
    for (var c = 0u; c < 4u; c++) {
        let i = (4u * u + c) * PER_WORD;
        found[c] = packed(value_number(first_kv, i), value_number(first_kv, i + PER_WORD - 1u));
    }
    return found;
}
