//! Rotations and pages: what is written is rounded as on the CPU, and sequences that grow and part are attended to
//! as there.

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{
    AttentionParams, AttentionSpan, Device, KeyValues, KvDType, KvStore, PAGE, PageId, RopeAngles,
    RopeLayout, Tensor, Weight, attention, linear, rms_norm, rope, scale,
};

use super::attention::rounded;
use super::{assert_close, check, exact_cpu, numbers, tensor};

#[test]
fn rotations() {
    let positions = [0, 3, 1000, 77_777];
    each_device(|device| {
        for (heads, width, rotary) in [(3, 10, 6), (1, 70, 70), (2, 5, 0)] {
            let frequencies = numbers(rotary / 2, 6, 1.0);
            let x = numbers(positions.len() * heads * width, 7, 2.0);
            let angles = RopeAngles::new(&frequencies, 1.25, &positions, device);
            for layout in [RopeLayout::Half, RopeLayout::Interleaved] {
                let want: Vec<Exact> = (x.chunks_exact(width).enumerate())
                    .flat_map(|(i, x)| {
                        reference::rope(x, &frequencies, 1.25, positions[i / heads], layout)
                    })
                    .collect();
                let x = tensor(device, &[positions.len(), heads, width], &x);
                let what = format!("{layout:?} of {width} on {}", device.name());
                check(&what, &rope(x, &angles, layout), &want, 4.0);
            }
        }
    });
}

/// What is written as 16 bits is what the CPU rounds it to, each and every bit of it.
#[test]
fn numbers_of_pages_are_rounded_to_even() {
    let mut values = Vec::new();
    for exponent in (1..255_u32).step_by(3).chain(100..146) {
        for mantissa in [
            0, 1, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0x1_8000, 0x3000, 0x7f_ffff,
        ] {
            for sign in [0, 1 << 31] {
                values.push(f32::from_bits(sign | exponent << 23 | mantissa));
            }
        }
    }
    values.extend([0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    let width = 100;
    values.resize(values.len().next_multiple_of(width), 1.0);
    let rows = values.len() / width;
    each_device(|device| {
        for (dtype, heads) in [(KvDType::F32, 2), (KvDType::Bf16, 1), (KvDType::F16, 4)] {
            let mut store = KvStore::new(device, 1, 1, width, dtype);
            let pages: Vec<_> = (0..rows.div_ceil(PAGE)).map(|_| store.alloc()).collect();
            let k = Tensor::zeros(device, &[rows, 1, 1]);
            store.write(
                &pages,
                0,
                &k,
                &tensor(device, &[rows, 1, width], &values),
                0..rows,
            );
            // A query each, which sees its own key alone.
            let spans: Vec<_> = (0..rows)
                .map(|row| {
                    let keys = KeyValues::Paged {
                        store: &store,
                        pages: &pages,
                        len: rows,
                    };
                    AttentionSpan {
                        rows: row..row + 1,
                        position: row,
                        keys,
                        key_position: 0,
                    }
                })
                .collect();
            let params = AttentionParams {
                scale: 1.0,
                causal: true,
                window: Some(1),
                softcap: None,
                sinks: None,
                bias: None,
            };
            let q = Tensor::zeros(device, &[rows, heads, 1]);
            let found = attention(&q, &spans, &params).into_vec().unwrap();
            let values = values.chunks_exact(width).flat_map(|row| row.repeat(heads));
            for (found, value) in found.iter().zip(values) {
                let want = rounded(Some(dtype), value);
                let same = found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan());
                // A denormal result may be taken for zero.
                let tiny = want.abs() < f32::MIN_POSITIVE && *found == 0.0;
                assert!(
                    same || tiny,
                    "{value:e} as {dtype:?} on {}: {found:e}, not {want:e}",
                    device.name()
                );
            }
        }
    });
}

/// A layer of attention, its cache, and what it is fed: on any device.
struct Layer {
    device: Device,
    store: KvStore,
    gains: [Tensor; 2],
    /// `[OUT, HEADS * WIDTH]`.
    output: Weight,
    /// Of each sequence: its pages, and how long it is.
    sequences: Vec<(Vec<PageId>, usize)>,
}

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 12;
const OUT: usize = 16;

impl Layer {
    fn new(device: &Device, dtype: KvDType, sequences: usize) -> Self {
        let gain = |seed| Tensor::parameter(device, &[WIDTH], numbers(WIDTH, seed, 1.0));
        let output = numbers(OUT * HEADS * WIDTH, 3, 0.3);
        let output = Weight::from_f32(&[OUT, HEADS * WIDTH], &output);
        Self {
            output: output.to_device(device).unwrap(),
            device: device.clone(),
            store: KvStore::new(device, KV_HEADS, WIDTH, WIDTH, dtype),
            gains: [gain(1), gain(2)],
            sequences: vec![(Vec::new(), 0); sequences],
        }
    }

    /// Pages for `new` more tokens of a sequence, written by it alone.
    fn room(&mut self, sequence: usize, new: usize) {
        let (pages, len) = &mut self.sequences[sequence];
        for (i, page) in pages.iter_mut().enumerate().skip(*len / PAGE) {
            if self.store.ref_count(*page) > 1 {
                let own = self
                    .store
                    .copy_page(*page, if i == *len / PAGE { *len % PAGE } else { 0 });
                self.store.release(*page);
                *page = own;
            }
        }
        while pages.len() * PAGE < *len + new {
            pages.push(self.store.alloc());
        }
    }

    /// `fork` of a cache: sequence `to` is as `from` from here on.
    fn fork(&mut self, from: usize, to: usize) {
        for &page in &self.sequences[from].0 {
            self.store.retain(page);
        }
        let copy = self.sequences[from].clone();
        let old = std::mem::replace(&mut self.sequences[to], copy);
        old.0.into_iter().for_each(|page| self.store.release(page));
    }

    /// Keys and values of `new` more tokens of a sequence, to which nothing attends yet.
    fn remember(&mut self, sequence: usize, new: usize, seed: u64) {
        let x = |seed| {
            let x = numbers(new * KV_HEADS * WIDTH, seed, 2.0);
            tensor(&self.device, &[new, KV_HEADS, WIDTH], &x)
        };
        let (k, v) = (x(seed), x(seed + 1));
        self.room(sequence, new);
        let (pages, len) = &mut self.sequences[sequence];
        self.store.write(pages, *len, &k, &v, 0..new);
        *len += new;
    }

    /// As many new tokens of each sequence as `new` says.
    fn step(&mut self, new: &[usize], seed: u64) -> Tensor {
        let rows: usize = new.iter().sum();
        let x = |heads: usize, i: u64| {
            tensor(
                &self.device,
                &[rows, heads, WIDTH],
                &numbers(rows * heads * WIDTH, 3 * seed + i, 2.0),
            )
        };
        let (q, k, v) = (x(HEADS, 0), x(KV_HEADS, 1), x(KV_HEADS, 2));
        // As a model's projections are, and not with us.
        let [q, k, v] = [q, k, v].map(|x| scale(x, 1.5));
        let positions: Vec<usize> = (self.sequences.iter().zip(new))
            .flat_map(|((_, len), new)| *len..len + new)
            .collect();
        let angles = RopeAngles::new(
            &numbers(WIDTH / 2 - 1, 9, 1.0),
            1.0,
            &positions,
            &self.device,
        );
        let [q, k] = [(q, &self.gains[0]), (k, &self.gains[1])].map(|(x, gain)| {
            rope(
                rms_norm(&x, Some(gain), 1e-6, true),
                &angles,
                RopeLayout::Half,
            )
        });
        let mut start = 0;
        for (i, &new) in new.iter().enumerate() {
            self.room(i, new);
            let (pages, len) = &self.sequences[i];
            self.store.write(pages, *len, &k, &v, start..start + new);
            start += new;
        }
        let mut start = 0;
        let mut spans = Vec::new();
        for ((pages, len), &new) in self.sequences.iter().zip(new) {
            let keys = KeyValues::Paged {
                store: &self.store,
                pages,
                len: len + new,
            };
            spans.push(AttentionSpan {
                rows: start..start + new,
                position: *len,
                keys,
                key_position: 0,
            });
            start += new;
        }
        let params = AttentionParams {
            scale: 0.3,
            causal: true,
            window: None,
            softcap: None,
            sinks: None,
            bias: None,
        };
        let out = linear(&attention(&q, &spans, &params), &self.output, None);
        for ((_, len), new) in self.sequences.iter_mut().zip(new) {
            *len += new;
        }
        out
    }
}

/// Prompts, then tokens of several sequences one by one, past the ends of pages and of the first split: each
/// step as the CPU does it, and after the first no plan is made, and nothing else.
#[test]
fn sequences_grow_and_keep_their_plan() {
    each_device(|device| {
        let mut here = Layer::new(&exact_cpu(), KvDType::F32, 3);
        let mut there = Layer::new(device, KvDType::F32, 3);
        let step = |here: &mut Layer, there: &mut Layer, new: &[usize], seed| {
            let what = format!("step {seed} on {}", device.name());
            assert_close(&what, &there.step(new, seed), &here.step(new, seed));
        };
        // Then past the splits that are left to the projection.
        for (phase, first) in [[250, 20, 1], [1, 1, 9]].into_iter().enumerate() {
            let seed = 100 * phase as u64;
            if phase == 1 {
                here.remember(0, 1400, 77);
                there.remember(0, 1400, 77);
            }
            step(&mut here, &mut there, &first, seed);
            for seed in seed + 1..seed + 5 {
                step(&mut here, &mut there, &[1, 1, 1], seed);
            }
            let before = device.wgpu_counters().unwrap();
            for seed in seed + 5..seed + 14 {
                step(&mut here, &mut there, &[1, 1, 1], seed);
            }
            let after = device.wgpu_counters().unwrap();
            assert_eq!(after.created_objects, before.created_objects);
            assert_eq!(after.plans, before.plans);
            assert_eq!(after.submits - before.submits, 9);
            // What is scaled; heads and attention; its merge and the projection.
            let calls = 3 + 1 + phase as u64 + 1;
            assert_eq!(after.dispatches - before.dispatches, 9 * calls);
        }
    });
}

/// Sequences that part and go their own ways, as beams do: pages are copied, freed and written again, a store
/// grows, and every step is as on the CPU.
#[test]
fn sequences_part() {
    each_device(|device| {
        for dtype in [KvDType::F32, KvDType::Bf16] {
            let mut here = Layer::new(&exact_cpu(), dtype, 3);
            let mut there = Layer::new(device, dtype, 3);
            let forks = numbers(120, 8, 1.5);
            let mut step = |new: &[usize], seed: u64, forks: &[f32], read: bool| {
                for pair in forks.chunks_exact(2) {
                    let [from, to] =
                        [0, 1].map(|i| usize::from(pair[i] > -0.5) + usize::from(pair[i] > 0.5));
                    if from != to {
                        here.fork(from, to);
                        there.fork(from, to);
                    }
                }
                let (want, found) = (here.step(new, seed), there.step(new, seed));
                if read {
                    assert_close(
                        &format!("step {seed}, {dtype:?} on {}", device.name()),
                        &found,
                        &want,
                    );
                }
            };
            step(&[40, 70, 31], 0, &[], true);
            for (seed, forks) in (1..).zip(forks.chunks_exact(10)) {
                // Some steps run together.
                step(&[1, 1, 1], seed, forks, seed % 3 != 1);
            }
            // Longer than there was room for.
            step(&[200, 300, 100], 50, &forks[..4], true);
            step(&[1, 1, 1], 51, &forks[4..8], true);
        }
    });
}

/// Pages copied from copies, from what was just written and to what was given back, with nothing read between.
#[test]
fn copies_come_in_their_order() {
    let width = 100;
    each_device(|device| {
        let run = |device: &Device| {
            let mut store = KvStore::new(device, 1, 1, width, KvDType::Bf16);
            let k = Tensor::zeros(device, &[PAGE, 1, 1]);
            let v = |seed| tensor(device, &[PAGE, 1, width], &numbers(PAGE * width, seed, 1.0));
            let (first, second) = (v(1), v(2));
            let a = store.alloc();
            store.write(&[a], 0, &k, &first, 0..20);
            let b = store.copy_page(a, 20);
            let c = store.copy_page(b, 20);
            store.write(&[a], 3, &k, &second, 0..9);
            store.write(&[b], 5, &k, &second, 9..15);
            let d = store.copy_page(b, 20);
            // The page of `c` is given back, and used again for a copy of another.
            let e = store.copy_page(c, 20);
            store.release(c);
            let f = store.copy_page(d, 20);
            // So is what was copied from.
            let g = store.copy_page(e, 20);
            store.release(e);
            let h = store.copy_page(a, 20);
            // And what was written.
            store.write(&[d], 0, &k, &second, 15..32);
            store.release(d);
            let d = store.alloc();
            store.write(&[d], 2, &k, &second, 0..15);
            let pages = [a, b, d, f, g, h];
            let spans: Vec<_> = (pages.iter().enumerate())
                .flat_map(|(i, page)| (0..20).map(move |position| (i, page, position)))
                .map(|(i, page, position)| AttentionSpan {
                    rows: 20 * i + position..20 * i + position + 1,
                    position,
                    keys: KeyValues::Paged {
                        store: &store,
                        pages: std::slice::from_ref(page),
                        len: 20,
                    },
                    key_position: 0,
                })
                .collect();
            let params = AttentionParams {
                scale: 1.0,
                causal: true,
                window: Some(1),
                softcap: None,
                sinks: None,
                bias: None,
            };
            attention(&Tensor::zeros(device, &[120, 1, 1]), &spans, &params)
        };
        let before = device.wgpu_counters().unwrap().dispatches;
        assert_close(&device.name(), &run(device), &run(&exact_cpu()));
        // What depends on another is a call of its own, whatever order a driver has within one: five of copies, four
        // of writes, and attention.
        let after = device.wgpu_counters().unwrap().dispatches;
        assert_eq!(after - before, 10);
    });
}

/// Heads that do not fit one binding together lie in several, and move there as the store grows.
#[test]
fn heads_are_split_over_bindings() {
    let (heads, width) = (6, 96);
    each_device(|device| {
        let run = |device: &Device| -> Vec<Tensor> {
            // 12 KiB of each head of a page: of 16 pages five heads fit 1 MiB, of 32 two.
            let mut store = KvStore::new(device, heads, width, width, KvDType::Bf16);
            let mut pages: Vec<PageId> = Vec::new();
            let step = |(seed, new): (u64, usize)| {
                let x = |i| {
                    tensor(
                        device,
                        &[new, heads, width],
                        &numbers(new * heads * width, 3 * seed + i, 1.0),
                    )
                };
                let len = pages.len() * PAGE;
                pages.extend((0..new.div_ceil(PAGE)).map(|_| store.alloc()));
                store.write(&pages, len, &x(0), &x(1), 0..new);
                let keys = KeyValues::Paged {
                    store: &store,
                    pages: &pages,
                    len: len + new,
                };
                let rows = new - 3..new;
                let span = AttentionSpan {
                    rows,
                    position: len + new - 3,
                    keys,
                    key_position: 0,
                };
                let params = AttentionParams {
                    scale: 0.1,
                    causal: true,
                    window: None,
                    softcap: None,
                    sinks: None,
                    bias: None,
                };
                attention(&x(2), &[span], &params)
            };
            [(1, 320), (2, 320)].into_iter().map(step).collect()
        };
        for (found, want) in run(device).iter().zip(run(&exact_cpu())) {
            assert_close(&device.name(), found, &want);
        }
    });
}
