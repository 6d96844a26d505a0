//! A step of generation: heads on their way to attention, and attention, in one kernel, as the CPU does them one by one.

use crate::gpu::testing::each_device;
use crate::{
    AttentionParams, AttentionSpan, Device, KeyValues, KvDType, KvStore, PAGE, PageId,
    RelativeBias, RopeAngles, RopeLayout, Tensor, Weight, attention, linear, rms_norm, rope, scale,
};

use super::{assert_close, exact_cpu, numbers, tensor};

/// A layer's attention, and sequences that grow.
#[derive(Clone, Copy, Debug)]
struct Case {
    heads: usize,
    kv_heads: usize,
    key_dim: usize,
    value_dim: usize,
    dtype: KvDType,
    /// A norm of each head; whether gains are stored less one.
    norm: Option<bool>,
    /// Numbers of a head that are rotated, 0 where there is no rotation.
    rotary: usize,
    layout: RopeLayout,
    window: Option<usize>,
    softcap: Option<f32>,
    sinks: bool,
    bias: bool,
    /// Whether a linear layer follows, which merges what splits leave.
    projected: bool,
    /// How long each sequence is at first.
    lens: &'static [usize],
    /// New tokens of each.
    new: usize,
    /// Whether there is a row of no sequence.
    idle: bool,
    /// Calls of a step besides the projection, where eight buffers are bound and where more are.
    calls: [u64; 2],
}

const CASE: Case = Case {
    heads: 4,
    kv_heads: 2,
    key_dim: 16,
    value_dim: 16,
    dtype: KvDType::F32,
    norm: Some(false),
    rotary: 16,
    layout: RopeLayout::Half,
    window: None,
    softcap: None,
    sinks: false,
    bias: false,
    projected: true,
    lens: &[40],
    new: 1,
    idle: false,
    calls: [1, 1],
};

/// Numbers of the result of the projection.
const OUT: usize = 16;

struct Layer {
    case: Case,
    device: Device,
    store: KvStore,
    /// Of each sequence.
    pages: Vec<Vec<PageId>>,
    lens: Vec<usize>,
    gains: [Tensor; 2],
    sinks: Tensor,
    table: Tensor,
    output: Weight,
}

impl Layer {
    fn new(case: Case, device: &Device) -> Self {
        let gain =
            |seed| Tensor::parameter(device, &[case.key_dim], numbers(case.key_dim, seed, 1.0));
        let width = case.heads * case.value_dim;
        let output = Weight::from_f32(&[OUT, width], &numbers(OUT * width, 3, 0.3));
        let mut layer = Self {
            case,
            device: device.clone(),
            store: KvStore::new(
                device,
                case.kv_heads,
                case.key_dim,
                case.value_dim,
                case.dtype,
            ),
            pages: vec![Vec::new(); case.lens.len()],
            lens: vec![0; case.lens.len()],
            gains: [gain(1), gain(2)],
            sinks: Tensor::parameter(device, &[case.heads], numbers(case.heads, 4, 3.0)),
            table: tensor(device, &[case.heads, 9], &numbers(9 * case.heads, 5, 1.0)),
            output: output.to_device(device).unwrap(),
        };
        // One page of each in turn, so that no sequence has pages that follow one another.
        for (i, &len) in case.lens.iter().enumerate() {
            let rows = |dim, seed| {
                let numbers = numbers(len * case.kv_heads * dim, seed, 2.0);
                tensor(device, &[len, case.kv_heads, dim], &numbers)
            };
            let seed = 50 + 2 * i as u64;
            let (k, v) = (rows(case.key_dim, seed), rows(case.value_dim, seed + 1));
            layer.room(i, len);
            layer.store.write(&layer.pages[i], 0, &k, &v, 0..len);
            layer.lens[i] = len;
        }
        layer
    }

    fn room(&mut self, sequence: usize, new: usize) {
        while self.pages[sequence].len() * PAGE < self.lens[sequence] + new {
            let (spare, own) = (self.store.alloc(), self.store.alloc());
            self.store.release(spare);
            self.pages[sequence].push(own);
        }
    }

    fn step(&mut self, seed: u64) -> Tensor {
        let case = self.case;
        let sequences = case.lens.len();
        let rows = sequences * case.new + usize::from(case.idle);
        // As a model's projections are, and not with us.
        let x = |heads: usize, dim: usize, i: u64| {
            let numbers = numbers(rows * heads * dim, 3 * seed + i, 2.0);
            scale(tensor(&self.device, &[rows, heads, dim], &numbers), 1.5)
        };
        let mut q = x(case.heads, case.key_dim, 0);
        let mut k = x(case.kv_heads, case.key_dim, 1);
        let v = x(case.kv_heads, case.value_dim, 2);
        if let Some(unit_offset) = case.norm {
            q = rms_norm(&q, Some(&self.gains[0]), 1e-6, unit_offset);
            k = rms_norm(&k, Some(&self.gains[1]), 1e-6, unit_offset);
        }
        if case.rotary > 0 {
            let positions: Vec<usize> = (self.lens.iter())
                .flat_map(|&len| len..len + case.new)
                .chain(case.idle.then_some(0))
                .collect();
            let frequencies = numbers(case.rotary / 2, 9, 1.0);
            let angles = RopeAngles::new(&frequencies, 1.25, &positions, &self.device);
            q = rope(q, &angles, case.layout);
            k = rope(k, &angles, case.layout);
        }
        for i in 0..sequences {
            self.room(i, case.new);
            let rows = i * case.new..(i + 1) * case.new;
            self.store.write(&self.pages[i], self.lens[i], &k, &v, rows);
        }
        let spans: Vec<_> = (0..sequences)
            .map(|i| AttentionSpan {
                rows: i * case.new..(i + 1) * case.new,
                position: self.lens[i],
                keys: KeyValues::Paged {
                    store: &self.store,
                    pages: &self.pages[i],
                    len: self.lens[i] + case.new,
                },
                key_position: 0,
            })
            .collect();
        let params = AttentionParams {
            scale: 1.0 / (case.key_dim as f32).sqrt(),
            causal: true,
            window: case.window,
            softcap: case.softcap,
            sinks: case.sinks.then_some(&self.sinks),
            bias: case.bias.then_some(RelativeBias {
                table: &self.table,
                zero: 8,
            }),
        };
        let attended = attention(&q, &spans, &params);
        drop((q, k, v));
        for len in &mut self.lens {
            *len += case.new;
        }
        if case.projected {
            linear(&attended, &self.output, None)
        } else {
            attended
        }
    }
}

/// Several steps, over the end of a page, each of which reads what those before have written.
fn hold(case: Case) {
    let cpu = exact_cpu();
    each_device(|device| {
        let (mut here, mut there) = (Layer::new(case, &cpu), Layer::new(case, device));
        let many = device.on_gpu().unwrap().caps().storage_bindings > 8;
        // What is scaled, and the projection.
        let calls = case.calls[usize::from(many)] + 3 + u64::from(case.projected);
        for step in 0..5 {
            let what = format!("step {step} of {case:?} on {}", device.name());
            let before = device.wgpu_counters().unwrap().dispatches;
            let found = there.step(step);
            let _ = found.to_vec().unwrap();
            let after = device.wgpu_counters().unwrap().dispatches;
            assert_close(&what, &found, &here.step(step));
            // The first has what was there before to write.
            if step > 0 {
                assert_eq!(after - before, calls, "calls of {what}");
            }
        }
    });
}

#[test]
fn steps_of_every_store_and_kind_of_head() {
    // No norm, no rotation, one of some numbers, and of neighbours; sequences of no token yet, and at the end of a page.
    hold(Case {
        lens: &[30, 0, 64],
        ..CASE
    });
    hold(Case {
        norm: None,
        dtype: KvDType::Bf16,
        rotary: 6,
        key_dim: 12,
        value_dim: 20,
        layout: RopeLayout::Interleaved,
        ..CASE
    });
    hold(Case {
        norm: None,
        rotary: 0,
        dtype: KvDType::F16,
        ..CASE
    });
    hold(Case {
        norm: Some(true),
        rotary: 8,
        dtype: KvDType::F16,
        key_dim: 8,
        ..CASE
    });
}

#[test]
fn steps_of_groups_of_every_size() {
    // One head, three that leave a place of four, eight, and more than a workgroup takes.
    for (heads, dtype) in [(2, KvDType::Bf16), (6, KvDType::F32), (16, KvDType::Bf16)] {
        hold(Case {
            heads,
            dtype,
            lens: &[35, 70],
            ..CASE
        });
    }
    hold(Case {
        heads: 20,
        kv_heads: 1,
        dtype: KvDType::F16,
        ..CASE
    });
    // As wide as there is room for; values of more units than a workgroup takes.
    hold(Case {
        heads: 3,
        kv_heads: 1,
        key_dim: 1024,
        value_dim: 520,
        rotary: 1024,
        ..CASE
    });
}

#[test]
fn steps_with_windows_sinks_and_rows_of_no_sequence() {
    for window in [1, 7, 33] {
        hold(Case {
            window: Some(window),
            softcap: Some(1.5),
            lens: &[30, 63],
            ..CASE
        });
    }
    // With norms and sinks there is a buffer too many for the least device: heads are by themselves there, in two calls.
    hold(Case {
        sinks: true,
        idle: true,
        calls: [3, 1],
        ..CASE
    });
    hold(Case {
        sinks: true,
        norm: None,
        dtype: KvDType::Bf16,
        ..CASE
    });
}

#[test]
fn steps_over_several_splits() {
    // Left to the projection; merged before it; the newest alone in its split; and without a projection.
    hold(Case {
        lens: &[700],
        ..CASE
    });
    hold(Case {
        lens: &[2046],
        dtype: KvDType::Bf16,
        calls: [2, 2],
        ..CASE
    });
    hold(Case {
        lens: &[126, 200],
        ..CASE
    });
    hold(Case {
        lens: &[126, 200],
        norm: None,
        projected: false,
        idle: true,
        calls: [2, 2],
        ..CASE
    });
    hold(Case {
        lens: &[300],
        projected: false,
        calls: [4, 2],
        ..CASE
    });
}

/// What the rule leaves to the kernels that there are for each: tokens that see each other, many sequences, a bias.
#[test]
fn steps_that_do_not_fit() {
    hold(Case {
        new: 2,
        calls: [3, 2],
        ..CASE
    });
    hold(Case {
        lens: &[3, 5, 8, 1, 9, 4, 2, 6, 7],
        calls: [3, 2],
        ..CASE
    });
    hold(Case {
        bias: true,
        calls: [3, 2],
        ..CASE
    });
}
