// The partial results of a choice's chunks put together, by one workgroup.

var<workgroup> merged: array<vec4<u32>, 256>;

// Key of the largest score, its first index, flags.
fn merge(choice: u32, lane: u32) -> vec4<u32> {
    var mine = vec4<u32>(0u, 0xffffffffu, 0u, 0u);
    if (lane < p.chunks) {
        mine = partials[choice * p.chunks + lane];
    }
    merged[lane] = mine;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half >> 1u) {
        if (lane < half) {
            let a = merged[lane];
            let b = merged[lane + half];
            let other = b.x > a.x || (b.x == a.x && b.y < a.y);
            merged[lane] = vec4<u32>(select(a.xy, b.xy, other), a.z | b.z, 0u);
        }
        workgroupBarrier();
    }
    return merged[0];
}

// 0: there is a distribution; 1: NaN; 2: +inf; 3: nothing above -inf.
fn status(best: vec4<u32>) -> u32 {
    if ((best.z & 1u) != 0u) {
        return 1u;
    }
    if ((best.z & 2u) != 0u) {
        return 2u;
    }
    return select(0u, 3u, best.x <= KEY_NEG_INF);
}
