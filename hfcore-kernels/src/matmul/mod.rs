//! Matrix products with a weight.

use crate::device::Backend;
use crate::isa::multiversion;
use crate::{Tensor, Weight};

/// `x` `[.., I]` times the transpose of `w` `[O, I]`, plus `bias` `[O]`: `[.., O]`.
///
/// Reference: `torch.nn.functional.linear`.
///
/// # Panics
/// If the shapes disagree.
#[must_use]
#[track_caller]
pub fn linear(x: &Tensor, w: &Weight, bias: Option<&Tensor>) -> Tensor {
    let &[outputs, inputs] = w.shape() else {
        panic!("linear: a weight [O, I], found {:?}", w.shape())
    };
    assert_eq!(
        x.width(),
        inputs,
        "linear: x {:?} and weight {:?}",
        x.shape(),
        w.shape()
    );
    if let Some(bias) = bias {
        assert_eq!(
            bias.shape(),
            [outputs],
            "linear: bias {:?} and weight {:?}",
            bias.shape(),
            w.shape()
        );
    }
    let mut shape = x.shape().to_vec();
    *shape
        .last_mut()
        .expect("a tensor with a width has a dimension") = outputs;
    let rows = x.rows();
    let Backend::Cpu(cpu) = x.device().backend();
    let columns = std::sync::Mutex::new(vec![0.0; rows * outputs]);
    let size = w.dtype().size() * inputs;
    cpu.pool.for_each(outputs, 64, |range| {
        let part = Weight::new(
            w.dtype(),
            &[range.len(), inputs],
            w.bytes()[range.start * size..range.end * size]
                .to_vec()
                .into(),
        );
        let wide = part.to_f32();
        let mut out = vec![0.0; rows * range.len()];
        for (m, row) in x.data().chunks_exact(inputs.max(1)).enumerate() {
            for (n, w) in wide.chunks_exact(inputs.max(1)).enumerate() {
                out[m * range.len() + n] =
                    dot(cpu.isa, row, w) + bias.map_or(0.0, |b| b.data()[range.start + n]);
            }
        }
        let mut columns = columns
            .lock()
            .expect("no thread panics while it holds the lock");
        for m in 0..rows {
            columns[m * outputs..][range.clone()]
                .copy_from_slice(&out[m * range.len()..][..range.len()]);
        }
    });
    Tensor::from_vec(
        x.device(),
        &shape,
        columns
            .into_inner()
            .expect("no thread panics while it holds the lock"),
    )
}

multiversion! { fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body }

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let (ac, at) = a.as_chunks::<64>();
    let (bc, bt) = b.as_chunks::<64>();
    let mut sums = [0.0f32; 64];
    for (a, b) in ac.iter().zip(bc) {
        for i in 0..64 {
            sums[i] += a[i] * b[i];
        }
    }
    for ((s, a), b) in sums.iter_mut().zip(at).zip(bt) {
        *s += a * b;
    }
    sums.iter().sum()
}
