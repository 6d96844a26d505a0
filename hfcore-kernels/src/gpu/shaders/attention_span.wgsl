// What both attention kernels know of queries and of the keys that they see.
//
// The words of a step: splits that are left to whoever reads the result, 1 where it is whole; keys of a split, a
// multiple of 32; splits; 0. Then the entries of 8 words, and the page tables they point to. An entry is of one
// sequence: the rows of its queries, and from which pair of a query and a head of its group on this entry is meant.
//
// With HEADS, which `attention_heads.wgsl` explains, there is no bias, and other words of the step come first.

#include "kv_page.wgsl"
#include "math.wgsl"

struct Params {
    scale: f32,
    // 0: none.
    softcap: f32,
    // 0xffffffff: none.
    window: u32,
    // 1: causal; 2: sinks; of heads 4: pairs are neighbours; 8: gains are stored less one.
    flags: u32,
#if HEADS
    // Numbers of a head that are rotated, and where the words of attention begin.
    rotary: u32,
    begin: u32,
#else
    // Columns of the bias, 0 where there is none, and the one of distance 0.
    bias_width: u32,
    bias_zero: u32,
#endif
    // Heads of queries, and how many of them share a head of keys.
    heads: u32,
    group: u32,
    // Heads of keys that are bound, and of all heads the first of them.
    kv_heads: u32,
    first: u32,
    key_dim: u32,
    value_dim: u32,
    // Entries, of the kernel whose entries are rows.
    rows: u32,
    // Splits there is room for; 0 where results are always whole.
    splits: u32,
#if HEADS
    eps: f32,
#endif
}

// A word of attention.
fn word(i: u32) -> u32 {
#if HEADS
    return words[p.begin + i];
#else
    return words[i];
#endif
}

struct Entry {
    // The first row, and rows.
    row: u32,
    rows: u32,
    // The first pair.
    pair: u32,
    // Keys there are.
    len: u32,
    // The slot of the first query: its position less that of the first key.
    query: i32,
    // Where the page table begins in the words; of dense keys, their first row.
    keys: u32,
}

// Scores are above this, or of no weight.
const NONE: f32 = -3.0e38;

fn entry(index: u32) -> Entry {
    let at = 4u + 8u * index;
    return Entry(word(at), word(at + 1u), word(at + 2u), word(at + 3u), bitcast<i32>(word(at + 4u)), word(at + 5u));
}

// The slots that the query at slot `query` sees: from, and up to.
fn seen(query: i32, len: u32) -> vec2<u32> {
    var start = 0;
    var end = i32(len);
    let causal = (p.flags & 1u) != 0u;
    if causal {
        end = min(end, query + 1);
    }
    if p.window != 0xffffffffu {
        let window = i32(p.window);
        if causal {
            start = query + 1 - window;
        } else {
            start = query - window;
            end = min(end, query + window + 1);
        }
    }
    end = max(end, 0);
    return vec2<u32>(u32(clamp(start, 0, end)), u32(end));
}

// The score of a product, for the key at `slot`.
fn score(product: f32, query: i32, slot: u32, head: u32) -> f32 {
    var s = product * p.scale;
    if p.softcap > 0.0 {
        s = p.softcap * tanh_f32(s / p.softcap);
    }
#if !HEADS
    if p.bias_width > 0u {
        let column = clamp(i32(slot) - query + i32(p.bias_zero), 0, i32(p.bias_width) - 1);
        s += bias[head * p.bias_width + u32(column)];
    }
#endif
    // What is not a number stays so.
    return select(s, NONE, s < NONE);
}

// `e^(s - most)`, and exactly nothing for what has no weight.
fn weight(s: f32, most: f32) -> f32 {
    return select(exp(s - most), 0.0, s <= NONE);
}

// A unit: of four numbers `a`; of eight, `a` are those with even numbers and `b` the others.
struct Unit {
    a: vec4<f32>,
#if STORE == 1 || STORE == 2
    b: vec4<f32>,
#endif
}

// Where the keys and values of a page of 32 slots begin; the key and the value at a position of it.
#if STORE == 3
fn page_start(first: u32, head: u32, page: u32) -> u32 {
    return (first + page * PAGE) * p.kv_heads + head;
}

fn key_unit(start: u32, position: u32, u: u32) -> Unit {
    let d = u * 4u;
    let at = (start + position * p.kv_heads) * p.key_dim + d;
    if d + 4u <= p.key_dim {
        return Unit(vec4<f32>(keys[at], keys[at + 1u], keys[at + 2u], keys[at + 3u]));
    }
    var found = vec4<f32>();
    for (var c = 0u; c < p.key_dim - d; c++) {
        found[c] = keys[at + c];
    }
    return Unit(found);
}

fn value_unit(start: u32, position: u32, u: u32) -> Unit {
    let d = u * 4u;
    let at = (start + position * p.kv_heads) * p.value_dim + d;
    if d + 4u <= p.value_dim {
        return Unit(vec4<f32>(values[at], values[at + 1u], values[at + 2u], values[at + 3u]));
    }
    var found = vec4<f32>();
    for (var c = 0u; c < p.value_dim - d; c++) {
        found[c] = values[at + c];
    }
    return Unit(found);
}
#else
fn page_start(table: u32, head: u32, page: u32) -> u32 {
    return head_unit(word(table + page), head, p.kv_heads, units(p.key_dim), units(p.value_dim));
}

fn unit(words: vec4<u32>) -> Unit {
#if STORE == 0
    return Unit(bitcast<vec4<f32>>(words));
#elif STORE == 1
    return Unit(bitcast<vec4<f32>>(words << vec4<u32>(16u)), bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u)));
#else
    let x = unpack2x16float(words.x);
    let y = unpack2x16float(words.y);
    let z = unpack2x16float(words.z);
    let w = unpack2x16float(words.w);
    return Unit(vec4<f32>(x.x, y.x, z.x, w.x), vec4<f32>(x.y, y.y, z.y, w.y));
#endif
}

fn key_unit(start: u32, position: u32, u: u32) -> Unit {
    return unit(pages[start + u * PAGE + position]);
}

fn value_unit(start: u32, position: u32, u: u32) -> Unit {
    return unit(pages[start + units(p.key_dim) * PAGE + position * units(p.value_dim) + u]);
}
#endif
