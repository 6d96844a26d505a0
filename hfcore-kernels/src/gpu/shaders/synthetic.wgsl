// Numbers that nobody chose: word i of a buffer is a hash of i, shaped so that what is stored there is finite and small.
//
// PATTERN tells what the words are: 0 two bf16, 1 two f16, 2 one f32, each in -size..size; 3 bits; 4 two bf16 and 5 one
// f32, each in size/2..size, for scales.

// The first word that is this dispatch's, the word behind its last, the seed, and the size as bits of an f32.
@group(0) @binding(0) var<storage, read> about: vec4<u32>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

// Chris Wellons' lowbias32: every bit of the result depends on every bit of x.
fn hash(x: u32) -> u32 {
    var h = x;
    h = (h ^ (h >> 16u)) * 0x7feb352du;
    h = (h ^ (h >> 15u)) * 0x846ca68bu;
    return h ^ (h >> 16u);
}

// In -size..size, from 16 bits.
fn number(bits: u32) -> f32 {
    return (f32(bits & 0xffffu) - 32767.5) * (bitcast<f32>(about.w) / 32768.0);
}

// In size/2..size, from 16 bits.
fn scale(bits: u32) -> f32 {
    return (f32(bits & 0xffffu) + 65536.0) * (bitcast<f32>(about.w) / 131072.0);
}

fn upper_halves(low: f32, high: f32) -> u32 {
    return (bitcast<u32>(low) >> 16u) | (bitcast<u32>(high) & 0xffff0000u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    for (var i = about.x + group.x * 256u + thread; i < about.y; i += groups.x * 256u) {
        let h = hash(i ^ about.z);
#if PATTERN == 0
        words[i] = upper_halves(number(h), number(h >> 16u));
#elif PATTERN == 1
        words[i] = pack2x16float(vec2<f32>(number(h), number(h >> 16u)));
#elif PATTERN == 2
        words[i] = bitcast<u32>(number(h));
#elif PATTERN == 3
        words[i] = h;
#elif PATTERN == 4
        words[i] = upper_halves(scale(h), scale(h >> 16u));
#else
        words[i] = bitcast<u32>(scale(h));
#endif
    }
}
