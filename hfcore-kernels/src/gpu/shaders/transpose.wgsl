// The transpose of `[R, C]`: `[C, R]`, in tiles of 16 by 16 that go through workgroup memory, so that both
// sides are read and written along their rows. Tiles are numbered along the rows of x.

struct Params {
    rows: u32,
    columns: u32,
}
#params

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

// A column wider than it is: threads of a column meet no bank twice.
var<workgroup> tile: array<f32, 272>;

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let number = group.y * groups.x + group.x;
    let across = (p.columns + 15u) / 16u;
    let left = number % across * 16u;
    let top = number / across * 16u;
    let along = thread % 16u;
    let down = thread / 16u;
    let row = top + down;
    let column = left + along;
    if row < p.rows && column < p.columns {
        tile[down * 17u + along] = x[row * p.columns + column];
    }
    workgroupBarrier();
    let out_row = left + down;
    let out_column = top + along;
    if out_row < p.columns && out_column < p.rows {
        out[out_row * p.rows + out_column] = tile[along * 17u + down];
    }
}
