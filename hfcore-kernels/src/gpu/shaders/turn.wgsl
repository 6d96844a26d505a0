// The rotation of pairs of numbers of a head: which two make number `i`. Of the kernel's Params `rotary` is how many are
// rotated, and a flag, 4, says that pairs are neighbours.
//
// Su et al. 2021, https://arxiv.org/abs/2104.09864.

struct Turn {
    // The numbers of the pair.
    a: u32,
    b: u32,
    // Which pair: of the cosines, and of the sines after them.
    pair: u32,
    // Whether `i` is the second: `b cos + a sin`, where the first is `a cos - b sin`.
    second: bool,
}

fn turn_of(i: u32) -> Turn {
    let half = p.rotary / 2u;
    if (p.flags & 4u) != 0u {
        let pair = i / 2u;
        return Turn(2u * pair, 2u * pair + 1u, pair, (i & 1u) == 1u);
    }
    let pair = i % half;
    return Turn(pair, pair + half, pair, i >= half);
}
