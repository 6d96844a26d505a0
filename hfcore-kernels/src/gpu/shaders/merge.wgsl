// Attention whose keys were in several splits, merged as it is read: `x[m][h Dv + d]`.
//
// `parts` and `words` are those of `attention_merge.wgsl`. Where one split is left, its values are the result.
// Merged, values are sums weighted by `e^(most - the largest)`, over the sum of all weights: one factor for each
// split, which is found first, in workgroup memory.
//
// The kernel's Params have `rows`, `heads`, `value_quads` (Dv / 4) and `splits`, for how many there is room; at
// most 8 rows, and rows * heads * splits at most 2048. WG threads.

@group(0) @binding(#) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> words: array<u32>;

var<workgroup> merge_factors: array<f32, 2048>;
// The entry of each row.
var<workgroup> merge_entries: array<u32, 8>;

// The largest score of a split, and the sum of its weights.
fn merge_statistics(split: u32, entry: u32, head: u32) -> vec2<f32> {
    let values = p.splits * p.rows * p.heads * p.value_quads;
    let pair = (split * p.rows + entry) * p.heads + head;
    let two = (pair & 1u) * 2u;
    return vec2<f32>(parts[values + pair / 2u][two], parts[values + pair / 2u][two + 1u]);
}

// Find the factors; to be called by all threads, in uniform flow, before `merged`.
fn merge_prepare(thread: u32) {
    let count = words[0];
    if thread < p.rows {
        merge_entries[words[4u + 8u * thread]] = thread;
    }
    let merges = select(0u, p.rows * p.heads, count > 1u);
    for (var i = thread; i < merges; i += {WG}u) {
        let entry = i / p.heads;
        let head = i % p.heads;
        var most = -3.0e38;
        for (var s = 0u; s < count; s++) {
            most = max(most, merge_statistics(s, entry, head).x);
        }
        var total = 0.0;
        for (var s = 0u; s < count; s++) {
            let found = merge_statistics(s, entry, head);
            let factor = exp(found.x - most);
            total += factor * found.y;
            merge_factors[i * p.splits + s] = factor;
        }
        // Of a row that saw no key, values and sum are 0.
        let inverse = select(1.0 / total, 0.0, total == 0.0);
        for (var s = 0u; s < count; s++) {
            merge_factors[i * p.splits + s] *= inverse;
        }
    }
    workgroupBarrier();
}

// Numbers 4 quad to 4 quad + 3 of row m.
fn merged(m: u32, quad: u32) -> vec4<f32> {
    let width = p.heads * p.value_quads;
    let count = words[0];
    let entry = merge_entries[m];
    if count <= 1u {
        return parts[entry * width + quad];
    }
    let factors = (entry * p.heads + quad / p.value_quads) * p.splits;
    var x = vec4<f32>();
    for (var s = 0u; s < count; s++) {
        x += merge_factors[factors + s] * parts[(s * p.rows + entry) * width + quad];
    }
    return x;
}
