// The parts of attention split over its keys, merged.
//
// `parts`: of each split and row the values `[H, Dv]`, sums weighted relative to the split's largest score; then of each
// split and row `[H]` pairs of that score and the sum of the weights. There is room for `splits`, and a word
// of the step says how many there are. The rows are those of the entries of `words`, in their order.
//
// Grid: 128 numbers of a row each; queries.
struct Params {
    rows: u32,
    heads: u32,
    value_dim: u32,
    splits: u32,
}

@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read_write> whole: array<f32>;
#params

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let width = p.heads * p.value_dim;
    let column = group.x * 128u + lane;
    if column >= width {
        return;
    }
    let head = column / p.value_dim;
    let step = p.rows * width;
    let statistics = p.splits * step;
    var most = -3.0e38;
    for (var s = 0u; s < words[2]; s++) {
        most = max(most, parts[statistics + 2u * ((s * p.rows + group.y) * p.heads + head)]);
    }
    var value = 0.0;
    var sum = 0.0;
    for (var s = 0u; s < words[2]; s++) {
        let at = statistics + 2u * ((s * p.rows + group.y) * p.heads + head);
        // Of a split without keys, values and sum are 0.
        let factor = exp(parts[at] - most);
        value += factor * parts[s * step + group.y * width + column];
        sum += factor * parts[at + 1u];
    }
    let row = words[4u + 8u * group.y];
    whole[row * width + column] = select(value / sum, 0.0, sum == 0.0);
}
