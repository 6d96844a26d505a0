// Attention of single queries over long contexts: flash-decode.
//
// A workgroup is one query, some of the heads that share a head of keys (TILE), and one split of the keys that the
// query sees, which it goes over in blocks of 128. Two threads take a key, half of its numbers each, for all these
// heads; then a thread takes a unit of some of the values. With one split the result is whole; with more, each
// has its maximum, its sum and its values to be merged. What takes the time is waiting for memory: so a thread
// asks for four units at a time, and the pages of a block are looked up once.
//
// With HEADS, queries and the newest keys and values come as they are multiplied: see `attention_heads.wgsl`. OUT: where
// the result goes, 1 `whole`; 2 `parts`, also where there is one split; 3 either, as there are splits.
//
// Grid: splits; heads of keys times tiles of heads times blocks of units of values; queries.
//
// Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html.

#include "attention_span.wgsl"

@group(0) @binding(#) var<storage, read> q: array<f32>;
@group(0) @binding(#) var<storage, read> words: array<u32>;
#if !HEADS || SINKS
@group(0) @binding(#) var<storage, read> sinks: array<f32>;
#endif
#if HEADS
#include "attention_heads.wgsl"
@group(0) @binding(#) var<storage, read_write> pages: array<vec4<u32>>;
#else
@group(0) @binding(#) var<storage, read> bias: array<f32>;
#if STORE == 3
@group(0) @binding(#) var<storage, read> keys: array<f32>;
@group(0) @binding(#) var<storage, read> values: array<f32>;
#else
@group(0) @binding(#) var<storage, read> pages: array<vec4<u32>>;
#endif
#endif
#if OUT != 2
@group(0) @binding(#) var<storage, read_write> whole: array<f32>;
#endif
#if OUT != 1
@group(0) @binding(#) var<storage, read_write> parts: array<f32>;
#endif
#params

const THREADS: u32 = 256u;
// Keys of a block: of two threads each.
const BLOCK: u32 = 128u;
// Units of a value that a workgroup takes.
const COLUMNS: u32 = 128u;
const TILE: u32 = {TILE}u;
// Threads that share the weights of one head, and the weights of each.
const LANES: u32 = {LANES}u;
const OWN: u32 = BLOCK / LANES;

// Queries of the heads, `[TILE, Dk / 4]`, in the order of units.
var<workgroup> queries: array<vec4<f32>, 256>;
// Products of both halves, `[2, TILE, BLOCK]`; then weights, `[TILE, BLOCK]`; at last the values of all threads.
var<workgroup> weights: array<f32, 2048>;
var<workgroup> lanes: array<f32, 256>;
// Of the pages of a block.
var<workgroup> starts: array<u32, 4>;
// Of each head.
var<workgroup> factors: array<f32, 8>;
var<workgroup> maxima: array<f32, 8>;
var<workgroup> totals: array<f32, 8>;

// The number that vector `j` of a query has at `c`: vectors are in the order of units.
fn number_of(j: u32, c: u32) -> u32 {
#if STORE == 1 || STORE == 2
    return j / 2u * 8u + 2u * c + j % 2u;
#else
    return j * 4u + c;
#endif
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let split = place.x;
    let e = entry(place.z);
    let all_units = units(p.value_dim);
    let blocks = (all_units + COLUMNS - 1u) / COLUMNS;
    let tiles = (p.group + TILE - 1u) / TILE;
    let first_unit = place.y % blocks * COLUMNS;
    let first_in_group = place.y / blocks % tiles * TILE;
    let kv_head = place.y / blocks / tiles;
    let first_head = (p.first + kv_head) * p.group + first_in_group;
    let heads = min(TILE, p.group - first_in_group);
    let key_units = units(p.key_dim);
    let query_units = key_units * (VEC / 4u);

    let range = seen(e.query, e.len);
    let base = range.x / PAGE * PAGE + split * word(1u);
    let low = max(range.x, base);
#if HEADS
    // The newest key, if it is one of this split: done first, it is none of the others.
    let slot = range.y - 1u;
    let newest = range.y > range.x && slot >= base && slot < base + word(1u);
    let high = min(range.y, base + word(1u)) - select(0u, 1u, newest);
    let first_query = (e.row * p.heads + first_head) * p.key_dim;
    let first_kv = e.row * (p.heads / p.group) + p.first + kv_head;
    prepare(thread, first_query, heads, first_kv);
    queries[thread] = vec4<f32>();
    var newest_product = 0.0;
    if thread < TILE * query_units {
        let g = thread / query_units;
        let j = thread % query_units;
        if g < heads {
            let query = turned_vector(g * p.key_dim, e.row, j);
            queries[thread] = query;
            newest_product = dot(query, key_vector(e.row, j));
        }
    }
    lanes[thread] = newest_product;
    var newest_start = 0u;
    if newest {
        newest_start = page_start(e.keys, kv_head, slot / PAGE);
        // Of all who have this key, one writes it.
        if first_in_group == 0u && first_unit == 0u && thread < key_units {
            pages[newest_start + thread * PAGE + slot % PAGE] = key_words(e.row, thread);
        }
    }
    workgroupBarrier();
#else
    for (var i = thread; i < TILE * query_units; i += THREADS) {
        let g = i / query_units;
        let j = i % query_units;
        var found = vec4<f32>();
        if g < heads {
            let start = (e.row * p.heads + first_head + g) * p.key_dim;
            for (var c = 0u; c < 4u; c++) {
                let d = number_of(j, c);
                if d < p.key_dim {
                    found[c] = q[start + d];
                }
            }
        }
        queries[i] = found;
    }
    workgroupBarrier();
    let high = min(range.y, base + word(1u));
#endif

    // Products: a thread has half of one key.
    let key = thread % BLOCK;
    let share = thread / BLOCK;
    // Softmax: a thread has part of the sum of one head. Where heads are one, the second half does as the first.
    let own_head = min(thread / LANES, TILE - 1u);
    let own_lane = thread % LANES;
    let owns = thread < TILE * LANES;
    var most = NONE;
    var sum = 0.0;
    // Values: a thread has one unit, of some of the keys.
    let columns = min(all_units - first_unit, COLUMNS);
    let rows = THREADS / columns;
    let column = thread % columns;
    let lane = thread / columns;
#unroll g 0 {TILE}
    var a{g} = vec4<f32>();
#if STORE == 1 || STORE == 2
    var b{g} = vec4<f32>();
#endif
#end
#if HEADS
    if newest {
        var product = 0.0;
        for (var j = 0u; j < query_units; j++) {
            product += lanes[own_head * query_units + j];
        }
        most = score(product, e.query, slot, first_head + min(own_head, heads - 1u));
        let own_weight = weight(most, most);
        sum = select(0.0, own_weight, own_lane == 0u);
        if owns && own_lane == 0u {
            factors[own_head] = own_weight;
        }
    }
    workgroupBarrier();
    if newest && thread < columns {
        let value_bits = value_words(first_kv, first_unit + column);
        if first_in_group == 0u {
            let at = slot % PAGE * all_units + first_unit + column;
            pages[newest_start + key_units * PAGE + at] = value_bits;
        }
        let value = unit(value_bits);
#unroll g 0 {TILE}
        a{g} = factors[{g}] * value.a;
#if STORE == 1 || STORE == 2
        b{g} = factors[{g}] * value.b;
#endif
#end
    }
#endif

    for (var block = low / PAGE * PAGE; block < high; block += BLOCK) {
        let at = min(block + key, high - 1u);
        let start = page_start(e.keys, kv_head, at / PAGE);
        let position = at % PAGE;
        if thread < BLOCK && key % PAGE == 0u {
            starts[key / PAGE] = start;
        }
#unroll g 0 {TILE}
        var s{g} = 0.0;
#end
        var u = share;
        for (; u + 6u < key_units; u += 8u) {
#unroll n 0 4
            let k{n} = key_unit(start, position, u + 2u * {n}u);
#end
#unroll n 0 4
#unroll g 0 {TILE}
#if STORE == 1 || STORE == 2
            s{g} += dot(queries[{g}u * query_units + 2u * (u + 2u * {n}u)], k{n}.a);
            s{g} += dot(queries[{g}u * query_units + 2u * (u + 2u * {n}u) + 1u], k{n}.b);
#else
            s{g} += dot(queries[{g}u * query_units + u + 2u * {n}u], k{n}.a);
#endif
#end
#end
        }
        for (; u < key_units; u += 2u) {
            let k = key_unit(start, position, u);
#unroll g 0 {TILE}
#if STORE == 1 || STORE == 2
            s{g} += dot(queries[{g}u * query_units + 2u * u], k.a) + dot(queries[{g}u * query_units + 2u * u + 1u], k.b);
#else
            s{g} += dot(queries[{g}u * query_units + u], k.a);
#endif
#end
        }
#unroll g 0 {TILE}
        weights[(share * TILE + {g}u) * BLOCK + key] = s{g};
#end
        workgroupBarrier();

        let head = first_head + min(own_head, heads - 1u);
        var own: array<f32, OWN>;
        var largest = NONE;
        for (var i = 0u; i < OWN; i++) {
            let k = own_lane + i * LANES;
            let product = weights[own_head * BLOCK + k] + weights[(TILE + own_head) * BLOCK + k];
            let sees = block + k >= low && block + k < high;
            own[i] = select(NONE, score(product, e.query, block + k, head), sees);
            largest = max(largest, own[i]);
        }
        lanes[thread] = largest;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if own_lane < half {
                lanes[thread] = max(lanes[thread], lanes[thread + half]);
            }
        }
        workgroupBarrier();
        largest = max(most, lanes[thread - own_lane]);
        let factor = weight(most, largest);
        most = largest;
        sum *= factor;
        for (var i = 0u; i < OWN; i++) {
            let w = weight(own[i], most);
            sum += w;
            if owns {
                weights[own_head * BLOCK + own_lane + i * LANES] = w;
            }
        }
        if owns && own_lane == 0u {
            factors[own_head] = factor;
        }
        workgroupBarrier();

#unroll g 0 {TILE}
        a{g} *= factors[{g}];
#if STORE == 1 || STORE == 2
        b{g} *= factors[{g}];
#endif
#end
        if lane < rows {
            let end = min(BLOCK, high - block);
            var i = max(low, block) - block + lane;
            for (; i + 3u * rows < end; i += 4u * rows) {
#unroll n 0 4
                let i{n} = i + {n}u * rows;
                let v{n} = value_unit(starts[i{n} / PAGE], i{n} % PAGE, first_unit + column);
#end
#unroll n 0 4
#unroll g 0 {TILE}
                a{g} += weights[{g}u * BLOCK + i{n}] * v{n}.a;
#if STORE == 1 || STORE == 2
                b{g} += weights[{g}u * BLOCK + i{n}] * v{n}.b;
#endif
#end
#end
            }
            for (; i < end; i += rows) {
                let v = value_unit(starts[i / PAGE], i % PAGE, first_unit + column);
#unroll g 0 {TILE}
                a{g} += weights[{g}u * BLOCK + i] * v.a;
#if STORE == 1 || STORE == 2
                b{g} += weights[{g}u * BLOCK + i] * v.b;
#endif
#end
            }
        }
        workgroupBarrier();
    }

    lanes[thread] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if own_lane < half {
            lanes[thread] += lanes[thread + half];
        }
    }
    if owns && own_lane == 0u {
        sum = lanes[thread];
        var factor = 1.0;
        // A sink is a key without a value, of the first split.
#if !HEADS || SINKS
        if (p.flags & 2u) != 0u && split == 0u {
            let sink = sinks[first_head + min(own_head, heads - 1u)];
            let larger = max(most, sink);
            factor = weight(most, larger);
            sum = sum * factor + exp(sink - larger);
            most = larger;
        }
#endif
        maxima[own_head] = most;
        totals[own_head] = sum;
        // Of no key, the sum is exactly 0.
        if groups.x == 1u {
            factor = select(factor / sum, 0.0, sum == 0.0);
        }
        factors[own_head] = factor;
    }
    workgroupBarrier();

#unroll g 0 {TILE}
    if lane < rows {
        let to = (lane * columns + column) * VEC;
#if STORE == 1 || STORE == 2
        for (var c = 0u; c < 4u; c++) {
            weights[to + 2u * c] = a{g}[c];
            weights[to + 2u * c + 1u] = b{g}[c];
        }
#else
        for (var c = 0u; c < 4u; c++) {
            weights[to + c] = a{g}[c];
        }
#endif
    }
    workgroupBarrier();
    if {g}u < heads {
        let head = first_head + {g}u;
        for (var i = thread; i < columns * VEC; i += THREADS) {
            let d = first_unit * VEC + i;
            if d < p.value_dim {
                var total = 0.0;
                for (var r = 0u; r < rows; r++) {
                    total += weights[r * columns * VEC + i];
                }
                total *= factors[{g}];
#if OUT != 1
                let part = ((split * p.rows + place.z) * p.heads + head) * p.value_dim + d;
#endif
#if OUT == 1
                whole[(e.row * p.heads + head) * p.value_dim + d] = total;
#elif OUT == 2
                parts[part] = total;
#else
                if groups.x == 1u {
                    whole[(e.row * p.heads + head) * p.value_dim + d] = total;
                } else {
                    parts[part] = total;
                }
#endif
            }
        }
#if OUT != 1
        if groups.x > 1u && thread == 0u && first_unit == 0u {
            let statistics = p.splits * p.rows * p.heads * p.value_dim;
            let at = statistics + 2u * ((split * p.rows + place.z) * p.heads + head);
            parts[at] = maxima[{g}];
            parts[at + 1u] = totals[{g}];
        }
#endif
    }
    workgroupBarrier();
#end
}
