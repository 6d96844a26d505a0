// Attention of many queries: flash attention in tiles.
//
// A workgroup is 64 pairs of a query and a head of a group, which read the same keys, and goes over these a page of
// 32 at a time: scores in registers, 4 pairs times 4 keys a thread; a running maximum; values in registers, 4 pairs
// times 4 numbers of each of CHUNKS chunks of 32 numbers. Queries and keys pass through shared memory in chunks of 32
// numbers, then weights and values do, in the same place.
//
// Grid: entries; heads of keys times blocks of CHUNKS chunks of values.
//
// Dao 2023, https://arxiv.org/abs/2307.08691.

#include "attention_span.wgsl"

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> sinks: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
#if STORE == 3
@group(0) @binding(4) var<storage, read> keys: array<f32>;
@group(0) @binding(5) var<storage, read> values: array<f32>;
@group(0) @binding(6) var<storage, read_write> whole: array<f32>;
#else
@group(0) @binding(4) var<storage, read> pages: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> whole: array<f32>;
#endif
#params

// Of a chunk of queries `[64 pairs, 8]` vectors along the head; then weights `[64 pairs, 8]` along the keys.
var<workgroup> left: array<vec4<f32>, 512>;
// Of a chunk of keys `[32, 8]`, vectors swapped as `key_at` says; then of values `[32, 8]`.
var<workgroup> right: array<vec4<f32>, 256>;
// A number of each of 4 pairs, of the threads that share them: `[8, 16]`.
var<workgroup> shared_rows: array<vec4<f32>, 128>;

// Where vector `i` of a key is: so that eight threads, which write eight keys or read every fourth, have eight banks.
fn key_at(key: u32, i: u32) -> u32 {
    return key * 8u + (i ^ (key >> 2u) ^ ((key & 3u) << 1u));
}

fn query_vector(place: u32, d: u32) -> vec4<f32> {
    var found = vec4<f32>();
    if d + 4u <= p.key_dim {
        found = vec4<f32>(q[place + d], q[place + d + 1u], q[place + d + 2u], q[place + d + 3u]);
    } else if d < p.key_dim {
        for (var c = 0u; c < p.key_dim - d; c++) {
            found[c] = q[place + d + c];
        }
    }
    return found;
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let e = entry(place.x);
    let blocks = (p.value_dim + 32u * {CHUNKS}u - 1u) / (32u * {CHUNKS}u);
    let first_number = place.y % blocks * 32u * {CHUNKS}u;
    let kv_head = place.y / blocks;
    let first_head = (p.first + kv_head) * p.group;
    let key_units = units(p.key_dim);
    let value_units = units(p.value_dim);

    let last_row = min(e.rows, (e.pair + 63u) / p.group + 1u);
    let low = seen(e.query + i32(e.pair / p.group), e.len).x;
    let high = seen(e.query + i32(last_row) - 1, e.len).y;

    // This thread's pairs: `4 y ..`, and its keys of a page: `4 x ..`.
    let x = thread % 8u;
    let y = thread / 8u;
#unroll r 0 4
    let pair{r} = e.pair + 4u * y + {r}u;
    let query{r} = e.query + i32(pair{r} / p.group);
    let head{r} = first_head + pair{r} % p.group;
    let seen{r} = seen(query{r}, e.len);
#end
    var most = vec4<f32>(NONE);
    var sum = vec4<f32>();
#unroll c 0 {CHUNKS}
#unroll r 0 4
    var value{c}{r} = vec4<f32>();
#end
#end

    for (var page = low / PAGE; page * PAGE < high; page++) {
        let slot = page * PAGE + 4u * x;
        let start = page_start(e.keys, kv_head, page);
#unroll r 0 4
        var s{r} = vec4<f32>();
#end
        for (var d = 0u; d < p.key_dim; d += 32u) {
            for (var n = 0u; n < 4u; n++) {
                let i = 16u * n + thread / 8u;
                let pair = e.pair + i;
                let row = pair / p.group;
                var found = vec4<f32>();
                if row < e.rows {
                    let at = ((e.row + row) * p.heads + first_head + pair % p.group) * p.key_dim;
                    found = query_vector(at, d + 4u * x);
                }
                left[8u * i + x] = found;
            }
#if STORE == 1 || STORE == 2
            {
                let key = thread % 32u;
                let u = thread / 32u;
                var found = Unit(vec4<f32>(), vec4<f32>());
                if d / 8u + u < key_units {
                    found = key_unit(start, key, d / 8u + u);
                }
                right[key_at(key, 2u * u)] = vec4<f32>(found.a.x, found.b.x, found.a.y, found.b.y);
                right[key_at(key, 2u * u + 1u)] = vec4<f32>(found.a.z, found.b.z, found.a.w, found.b.w);
            }
#else
            for (var n = 0u; n < 2u; n++) {
#if STORE == 0
                let key = thread % 32u;
                let u = 4u * n + thread / 32u;
#else
                let key = 16u * n + thread / 8u;
                let u = x;
#endif
                var found = Unit(vec4<f32>());
                if d / 4u + u < key_units {
                    found = key_unit(start, min(key, high - 1u - page * PAGE), d / 4u + u);
                }
                right[key_at(key, u)] = found.a;
            }
#endif
            workgroupBarrier();
            for (var i = 0u; i < 8u; i++) {
#unroll j 0 4
                let k{j} = right[key_at(4u * x + {j}u, i)];
#end
#unroll r 0 4
                let q{r} = left[8u * (4u * y + {r}u) + i];
                s{r} += vec4<f32>(dot(q{r}, k0), dot(q{r}, k1), dot(q{r}, k2), dot(q{r}, k3));
#end
            }
            workgroupBarrier();
        }

#unroll r 0 4
#unroll j 0 4
        s{r}[{j}] = select(
            NONE,
            score(s{r}[{j}], query{r}, slot + {j}u, head{r}),
            slot + {j}u >= seen{r}.x && slot + {j}u < seen{r}.y,
        );
#end
        let most{r} = max(max(s{r}.x, s{r}.y), max(s{r}.z, s{r}.w));
#end
        shared_rows[16u * x + y] = vec4<f32>(most0, most1, most2, most3);
        workgroupBarrier();
        var largest = most;
        for (var i = 0u; i < 8u; i++) {
            largest = max(largest, shared_rows[16u * i + y]);
        }
        let factor = vec4<f32>(
            weight(most.x, largest.x), weight(most.y, largest.y), weight(most.z, largest.z), weight(most.w, largest.w),
        );
        most = largest;
        sum *= factor;
#unroll r 0 4
        let w{r} = vec4<f32>(
            weight(s{r}.x, most[{r}]), weight(s{r}.y, most[{r}]), weight(s{r}.z, most[{r}]), weight(s{r}.w, most[{r}]),
        );
        sum[{r}] += w{r}.x + w{r}.y + w{r}.z + w{r}.w;
        left[8u * (4u * y + {r}u) + x] = w{r};
#unroll c 0 {CHUNKS}
        value{c}{r} *= factor[{r}];
#end
#end

#unroll c 0 {CHUNKS}
        {
            let first = first_number + 32u * {c}u;
#if STORE == 1 || STORE == 2
            let key = thread / 4u;
            let u = first / 8u + thread % 4u;
            let at = page * PAGE + key;
            var found = Unit(vec4<f32>(), vec4<f32>());
            if u < value_units && at >= low && at < high {
                found = value_unit(start, key, u);
            }
            let to = 8u * key + 2u * (thread % 4u);
            right[to] = vec4<f32>(found.a.x, found.b.x, found.a.y, found.b.y);
            right[to + 1u] = vec4<f32>(found.a.z, found.b.z, found.a.w, found.b.w);
#else
            for (var n = 0u; n < 2u; n++) {
                let key = 16u * n + thread / 8u;
                let u = first / 4u + x;
                let at = page * PAGE + key;
                var found = Unit(vec4<f32>());
                if u < value_units && at >= low && at < high {
                    found = value_unit(start, key, u);
                }
                right[8u * key + x] = found.a;
            }
#endif
            workgroupBarrier();
            for (var i = 0u; i < 8u; i++) {
#unroll j 0 4
                let v{j} = right[8u * (4u * i + {j}u) + x];
#end
#unroll r 0 4
                let w{r} = left[8u * (4u * y + {r}u) + i];
                value{c}{r} += w{r}.x * v0 + w{r}.y * v1 + w{r}.z * v2 + w{r}.w * v3;
#end
            }
            workgroupBarrier();
        }
#end
    }

    shared_rows[16u * x + y] = sum;
    workgroupBarrier();
    sum = vec4<f32>();
    for (var i = 0u; i < 8u; i++) {
        sum += shared_rows[16u * i + y];
    }
#unroll r 0 4
    if pair{r} / p.group < e.rows {
        var total = sum[{r}];
        var factor = 1.0;
        // A sink is a key without a value.
        if (p.flags & 2u) != 0u {
            let sink = sinks[head{r}];
            let larger = max(most[{r}], sink);
            factor = weight(most[{r}], larger);
            total = total * factor + exp(sink - larger);
        }
        // Of no key, the sum is exactly 0.
        factor = select(factor / total, 0.0, total == 0.0);
        let to = ((e.row + pair{r} / p.group) * p.heads + head{r}) * p.value_dim;
#unroll c 0 {CHUNKS}
        for (var j = 0u; j < 4u; j++) {
            let d = first_number + 32u * {c}u + 4u * x + j;
            if d < p.value_dim {
                whole[to + d] = value{c}{r}[j] * factor;
            }
        }
#end
    }
#end
}
