// Sums and largest numbers over the WG threads of a workgroup, the same in every run.
//
// With subgroups, of any size: each sums its own, and every thread adds up the parts in order. Without, a
// tree in workgroup memory. Every function is called by all threads of the workgroup, in uniform flow, and
// leaves the memory free for the next call.

struct Thread {
    // Of the workgroup, 0..WG.
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
#if SUBGROUP
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) lane: u32,
#endif
}

// The number of the workgroup, where one axis was too short for all and they were folded into two.
fn group_number(t: Thread) -> u32 {
    return t.group.y * t.groups.x + t.group.x;
}

// With subgroups, a part of each: there are at least as many threads as subgroups.
var<workgroup> reduce_parts: array<u32, {WG}>;

fn reduce_sum(t: Thread, v: f32) -> f32 {
#if SUBGROUP
    let part = subgroupAdd(v);
    if t.lane == 0u {
        reduce_parts[t.subgroup] = bitcast<u32>(part);
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < t.subgroups; i++) {
        sum += bitcast<f32>(reduce_parts[i]);
    }
    workgroupBarrier();
    return sum;
#else
    reduce_parts[t.index] = bitcast<u32>(v);
    for (var width = {WG}u / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if t.index < width {
            let sum = bitcast<f32>(reduce_parts[t.index]) + bitcast<f32>(reduce_parts[t.index + width]);
            reduce_parts[t.index] = bitcast<u32>(sum);
        }
    }
    workgroupBarrier();
    let sum = bitcast<f32>(reduce_parts[0]);
    workgroupBarrier();
    return sum;
#endif
}

fn reduce_max_u32(t: Thread, v: u32) -> u32 {
#if SUBGROUP
    let part = subgroupMax(v);
    if t.lane == 0u {
        reduce_parts[t.subgroup] = part;
    }
    workgroupBarrier();
    var most = 0u;
    for (var i = 0u; i < t.subgroups; i++) {
        most = max(most, reduce_parts[i]);
    }
    workgroupBarrier();
    return most;
#else
    reduce_parts[t.index] = v;
    for (var width = {WG}u / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if t.index < width {
            reduce_parts[t.index] = max(reduce_parts[t.index], reduce_parts[t.index + width]);
        }
    }
    workgroupBarrier();
    let most = reduce_parts[0];
    workgroupBarrier();
    return most;
#endif
}

// Bits whose order as unsigned numbers is that of the numbers: IEEE's total order, NaN above infinity.
fn order_of(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// The number that `order_of` gave these bits.
fn of_order(order: u32) -> f32 {
    return bitcast<f32>(select(~order, order & 0x7fffffffu, (order & 0x80000000u) != 0u));
}

// The largest number; callers keep NaN out, which would be the largest.
fn reduce_max(t: Thread, v: f32) -> f32 {
    return of_order(reduce_max_u32(t, order_of(v)));
}
