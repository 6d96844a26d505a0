//! Sorting as `list.sort` does it.

use super::compare::{Order, compare};
use super::error::Error;
use super::meter::Meter;
use super::value::Value;

/// Runs up to this length are sorted as `list.sort` sorts them; so errors name the values that it would compare.
const RUN: usize = 64;

/// Sorts pairs by their keys, stably and comparing with `<` alone as Python does: `sorted(pairs, key=first, reverse=…)`.
///
/// # Errors
/// As [`compare`].
pub fn sort_by_key<T>(
    meter: &Meter,
    mut pairs: Vec<(Value, T)>,
    reverse: bool,
) -> Result<Vec<(Value, T)>, Error> {
    // Equal values keep their order, in reverse too.
    if reverse {
        pairs.reverse();
    }
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    meter.check_items(pairs.len())?;
    let less = |a: usize, b: usize| {
        meter.step(1)?;
        compare(meter, Order::Lt, &pairs[a].0, &pairs[b].0)
    };
    for run in order.chunks_mut(RUN) {
        sort_run(run, less)?;
    }
    let mut width = RUN;
    while width < order.len() {
        order = merge_runs(&order, width, less)?;
        width *= 2;
    }
    let mut pairs: Vec<Option<(Value, T)>> = pairs.into_iter().map(Some).collect();
    let mut sorted: Vec<(Value, T)> = order
        .into_iter()
        .filter_map(|at| pairs[at].take())
        .collect();
    if reverse {
        sorted.reverse();
    }
    Ok(sorted)
}

/// `count_run` and `binarysort` of `CPython`.
fn sort_run(
    run: &mut [usize],
    less: impl Fn(usize, usize) -> Result<bool, Error>,
) -> Result<(), Error> {
    if run.len() < 2 {
        return Ok(());
    }
    let mut sorted = 2;
    if less(run[1], run[0])? {
        while sorted < run.len() && less(run[sorted], run[sorted - 1])? {
            sorted += 1;
        }
        run[..sorted].reverse();
    } else {
        while sorted < run.len() && !less(run[sorted], run[sorted - 1])? {
            sorted += 1;
        }
    }
    for at in sorted..run.len() {
        let pivot = run[at];
        let (mut left, mut right) = (0, at);
        while left < right {
            let middle = left + (right - left) / 2;
            if less(pivot, run[middle])? {
                right = middle;
            } else {
                left = middle + 1;
            }
        }
        run[left..=at].rotate_right(1);
    }
    Ok(())
}

fn merge_runs(
    order: &[usize],
    width: usize,
    less: impl Fn(usize, usize) -> Result<bool, Error>,
) -> Result<Vec<usize>, Error> {
    let mut merged = Vec::with_capacity(order.len());
    for pair in order.chunks(width * 2) {
        let (mut left, mut right) = pair.split_at(width.min(pair.len()));
        while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
            if less(b, a)? {
                merged.push(b);
                right = &right[1..];
            } else {
                merged.push(a);
                left = &left[1..];
            }
        }
        merged.extend_from_slice(left);
        merged.extend_from_slice(right);
    }
    Ok(merged)
}
