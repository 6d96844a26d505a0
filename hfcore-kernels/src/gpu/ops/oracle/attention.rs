//! Attention against its definition: every store, every option, few queries and many.

use std::ops::Range;

use crate::gpu::testing::each_device;
use crate::reference::{self, Exact};
use crate::{
    AttentionParams, AttentionSpan, Device, KeyValues, KvDType, KvStore, PAGE, PageId,
    RelativeBias, Tensor, attention, scale,
};

use super::{assert_close, check, numbers, tensor};

/// Sequences and how they are attended to.
#[derive(Clone, Debug)]
struct Case {
    heads: usize,
    kv_heads: usize,
    key_dim: usize,
    value_dim: usize,
    /// Of each sequence: queries, keys, position of the first query, position of the first key.
    spans: Vec<[usize; 4]>,
    causal: bool,
    window: Option<usize>,
    softcap: Option<f32>,
    sinks: bool,
    /// Columns of the table, and the one of distance 0.
    bias: Option<(usize, usize)>,
    /// `None`: dense, where all sequences lie in one tensor each for keys and values.
    kv: Option<KvDType>,
}

/// Few queries and many of them; none, one and several pages; first pages given back.
const SPANS: [[usize; 4]; 6] = [
    [5, 5, 0, 0],
    [1, 70, 69, 0],
    [20, 45, 25, 0],
    [2, 33, 95, 64],
    [2, 0, 0, 0],
    [9, 40, 70, 40],
];

const CASE: Case = Case {
    heads: 4,
    kv_heads: 2,
    key_dim: 16,
    value_dim: 16,
    spans: Vec::new(),
    causal: true,
    window: None,
    softcap: None,
    sinks: false,
    bias: None,
    kv: Some(KvDType::F32),
};

/// The numbers of a [`Case`].
struct Numbers {
    q: Vec<f32>,
    /// Keys and values of each span.
    kv: Vec<[Vec<f32>; 2]>,
    sinks: Vec<f32>,
    table: Vec<f32>,
}

pub(super) fn rounded(kv: Option<KvDType>, x: f32) -> f32 {
    match kv {
        Some(KvDType::Bf16) => half::bf16::from_f32(x).to_f32(),
        Some(KvDType::F16) => half::f16::from_f32(x).to_f32(),
        _ => x,
    }
}

impl Case {
    fn spans(&self) -> &[[usize; 4]] {
        if self.spans.is_empty() {
            &SPANS
        } else {
            &self.spans
        }
    }

    fn rows(&self) -> usize {
        self.spans().iter().map(|span| span[0]).sum()
    }

    fn numbers(&self) -> Numbers {
        let kv = |(seed, span): (u64, &[usize; 4])| {
            [(1, self.key_dim), (2, self.value_dim)]
                .map(|(i, dim)| numbers(span[1] * self.kv_heads * dim, 10 * seed + i, 2.0))
        };
        Numbers {
            q: numbers(self.rows() * self.heads * self.key_dim, 3, 2.0),
            kv: (20..).zip(self.spans()).map(kv).collect(),
            sinks: numbers(self.heads, 4, 3.0),
            table: numbers(self.heads * self.bias.map_or(0, |(width, _)| width), 5, 3.0),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.key_dim as f32).sqrt()
    }

    /// By definition, with numbers as pages keep them.
    fn want(&self, numbers: &Numbers) -> Vec<Exact> {
        let mut want = Vec::new();
        let mut row = 0;
        for (&[queries, keys, position, key_position], kv) in self.spans().iter().zip(&numbers.kv) {
            let [k, v] = kv
                .each_ref()
                .map(|x| -> Vec<f32> { x.iter().map(|&x| rounded(self.kv, x)).collect() });
            for query in position..position + queries {
                for head in 0..self.heads {
                    let kv_head = head / (self.heads / self.kv_heads);
                    let at = |j: usize| j * self.kv_heads + kv_head;
                    let bias = |key: usize| {
                        self.bias.map_or(0.0, |(width, zero)| {
                            let column = (key + zero).saturating_sub(query).min(width - 1);
                            numbers.table[head * width + column]
                        })
                    };
                    let seen: Vec<_> = (0..keys)
                        .filter(|j| {
                            reference::sees(query, key_position + j, self.causal, self.window)
                        })
                        .map(|j| {
                            let key = &k[at(j) * self.key_dim..][..self.key_dim];
                            let value = &v[at(j) * self.value_dim..][..self.value_dim];
                            (key, value, bias(key_position + j))
                        })
                        .collect();
                    let q = &numbers.q[(row * self.heads + head) * self.key_dim..][..self.key_dim];
                    let sink = self.sinks.then(|| numbers.sinks[head]);
                    let exact = reference::attention(
                        q,
                        &seen,
                        self.value_dim,
                        self.scale(),
                        self.softcap,
                        sink,
                    );
                    want.extend(exact);
                }
                row += 1;
            }
        }
        want
    }

    /// All sequences in a store, with pages that are not in order, and NaN where nothing is written.
    fn store(
        &self,
        device: &Device,
        dtype: KvDType,
        kv: &[[Tensor; 2]],
    ) -> (KvStore, Vec<Vec<PageId>>) {
        let mut store = KvStore::new(device, self.kv_heads, self.key_dim, self.value_dim, dtype);
        let total: usize = self.spans().iter().map(|span| span[1].div_ceil(PAGE)).sum();
        let mut free: Vec<PageId> = (0..total).map(|_| store.alloc()).collect();
        let nan = |dim| {
            let numbers = vec![f32::NAN; total * PAGE * self.kv_heads * dim];
            Tensor::from_vec(device, &[total * PAGE, self.kv_heads, dim], numbers)
        };
        store.write(
            &free,
            0,
            &nan(self.key_dim),
            &nan(self.value_dim),
            0..total * PAGE,
        );
        let mut pages: Vec<Vec<PageId>> = Vec::new();
        for (span, [k, v]) in self.spans().iter().zip(kv) {
            let own = free.split_off(free.len() - span[1].div_ceil(PAGE));
            let own: Vec<_> = own.into_iter().rev().collect();
            // In two parts, as a prompt and what follows it.
            let first = span[1] / 3;
            store.write(&own, 0, k, v, 0..first);
            store.write(&own, first, k, v, first..span[1]);
            pages.push(own);
        }
        (store, pages)
    }

    fn found(&self, numbers: &Numbers, device: &Device) -> Tensor {
        let q = tensor(device, &[self.rows(), self.heads, self.key_dim], &numbers.q);
        let dims = [self.key_dim, self.value_dim];
        let kv = |shared: bool| -> Vec<[Tensor; 2]> {
            let of = |rows: usize, i: usize, x: &[f32]| {
                tensor(device, &[rows, self.kv_heads, dims[i]], x)
            };
            if shared {
                let rows = self.spans().iter().map(|span| span[1]).sum();
                let all = |i: usize| -> Vec<f32> {
                    numbers.kv.iter().flat_map(|kv| kv[i].clone()).collect()
                };
                return vec![[0, 1].map(|i| of(rows, i, &all(i)))];
            }
            let each = self.spans().iter().zip(&numbers.kv);
            each.map(|(span, kv)| [0, 1].map(|i| of(span[1], i, &kv[i])))
                .collect()
        };
        let kv = kv(self.kv.is_none());
        let paged = self.kv.map(|dtype| self.store(device, dtype, &kv));
        let (mut row, mut key) = (0, 0);
        let mut spans = Vec::new();
        for (i, &[queries, len, position, key_position]) in self.spans().iter().enumerate() {
            let keys = match &paged {
                Some((store, pages)) => KeyValues::Paged {
                    store,
                    pages: &pages[i],
                    len,
                },
                None => KeyValues::Dense {
                    k: &kv[0][0],
                    v: &kv[0][1],
                    rows: key..key + len,
                },
            };
            spans.push(AttentionSpan {
                rows: row..row + queries,
                position,
                keys,
                key_position,
            });
            row += queries;
            key += len;
        }
        let sinks = tensor(device, &[self.heads], &numbers.sinks);
        let width = self.bias.map_or(0, |(width, _)| width);
        let table = tensor(device, &[self.heads, width], &numbers.table);
        let params = AttentionParams {
            scale: self.scale(),
            causal: self.causal,
            window: self.window,
            softcap: self.softcap,
            sinks: self.sinks.then_some(&sinks),
            bias: self.bias.map(|(_, zero)| RelativeBias {
                table: &table,
                zero,
            }),
        };
        attention(&q, &spans, &params)
    }

    /// Hold a device to the definition.
    fn check(&self, device: &Device) {
        let numbers = self.numbers();
        let what = format!("{self:?} on {}", device.name());
        check(
            &what,
            &self.found(&numbers, device),
            &self.want(&numbers),
            16.0,
        );
    }
}

#[test]
fn attention_of_every_store_and_option() {
    let cases = [
        CASE,
        Case {
            causal: false,
            ..CASE
        },
        Case {
            window: Some(7),
            softcap: Some(1.5),
            ..CASE
        },
        Case {
            window: Some(64),
            sinks: true,
            ..CASE
        },
        Case {
            window: Some(0),
            causal: false,
            ..CASE
        },
        Case {
            bias: Some((9, 4)),
            window: Some(9),
            causal: false,
            ..CASE
        },
        Case {
            bias: Some((300, 299)),
            softcap: Some(2.0),
            sinks: true,
            ..CASE
        },
    ];
    // Heads of all widths and groups; numbers that are not whole vectors, units or chunks.
    let dense = |case: Case| Case {
        heads: 7,
        kv_heads: 1,
        key_dim: 10,
        value_dim: 37,
        kv: None,
        ..case
    };
    let wide = |heads, kv_heads, width, kv| Case {
        heads,
        kv_heads,
        key_dim: width,
        value_dim: width,
        kv: Some(kv),
        sinks: true,
        ..CASE
    };
    // Few, as a software driver takes a second for each kernel.
    each_device(|device| {
        for case in &cases {
            case.check(device);
            dense(case.clone()).check(device);
        }
        wide(3, 3, 104, KvDType::Bf16).check(device);
        wide(4, 1, 256, KvDType::F16).check(device);
    });
}

/// Contexts of several splits, as many as there may be and larger ones, and of several blocks.
#[test]
fn attention_over_many_keys() {
    each_device(|device| {
        for window in [None, Some(530)] {
            let spans = vec![
                [1, 1300, 1299, 0],
                [3, 600, 1111, 514],
                [2, 700, 1730, 1056],
                [12, 300, 290, 0],
            ];
            Case {
                spans,
                window,
                sinks: true,
                ..CASE
            }
            .check(device);
        }
        // As many splits as fill a GPU, each longer than a block.
        let one = Case {
            heads: 128,
            kv_heads: 64,
            key_dim: 2,
            value_dim: 2,
            ..CASE
        };
        Case {
            spans: vec![[1, 1300, 1299, 0]],
            ..one
        }
        .check(device);
    });
}

/// Sequences whose keys are in tensors of their own, as an encoder leaves them, and rows of no sequence; and what is
/// not a number stays in its row.
#[test]
fn idle_rows_get_zeros_and_sources_are_kept_apart() {
    let (heads, key_dim, value_dim) = (7, 10, 37);
    each_device(|device| {
        let run = |device: &Device| {
            let of = |rows: usize, heads: usize, dim, seed| {
                tensor(
                    device,
                    &[rows, heads, dim],
                    &numbers(rows * heads * dim, seed, 2.0),
                )
            };
            // Not a number: of one head of a row of few, and of one of many.
            let mut q = numbers(14 * heads * key_dim, 1, 2.0);
            q[(2 * heads + 3) * key_dim] = f32::NAN;
            q[(7 * heads + 1) * key_dim + 9] = f32::NAN;
            let q = tensor(device, &[14, heads, key_dim], &q);
            let (k, v) = (of(5, 1, key_dim, 2), of(5, 1, value_dim, 3));
            let (k2, v2) = (of(40, 1, key_dim, 4), of(40, 1, value_dim, 5));
            let span = |rows: Range<usize>, keys| AttentionSpan {
                rows,
                position: 0,
                keys,
                key_position: 0,
            };
            let few = KeyValues::Dense {
                k: &k,
                v: &v,
                rows: 0..5,
            };
            let many = KeyValues::Dense {
                k: &k2,
                v: &v2,
                rows: 3..40,
            };
            let spans = [span(1..3, few), span(4..4, many.clone()), span(4..13, many)];
            let params = AttentionParams {
                scale: 0.3,
                causal: false,
                window: None,
                softcap: None,
                sinks: None,
                bias: None,
            };
            attention(&q, &spans, &params)
        };
        // What lies in the buffers of a device from before is not zeros.
        let x = Tensor::from_vec(
            device,
            &[14 * heads * value_dim],
            vec![9.0; 14 * heads * value_dim],
        );
        for _ in 0..4 {
            scale(scale(x.clone(), 2.0), 2.0).into_vec().unwrap();
        }
        assert_close(&device.name(), &run(device), &run(&Device::cpu()));
    });
}
