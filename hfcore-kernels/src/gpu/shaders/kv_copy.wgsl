// Pages copied: within their buffer (SAME), or into another that may have other heads of a page.
//
// Grid: parts of a head, heads, pages. With SAME, `words` has a pair of pages, from and to, for each; else all up to
// `pages` are copied.
struct Params {
    // 16-byte units of a head of a page.
    units: u32,
    // Heads of a page, in both buffers.
    from_heads: u32,
    to_heads: u32,
    // The head that is the first to copy, in both.
    from_first: u32,
    to_first: u32,
    pages: u32,
}

#if SAME
@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> to: array<vec4<u32>>;
#else
@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> to: array<vec4<u32>>;
#endif
#params

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if SAME
    let from_page = words[2u * group.z];
    let to_page = words[2u * group.z + 1u];
    {
#else
    for (var page = group.z; page < p.pages; page += groups.z) {
        let from_page = page;
        let to_page = page;
#endif
        let from_start = (from_page * p.from_heads + p.from_first + group.y) * p.units;
        let to_start = (to_page * p.to_heads + p.to_first + group.y) * p.units;
        for (var i = group.x * 128u + lane; i < p.units; i += groups.x * 128u) {
#if SAME
            to[to_start + i] = to[from_start + i];
#else
            to[to_start + i] = source[from_start + i];
#endif
        }
    }
}
