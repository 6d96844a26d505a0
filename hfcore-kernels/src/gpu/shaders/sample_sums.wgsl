// Running sums of 64 bits, by one workgroup.

var<workgroup> sums: array<vec2<u32>, 512>;

// The running sum of `x` over the lanes, its own included. All lanes call it.
fn running_sum(lane: u32, x: vec2<u32>) -> vec2<u32> {
    sums[lane] = x;
    var side = 0u;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step = step << 1u) {
        var sum = sums[side + lane];
        if (lane >= step) {
            sum = add64(sum, sums[side + lane - step]);
        }
        side = 256u - side;
        sums[side + lane] = sum;
        workgroupBarrier();
    }
    return sums[side + lane];
}
