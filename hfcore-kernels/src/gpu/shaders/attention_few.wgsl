// Attention of single queries over long contexts: flash-decode.
//
// A workgroup is one query, some of the heads that share a head of keys (TILE), and one split of the keys that the
// query sees. Threads take a key each, for all these heads, then a unit of a value each. With one split the
// result is whole; with more, each has its maximum, its sum and its values to be merged.
//
// Grid: splits; heads of keys times tiles of heads times blocks of units of values; queries.
//
// Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html.

#include "attention_span.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> sinks: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#if STORE == 3
@group(0) @binding(4) var<storage, read> keys: array<f32>;
@group(0) @binding(5) var<storage, read> values: array<f32>;
#else
@group(0) @binding(4) var<storage, read> pages: array<vec4<u32>>;
#endif
@group(0) @binding({WHOLE}) var<storage, read_write> whole: array<f32>;
@group(0) @binding({PARTS}) var<storage, read_write> parts: array<f32>;
#params

const THREADS: u32 = 128u;
// Keys whose scores are in memory at once: two of a thread.
const BLOCK: u32 = 256u;
const TILE: u32 = {TILE}u;
// Threads that share the weights of one head.
const LANES: u32 = THREADS / TILE;

// Queries of the heads, `[TILE, Dk / 4]`, in the order of units.
var<workgroup> queries: array<vec4<f32>, 256>;
// Scores, then weights, `[TILE, BLOCK]`; at last the values of all threads.
#if TILE > 4
var<workgroup> weights: array<f32, 2048>;
#else
var<workgroup> weights: array<f32, 1024>;
#endif
var<workgroup> lanes: array<f32, 128>;
// Of each head.
var<workgroup> factors: array<f32, 8>;
var<workgroup> maxima: array<f32, 8>;
var<workgroup> totals: array<f32, 8>;

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let split = place.x;
    let e = entry(place.z);
    let all_units = units(p.value_dim);
    let blocks = (all_units + THREADS - 1u) / THREADS;
    let tiles = (p.group + TILE - 1u) / TILE;
    let first_unit = place.y % blocks * THREADS;
    let first_in_group = place.y / blocks % tiles * TILE;
    let kv_head = place.y / blocks / tiles;
    let first_head = (p.first + kv_head) * p.group + first_in_group;
    let heads = min(TILE, p.group - first_in_group);
    let key_units = units(p.key_dim);
    let query_units = key_units * (VEC / 4u);

    for (var i = thread; i < TILE * query_units; i += THREADS) {
        let g = i / query_units;
        let j = i % query_units;
        var found = vec4<f32>();
        if g < heads {
            let start = (e.row * p.heads + first_head + g) * p.key_dim;
            for (var c = 0u; c < 4u; c++) {
#if STORE == 1 || STORE == 2
                let d = j / 2u * 8u + 2u * c + j % 2u;
#else
                let d = j * 4u + c;
#endif
                if d < p.key_dim {
                    found[c] = q[start + d];
                }
            }
        }
        queries[i] = found;
    }
    workgroupBarrier();

    let range = seen(e.query, e.len);
    let base = range.x / PAGE * PAGE + split * words[1];
    let low = max(range.x, base);
    let high = min(range.y, base + words[1]);

    // Softmax: a thread has part of the sum of one head.
    let own_head = thread / LANES;
    let own_lane = thread % LANES;
    var most = NONE;
    var sum = 0.0;
    // Values: a thread has one unit, of some of the keys.
    let columns = min(all_units - first_unit, THREADS);
    let rows = THREADS / columns;
    let column = thread % columns;
    let lane = thread / columns;
#unroll g 0 {TILE}
    var a{g} = vec4<f32>();
#if STORE == 1 || STORE == 2
    var b{g} = vec4<f32>();
#endif
#end

    for (var block = low; block < high; block += BLOCK) {
        let slot = vec2<u32>(block + thread, block + THREADS + thread);
        let first_key = key_place(e.keys, kv_head, min(slot.x, high - 1u));
        let second_key = key_place(e.keys, kv_head, min(slot.y, high - 1u));
#unroll g 0 {TILE}
        var s{g} = vec2<f32>();
#end
        for (var u = 0u; u < key_units; u++) {
            let k0 = key_unit(first_key, u);
            let k1 = key_unit(second_key, u);
#unroll g 0 {TILE}
#if STORE == 1 || STORE == 2
            let qa{g} = queries[{g}u * query_units + 2u * u];
            let qb{g} = queries[{g}u * query_units + 2u * u + 1u];
            s{g} += vec2<f32>(dot(qa{g}, k0.a) + dot(qb{g}, k0.b), dot(qa{g}, k1.a) + dot(qb{g}, k1.b));
#else
            let qa{g} = queries[{g}u * query_units + u];
            s{g} += vec2<f32>(dot(qa{g}, k0.a), dot(qa{g}, k1.a));
#endif
#end
        }
#unroll g 0 {TILE}
        {
            let head = first_head + min({g}u, heads - 1u);
            let one = score(s{g}.x, e.query, slot.x, head);
            let two = score(s{g}.y, e.query, slot.y, head);
            weights[{g}u * BLOCK + thread] = select(NONE, one, slot.x < high);
            weights[{g}u * BLOCK + THREADS + thread] = select(NONE, two, slot.y < high);
        }
#end
        workgroupBarrier();

        var largest = NONE;
        for (var i = own_lane; i < BLOCK; i += LANES) {
            largest = max(largest, weights[own_head * BLOCK + i]);
        }
        lanes[thread] = largest;
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if own_lane < half {
                lanes[thread] = max(lanes[thread], lanes[thread + half]);
            }
        }
        workgroupBarrier();
        largest = max(most, lanes[own_head * LANES]);
        let factor = weight(most, largest);
        most = largest;
        sum *= factor;
        for (var i = own_lane; i < BLOCK; i += LANES) {
            let w = weight(weights[own_head * BLOCK + i], most);
            weights[own_head * BLOCK + i] = w;
            sum += w;
        }
        if own_lane == 0u {
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
            for (var i = lane; i < min(BLOCK, high - block); i += rows) {
                let value = value_unit(value_place(e.keys, kv_head, block + i), first_unit + column);
#unroll g 0 {TILE}
                a{g} += weights[{g}u * BLOCK + i] * value.a;
#if STORE == 1 || STORE == 2
                b{g} += weights[{g}u * BLOCK + i] * value.b;
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
    if own_lane == 0u {
        sum = lanes[thread];
        var factor = 1.0;
        // A sink is a key without a value, of the first split.
        if (p.flags & 2u) != 0u && split == 0u {
            let sink = sinks[first_head + min(own_head, heads - 1u)];
            let larger = max(most, sink);
            factor = weight(most, larger);
            sum = sum * factor + exp(sink - larger);
            most = larger;
        }
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
                if groups.x == 1u {
                    whole[(e.row * p.heads + head) * p.value_dim + d] = total;
                } else {
                    parts[((split * p.rows + place.z) * p.heads + head) * p.value_dim + d] = total;
                }
            }
        }
        if groups.x > 1u && thread == 0u && first_unit == 0u {
            let statistics = p.splits * p.rows * p.heads * p.value_dim;
            let at = statistics + 2u * ((split * p.rows + place.z) * p.heads + head);
            parts[at] = maxima[{g}];
            parts[at + 1u] = totals[{g}];
        }
    }
    workgroupBarrier();
#end
}
