//! Attention against its definition, and against itself: pages and dense keys, prompts and single tokens.

use hfcore_kernels::reference::{self, Exact};
use hfcore_kernels::{
    AttentionParams, AttentionSpan, CpuOptions, Device, Isa, KeyValues, KvDType, KvStore, PAGE,
    PageId, Precision, RelativeBias, Tensor, attention, concat_rows, gather_rows,
};

use crate::{Random, Same, check, disagreement, tensor};

/// Devices that round nothing.
fn devices() -> Vec<(Isa, usize, Device)> {
    crate::devices_with(&CpuOptions::default().with_precision(Precision::Strict))
}

/// Devices that round queries and weights to `bf16` where keys and values are.
fn rounding_devices() -> Vec<(Isa, usize, Device)> {
    let mut devices = crate::devices_with(&CpuOptions::default());
    devices.retain(|(isa, ..)| isa.name() == "avx512bf16");
    devices
}

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
    /// `None`: dense.
    kv: Option<KvDType>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            heads: 4,
            kv_heads: 2,
            key_dim: 16,
            value_dim: 16,
            spans: vec![[5, 5, 0, 0], [1, 70, 69, 0], [3, 40, 37, 0]],
            causal: true,
            window: None,
            softcap: None,
            sinks: false,
            bias: None,
            kv: None,
        }
    }
}

/// The numbers of a [`Case`].
struct Numbers {
    q: Vec<f32>,
    /// Keys and values of each span.
    kv: Vec<[Vec<f32>; 2]>,
    sinks: Vec<f32>,
    table: Vec<f32>,
}

impl Case {
    fn numbers(&self, seed: u64) -> Numbers {
        let mut random = Random(seed);
        let rounded = |mut x: Vec<f32>| {
            for v in &mut x {
                *v = match self.kv {
                    Some(KvDType::Bf16) => half::bf16::from_f32(*v).to_f32(),
                    Some(KvDType::F16) => half::f16::from_f32(*v).to_f32(),
                    _ => *v,
                };
            }
            x
        };
        let rows: usize = self.spans.iter().map(|span| span[0]).sum();
        Numbers {
            q: random.vec(rows * self.heads * self.key_dim, 2.0),
            kv: (self.spans.iter())
                .map(|span| {
                    [self.key_dim, self.value_dim]
                        .map(|dim| rounded(random.vec(span[1] * self.kv_heads * dim, 2.0)))
                })
                .collect(),
            sinks: random.vec(self.heads, 3.0),
            table: random.vec(self.heads * self.bias.map_or(0, |(width, _)| width), 3.0),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.key_dim as f32).sqrt()
    }

    fn want(&self, numbers: &Numbers) -> Vec<Exact> {
        let mut want = Vec::new();
        let mut row = 0;
        for (&[queries, keys, position, key_position], [k, v]) in self.spans.iter().zip(&numbers.kv)
        {
            for query in position..position + queries {
                for head in 0..self.heads {
                    let kv_head = head / (self.heads / self.kv_heads);
                    let at = |j: usize| j * self.kv_heads + kv_head;
                    let bias = |key: usize| {
                        let Some((width, zero)) = self.bias else {
                            return 0.0;
                        };
                        let column = (key + zero).saturating_sub(query).min(width - 1);
                        numbers.table[head * width + column]
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
                    want.extend(reference::attention(
                        q,
                        &seen,
                        self.value_dim,
                        self.scale(),
                        self.softcap,
                        sink,
                    ));
                }
                row += 1;
            }
        }
        want
    }

    /// The attention as the crate computes it, all spans at once.
    fn found(&self, numbers: &Numbers, device: &Device) -> Tensor {
        let rows = self.spans.iter().map(|span| span[0]).sum();
        let q = tensor(device, &[rows, self.heads, self.key_dim], &numbers.q);
        let kv: Vec<[Tensor; 2]> = (self.spans.iter().zip(&numbers.kv))
            .map(|(span, [k, v])| {
                [(k, self.key_dim), (v, self.value_dim)]
                    .map(|(x, dim)| tensor(device, &[span[1], self.kv_heads, dim], x))
            })
            .collect();
        let mut pages: Vec<Vec<PageId>> = Vec::new();
        let store = self.kv.map(|dtype| {
            let mut store =
                KvStore::new(device, self.kv_heads, self.key_dim, self.value_dim, dtype);
            // Pages that are not in order, and full of NaN where nothing is written.
            let total: usize = self.spans.iter().map(|span| span[1].div_ceil(PAGE)).sum();
            let mut free: Vec<PageId> = (0..total).map(|_| store.alloc()).collect();
            let nan = |dim| {
                Tensor::from_vec(
                    device,
                    &[PAGE, self.kv_heads, dim],
                    vec![f32::NAN; PAGE * self.kv_heads * dim],
                )
            };
            for &page in &free {
                store.write(
                    &[page],
                    0,
                    &nan(self.key_dim),
                    &nan(self.value_dim),
                    0..PAGE,
                );
            }
            for (span, [k, v]) in self.spans.iter().zip(&kv) {
                let own: Vec<PageId> = (0..span[1].div_ceil(PAGE))
                    .map(|_| free.pop().expect("as many as are needed"))
                    .collect();
                // In two parts, as a prompt and what follows it.
                let first = span[1] / 3;
                store.write(&own, 0, k, v, 0..first);
                store.write(&own, first, k, v, first..span[1]);
                pages.push(own);
            }
            store
        });
        let mut start = 0;
        let mut spans = Vec::new();
        for (i, &[queries, len, position, key_position]) in self.spans.iter().enumerate() {
            let keys = match &store {
                Some(store) => KeyValues::Paged {
                    store,
                    pages: &pages[i],
                    len,
                },
                None => KeyValues::Dense {
                    k: &kv[i][0],
                    v: &kv[i][1],
                    rows: 0..len,
                },
            };
            spans.push(AttentionSpan {
                rows: start..start + queries,
                position,
                keys,
                key_position,
            });
            start += queries;
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

    /// Hold the crate to the definition of queries that are `bf16`, and weights that may be off by half a unit in
    /// the last of their 8 places.
    fn check_rounded(&self, devices: &[(Isa, usize, Device)]) {
        let mut numbers = self.numbers(13);
        for q in &mut numbers.q {
            *q = half::bf16::from_f32(*q).to_f32();
        }
        let want = self.want(&numbers);
        let units = 8.0 + f64::from(1 << (24 - 9));
        let what = format!("rounded {self:?}");
        check(devices, &what, &want, units, Same::Threads, |device| {
            self.found(&numbers, device)
        });
    }

    /// Hold the crate to the definition.
    fn check(&self, devices: &[(Isa, usize, Device)]) {
        let numbers = self.numbers(11);
        let want = self.want(&numbers);
        check(
            devices,
            &format!("{self:?}"),
            &want,
            8.0,
            Same::Fused,
            |device| self.found(&numbers, device),
        );
    }
}

#[test]
fn attention_of_all_widths() {
    let devices = devices();
    for dim in [1, 8, 16, 64, 80, 96, 128, 256] {
        for kv in [
            None,
            Some(KvDType::F32),
            Some(KvDType::Bf16),
            Some(KvDType::F16),
        ] {
            Case {
                key_dim: dim,
                value_dim: dim,
                kv,
                ..Case::default()
            }
            .check(&devices);
        }
    }
    for kv in [None, Some(KvDType::F32), Some(KvDType::Bf16)] {
        Case {
            key_dim: 24,
            value_dim: 40,
            kv,
            ..Case::default()
        }
        .check(&devices);
        Case {
            key_dim: 64,
            value_dim: 5,
            kv,
            ..Case::default()
        }
        .check(&devices);
    }
}

#[test]
fn attention_of_all_groups() {
    let devices = devices();
    for (heads, kv_heads) in [
        (1, 1),
        (3, 3),
        (8, 1),
        (6, 2),
        (7, 1),
        (5, 5),
        (71, 1),
        (12, 4),
    ] {
        for kv in [None, Some(KvDType::F32)] {
            Case {
                heads,
                kv_heads,
                kv,
                ..Case::default()
            }
            .check(&devices);
        }
    }
}

#[test]
fn attention_with_every_option() {
    let devices = devices();
    let spans = vec![
        [66, 66, 0, 0],
        [1, 200, 199, 0],
        [1, 1, 0, 0],
        [17, 150, 133, 0],
        [2, 33, 95, 64],
    ];
    let window = |window| Case {
        window: Some(window),
        ..Case::default()
    };
    let options = [
        Case::default(),
        Case {
            causal: false,
            ..Case::default()
        },
        window(1),
        window(7),
        window(64),
        window(1000),
        Case {
            causal: false,
            ..window(0)
        },
        Case {
            causal: false,
            ..window(9)
        },
        Case {
            softcap: Some(1.5),
            ..Case::default()
        },
        Case {
            sinks: true,
            ..Case::default()
        },
        Case {
            sinks: true,
            ..window(5)
        },
        Case {
            bias: Some((9, 4)),
            causal: false,
            ..Case::default()
        },
        Case {
            bias: Some((300, 299)),
            ..Case::default()
        },
        Case {
            bias: Some((1, 0)),
            softcap: Some(2.0),
            sinks: true,
            ..window(40)
        },
        Case {
            bias: Some((50, 45)),
            ..window(50)
        },
    ];
    for option in options {
        for kv in [None, Some(KvDType::F32), Some(KvDType::F16)] {
            Case {
                spans: spans.clone(),
                kv,
                ..option.clone()
            }
            .check(&devices);
        }
    }
}

#[test]
fn attention_over_many_keys() {
    let devices = devices();
    // Several chunks, for a prompt, one token, and a sequence that has given its first pages back.
    let spans = vec![
        [1, 1300, 1299, 0],
        [3, 600, 1111, 514],
        [2, 700, 1730, 1056],
        [70, 1100, 1030, 0],
    ];
    for window in [None, Some(530)] {
        for kv in [None, Some(KvDType::F32), Some(KvDType::Bf16)] {
            Case {
                spans: spans.clone(),
                window,
                kv,
                ..Case::default()
            }
            .check(&devices);
        }
    }
    Case {
        spans: vec![[1, 2000, 1999, 0]],
        kv_heads: 4,
        sinks: true,
        ..Case::default()
    }
    .check(&devices);
}

/// Of many queries, in every shape and with every option, beside some of too few.
#[test]
fn attention_in_pairs() {
    let devices = rounding_devices();
    let case = |key_dim, value_dim| Case {
        spans: vec![
            [66, 66, 0, 0],
            [33, 151, 118, 0],
            [1, 200, 199, 0],
            [40, 600, 1074, 514],
        ],
        key_dim,
        value_dim,
        kv: Some(KvDType::Bf16),
        ..Case::default()
    };
    for dim in [2, 16, 64, 80, 128] {
        case(dim, dim).check_rounded(&devices);
    }
    // Of an odd width, nothing is rounded.
    for (key_dim, value_dim) in [(24, 40), (64, 5), (15, 16), (1, 1)] {
        case(key_dim, value_dim).check_rounded(&devices);
    }
    for (heads, kv_heads) in [(1, 1), (8, 1), (6, 2), (7, 1)] {
        Case {
            heads,
            kv_heads,
            ..case(32, 32)
        }
        .check_rounded(&devices);
    }
    for option in [
        Case {
            window: Some(45),
            ..case(16, 16)
        },
        Case {
            causal: false,
            softcap: Some(1.5),
            sinks: true,
            ..case(16, 16)
        },
        Case {
            bias: Some((300, 299)),
            ..case(16, 16)
        },
    ] {
        option.check_rounded(&devices);
    }
}

/// As exact as the definition, unless it may be less so: what [`attention_in_pairs`] tests is not what it would
/// be without.
#[test]
fn pairs_are_made_only_where_they_may_be() {
    let case = |kv| Case {
        spans: vec![[40, 40, 0, 0]],
        kv: Some(kv),
        ..Case::default()
    };
    let precision = |precision| {
        let options = CpuOptions::default().with_precision(precision);
        let mut devices = crate::devices_with(&options);
        devices.retain(|(isa, ..)| isa.name() == "avx512bf16");
        devices
    };
    for (kv, allowed, rounds) in [
        (KvDType::Bf16, Precision::Auto, true),
        (KvDType::Bf16, Precision::Fast, true),
        (KvDType::Bf16, Precision::High, false),
        (KvDType::Bf16, Precision::Strict, false),
        (KvDType::F16, Precision::Fast, false),
        (KvDType::F32, Precision::Fast, false),
    ] {
        let case = case(kv);
        let numbers = case.numbers(14);
        let want = case.want(&numbers);
        for (.., device) in precision(allowed) {
            let found = case.found(&numbers, &device).into_vec().unwrap();
            let exact = disagreement(&found, &want, 8.0).is_none();
            assert_eq!(exact, !rounds, "{kv:?} with {}", allowed.name());
        }
    }
}

/// A prompt at once and in parts, each of many rows: the last of a part may be a single one.
#[test]
fn pairs_are_the_same_wherever_a_prompt_is_cut() {
    let case = Case {
        heads: 1,
        kv_heads: 1,
        spans: vec![[130, 130, 0, 0]],
        kv: Some(KvDType::Bf16),
        ..Case::default()
    };
    let whole = case.numbers(15);
    for (.., device) in rounding_devices() {
        let at_once = case.found(&whole, &device).into_vec().unwrap();
        for cut in [65, 100] {
            let part = |rows: std::ops::Range<usize>| {
                let part = Case {
                    spans: vec![[rows.len(), rows.end, rows.start, 0]],
                    ..case.clone()
                };
                let numbers = Numbers {
                    q: whole.q[rows.start * case.key_dim..rows.end * case.key_dim].to_vec(),
                    kv: (whole.kv.iter())
                        .map(|kv| kv.each_ref().map(|x| x[..rows.end * case.key_dim].to_vec()))
                        .collect(),
                    sinks: whole.sinks.clone(),
                    table: whole.table.clone(),
                };
                part.found(&numbers, &device).into_vec().unwrap()
            };
            assert_eq!([part(0..cut), part(cut..130)].concat(), at_once, "{cut}");
        }
    }
}

#[test]
fn queries_without_keys_get_zeros() {
    let devices = devices();
    for sinks in [false, true] {
        let case = Case {
            spans: vec![[3, 0, 0, 0], [4, 2, 0, 2], [2, 9, 40, 0]],
            window: Some(8),
            sinks,
            ..Case::default()
        };
        let numbers = case.numbers(12);
        for (_, _, device) in &devices {
            let found = case.found(&numbers, device).into_vec().unwrap();
            let width = case.heads * case.value_dim;
            let zero = |rows: std::ops::Range<usize>| {
                found[rows.start * width..rows.end * width]
                    .iter()
                    .all(|&v| v == 0.0)
            };
            assert!(
                zero(0..3) && zero(3..5) && zero(7..9),
                "no keys, keys that follow, keys out of the window"
            );
            assert!(!zero(5..6) && !zero(6..7), "keys at and before the query");
        }
        case.check(&devices);
    }
}

#[test]
fn pages_and_dense_keys_agree_bit_by_bit() {
    for (isa, threads, device) in devices() {
        for dim in [16, 24, 64] {
            let spans = vec![[40, 40, 0, 0], [1, 600, 599, 0], [2, 70, 100, 32]];
            let case = Case {
                key_dim: dim,
                value_dim: dim,
                spans,
                window: Some(300),
                ..Case::default()
            };
            let numbers = case.numbers(13);
            let dense = case.found(&numbers, &device).into_vec().unwrap();
            let paged = Case {
                kv: Some(KvDType::F32),
                ..case
            }
            .found(&numbers, &device)
            .into_vec()
            .unwrap();
            assert_eq!(dense, paged, "{} with {threads} threads", isa.name());
        }
    }
}

#[test]
fn a_prompt_and_single_tokens_agree_bit_by_bit() {
    let len = 700;
    for (heads, kv_heads, window) in [(4, 4, None), (6, 2, None), (4, 1, Some(100))] {
        for (isa, _, device) in devices() {
            let prompt = Case {
                heads,
                kv_heads,
                spans: vec![[len, len, 0, 0]],
                window,
                ..Case::default()
            };
            let numbers = prompt.numbers(14);
            let all = prompt.found(&numbers, &device).into_vec().unwrap();
            let [k, v] = &numbers.kv[0];
            for position in [0, 1, 31, 32, 127, 128, 511, 512, 640, 699] {
                // One token, whose cache has given back what its window no longer needs.
                let dropped =
                    window.map_or(0, |w| (position + 1_usize).saturating_sub(w) / PAGE * PAGE);
                let from =
                    |x: &[f32]| x[dropped * kv_heads * 16..(position + 1) * kv_heads * 16].to_vec();
                let spans = vec![[1, position + 1 - dropped, position, dropped]];
                let one = Case {
                    spans,
                    kv: Some(KvDType::F32),
                    ..prompt.clone()
                };
                let row = position * heads * 16..(position + 1) * heads * 16;
                let numbers = Numbers {
                    q: numbers.q[row.clone()].to_vec(),
                    kv: vec![[from(k), from(v)]],
                    sinks: numbers.sinks.clone(),
                    table: Vec::new(),
                };
                let found = one.found(&numbers, &device).into_vec().unwrap();
                assert_eq!(found, all[row], "position {position} on {}", isa.name());
            }
        }
    }
}

#[test]
fn shared_pages_are_copied_and_used_again() {
    let device = Device::cpu();
    let mut random = Random(15);
    let mut store = KvStore::new(&device, 1, 16, 16, KvDType::F32);
    let kv = |random: &mut Random, n: usize| tensor(&device, &[n, 1, 16], &random.vec(n * 16, 1.0));
    let (k, v) = (kv(&mut random, 50), kv(&mut random, 50));
    let first = vec![store.alloc(), store.alloc()];
    store.write(&first, 0, &k, &v, 0..50);
    // A second sequence goes on after 40 positions of the first.
    first.iter().for_each(|&page| store.retain(page));
    let own = store.copy_page(first[1], 8);
    store.release(first[1]);
    let second = vec![first[0], own];
    let (k2, v2) = (kv(&mut random, 10), kv(&mut random, 10));
    store.write(&second, 40, &k2, &v2, 0..10);
    let q = kv(&mut random, 1);
    let params = AttentionParams {
        scale: 0.25,
        causal: true,
        window: None,
        softcap: None,
        sinks: None,
        bias: None,
    };
    let run = |keys: KeyValues<'_>| {
        let span = AttentionSpan {
            rows: 0..1,
            position: 49,
            keys,
            key_position: 0,
        };
        attention(&q, &[span], &params).into_vec().unwrap()
    };
    let dense = |k: &Tensor, v: &Tensor| run(KeyValues::Dense { k, v, rows: 0..50 });
    let joined = |a: &Tensor, b: &Tensor| {
        let flat = |x: &Tensor| x.clone().reshape(&[x.shape()[0], 16]);
        concat_rows(&[
            &gather_rows(&flat(a), &(0..40).collect::<Vec<_>>()),
            &flat(b),
        ])
        .reshape(&[50, 1, 16])
    };
    assert_eq!(
        run(KeyValues::Paged {
            store: &store,
            pages: &first,
            len: 50
        }),
        dense(&k, &v)
    );
    let want = dense(&joined(&k, &k2), &joined(&v, &v2));
    assert_eq!(
        run(KeyValues::Paged {
            store: &store,
            pages: &second,
            len: 50
        }),
        want
    );
    // The first sequence ends; the second still has the page they shared.
    first.iter().for_each(|&page| store.release(page));
    assert_eq!(
        (store.ref_count(first[0]), store.ref_count(first[1])),
        (1, 0)
    );
    assert_eq!(
        run(KeyValues::Paged {
            store: &store,
            pages: &second,
            len: 50
        }),
        want
    );
    assert_eq!(store.alloc(), first[1], "used again");
}

#[test]
fn nan_in_a_query_stays_nan_and_stays_in_its_row() {
    for (isa, _, device) in devices() {
        let case = Case {
            spans: vec![[3, 3, 0, 0]],
            ..Case::default()
        };
        let mut numbers = case.numbers(16);
        let width = case.heads * case.key_dim;
        numbers.q[width..2 * width].fill(f32::NAN);
        let found = case.found(&numbers, &device).into_vec().unwrap();
        let nan = found
            .chunks(width)
            .map(|row| row.iter().filter(|v| v.is_nan()).count());
        assert_eq!(nan.collect::<Vec<_>>(), [0, width, 0], "{}", isa.name());
    }
}

#[test]
fn the_comparison_rejects_wrong_results() {
    let device = Device::cpu();
    let case = Case {
        spans: vec![[3, 0, 0, 0], [20, 20, 0, 0]],
        ..Case::default()
    };
    let numbers = case.numbers(17);
    let want = case.want(&numbers);
    let right = case.found(&numbers, &device).into_vec().unwrap();
    assert_eq!(disagreement(&right, &want, 8.0), None);
    // A masked key too many, a head mistaken for another, a scale forgotten.
    for wrong in [
        Case {
            causal: false,
            ..case.clone()
        },
        Case {
            kv_heads: 4,
            ..case.clone()
        },
        Case {
            softcap: Some(3.0),
            ..case.clone()
        },
        Case {
            sinks: true,
            ..case.clone()
        },
    ] {
        let fitting = wrong.numbers(17);
        let numbers = if wrong.kv_heads == case.kv_heads {
            &numbers
        } else {
            &fitting
        };
        let found = wrong.found(numbers, &device).into_vec().unwrap();
        assert!(disagreement(&found, &want, 8.0).is_some(), "{wrong:?}");
    }
    // One number, slightly; at zero, the least.
    let width = case.heads * case.value_dim;
    for (index, error) in [
        (0, f32::from_bits(1)),
        (3 * width + 1, 2e-4),
        (want.len() - 1, -2e-4),
    ] {
        let mut found = right.clone();
        found[index] += error;
        let message = disagreement(&found, &want, 8.0).expect("a wrong number is found");
        assert!(
            message.starts_with(&format!("number {index} is")),
            "{message}"
        );
    }
    assert!(disagreement(&right[1..], &want, 8.0).is_some());
    assert!(disagreement(&vec![f32::NAN; right.len()], &want, 8.0).is_some());
}
