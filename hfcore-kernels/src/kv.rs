//! Keys and values of past positions, in pages that sequences share.
//!
//! Kwon et al. 2023, <https://arxiv.org/abs/2309.06180>.

use std::ops::Range;
use std::sync::Mutex;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

#[cfg(feature = "wgpu")]
use crate::gpu::ops::kv::{GpuPages, PageShape};
use crate::{Device, Tensor};

/// Positions in a page.
pub const PAGE: usize = 32;

/// The name of a page in its [`KvStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageId(u32);

#[cfg(feature = "wgpu")]
impl PageId {
    /// Which page of its store it is.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// How keys and values are stored. They are widened to `f32` as attention reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvDType {
    /// As they were computed.
    #[default]
    F32,
    /// Rounded to nearest even.
    Bf16,
    /// Rounded to nearest even; infinite beyond 65504.
    F16,
}

impl KvDType {
    /// Bytes of one number.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// Pages of keys `[K, Dk]` and values `[K, Dv]` of one layer, each with [`PAGE`] positions.
///
/// Who holds a page is counted: a page is shared by [`retain`](Self::retain), written by its only holder,
/// and used again when the last holder has released it.
#[derive(Debug)]
pub struct KvStore {
    device: Device,
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    dtype: KvDType,
    pages: Vec<Page>,
    free: Vec<PageId>,
    /// The numbers, where the device is a GPU.
    #[cfg(feature = "wgpu")]
    gpu: Option<GpuPages>,
}

#[derive(Debug)]
struct Page {
    holders: u32,
    numbers: Numbers,
}

/// The numbers of a page, of each head in turn: the keys `[Dk, PAGE]`, then the values `[PAGE, Dv]`.
///
/// Keys are transposed so that the scores of a page fill vectors, without a sum across one for each.
#[derive(Clone, Debug)]
enum Numbers {
    F32(Vec<f32>),
    Half(Vec<u16>),
}

/// The keys `[Dk, PAGE]` and values `[PAGE, Dv]` of one head in one page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadPage<'a> {
    F32 { keys: &'a [f32], values: &'a [f32] },
    Bf16 { keys: &'a [u16], values: &'a [u16] },
    F16 { keys: &'a [u16], values: &'a [u16] },
}

impl KvStore {
    /// A store without pages, for `heads` key/value heads.
    ///
    /// # Panics
    /// If the device is a GPU and a number is beyond 32 bits.
    #[must_use]
    pub fn new(
        device: &Device,
        heads: usize,
        key_dim: usize,
        value_dim: usize,
        dtype: KvDType,
    ) -> Self {
        Self {
            device: device.clone(),
            heads,
            key_dim,
            value_dim,
            dtype,
            pages: Vec::new(),
            free: Vec::new(),
            #[cfg(feature = "wgpu")]
            gpu: device.on_gpu().map(|_| {
                let word = |n| u32::try_from(n).expect("heads and their widths are small");
                let shape = PageShape {
                    heads: word(heads),
                    key_dim: word(key_dim),
                    value_dim: word(value_dim),
                    dtype,
                };
                GpuPages::new(device, shape)
            }),
        }
    }

    /// Key/value heads, `K`.
    #[must_use]
    pub const fn heads(&self) -> usize {
        self.heads
    }

    /// Numbers of a key of one head, `Dk`.
    #[must_use]
    pub const fn key_dim(&self) -> usize {
        self.key_dim
    }

    /// Numbers of a value of one head, `Dv`.
    #[must_use]
    pub const fn value_dim(&self) -> usize {
        self.value_dim
    }

    /// How the numbers are stored.
    #[must_use]
    pub const fn dtype(&self) -> KvDType {
        self.dtype
    }

    /// A page of which the caller is the only holder. What is in it is unspecified.
    ///
    /// # Panics
    /// If there are 2^32 pages.
    #[must_use]
    pub fn alloc(&mut self) -> PageId {
        if let Some(page) = self.free.pop() {
            self.page_mut(page).holders = 1;
            return page;
        }
        let page = PageId(u32::try_from(self.pages.len()).expect("fewer than 2^32 pages"));
        let numbers = self.new_numbers();
        self.pages.push(Page {
            holders: 1,
            numbers,
        });
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = &mut self.gpu {
            gpu.named(self.pages.len());
        }
        page
    }

    fn new_numbers(&self) -> Numbers {
        #[cfg(feature = "wgpu")]
        if self.gpu.is_some() {
            return Numbers::Half(Vec::new());
        }
        match self.dtype {
            KvDType::F32 => Numbers::F32(vec![0.0; self.page_len()]),
            KvDType::Bf16 | KvDType::F16 => Numbers::Half(vec![0; self.page_len()]),
        }
    }

    /// One holder more for `page`.
    ///
    /// # Panics
    /// If nobody holds it.
    #[track_caller]
    pub fn retain(&mut self, page: PageId) {
        self.held(page);
        self.page_mut(page).holders += 1;
    }

    /// One holder less for `page`; after the last, it will be used again.
    ///
    /// # Panics
    /// If nobody holds it.
    #[track_caller]
    pub fn release(&mut self, page: PageId) {
        self.held(page);
        let holders = &mut self.page_mut(page).holders;
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
    }

    /// Holders of `page`; 0 for one that is free.
    ///
    /// # Panics
    /// If the page is not of this store.
    #[must_use]
    #[track_caller]
    pub fn ref_count(&self, page: PageId) -> usize {
        self.page(page).holders as usize
    }

    /// Bytes of all pages that somebody holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let page = self.page_len() * self.dtype.size();
        #[cfg(feature = "wgpu")]
        let page = self.gpu.as_ref().map_or(page, GpuPages::page_bytes);
        (self.pages.len() - self.free.len()) * page
    }

    /// Write keys `k` `[T, K, Dk]` and values `v` `[T, K, Dv]` of `rows` to slots from `slot` on, where slot
    /// `s` is position `s % PAGE` of `pages[s / PAGE]`.
    ///
    /// # Panics
    /// If shapes disagree, `pages` end too early, or a page to write has another holder or occurs twice.
    #[track_caller]
    pub fn write(
        &mut self,
        pages: &[PageId],
        slot: usize,
        k: &Tensor,
        v: &Tensor,
        rows: Range<usize>,
    ) {
        for (name, x, dim) in [("keys", k, self.key_dim), ("values", v, self.value_dim)] {
            let fits = matches!(*x.shape(), [t, heads, d] if heads == self.heads && d == dim && rows.end <= t);
            assert!(
                fits && rows.start <= rows.end,
                "KvStore::write: rows {rows:?} of {name} [T, {}, {dim}], found {:?}",
                self.heads,
                x.shape()
            );
        }
        let end = slot + rows.len();
        assert!(
            end <= pages.len() * PAGE,
            "KvStore::write: slots {slot}..{end} in {} pages of {PAGE}",
            pages.len()
        );
        if rows.is_empty() {
            return;
        }
        let written = slot / PAGE..end.div_ceil(PAGE);
        for &page in &pages[written.clone()] {
            let holders = self.ref_count(page);
            assert_eq!(
                holders, 1,
                "KvStore::write: holders of {page:?}, which one must be alone to write"
            );
        }
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = &mut self.gpu {
            let pages: Vec<u32> = pages.iter().map(|page| page.0).collect();
            return gpu.write(&pages, slot, k, v, rows);
        }
        // Taken out of the store, so that threads may have one each.
        let taken: Vec<_> = (pages[written.clone()].iter())
            .map(|&page| {
                Mutex::new(std::mem::replace(
                    &mut self.page_mut(page).numbers,
                    Numbers::Half(Vec::new()),
                ))
            })
            .collect();
        let layout = self.layout();
        let cpu = self.device.on_cpu();
        let grain = (1_usize << 14).div_ceil(self.page_len().max(1));
        cpu.pool.for_each(taken.len(), grain, |range| {
            for i in range {
                let first = (written.start + i) * PAGE;
                let slots = slot.max(first)..end.min(first + PAGE);
                let rows = rows.start + slots.start - slot..rows.start + slots.end - slot;
                let mut numbers = taken[i].lock().expect("a page is locked once");
                write_page(
                    &mut numbers,
                    layout,
                    slots.start - first,
                    k.data(),
                    v.data(),
                    rows,
                );
            }
        });
        for (&page, numbers) in pages[written].iter().zip(taken) {
            self.page_mut(page).numbers = numbers.into_inner().expect("a page is locked once");
        }
    }

    /// A page of the caller's own with the first `used` positions of `page`. Of that page the caller
    /// remains a holder.
    ///
    /// # Panics
    /// If nobody holds `page`, or `used` is more than [`PAGE`].
    #[must_use]
    #[track_caller]
    pub fn copy_page(&mut self, page: PageId, used: usize) -> PageId {
        self.held(page);
        assert!(
            used <= PAGE,
            "KvStore::copy_page: {used} of {PAGE} positions"
        );
        let copy = self.alloc();
        #[cfg(feature = "wgpu")]
        if let Some(gpu) = &mut self.gpu {
            gpu.copy(page.0, copy.0);
            return copy;
        }
        let mut numbers =
            std::mem::replace(&mut self.page_mut(copy).numbers, Numbers::Half(Vec::new()));
        // All positions: one copy is faster than a part of each line of the transposed keys.
        match (&mut numbers, &self.page(page).numbers) {
            (Numbers::F32(to), Numbers::F32(from)) => to.copy_from_slice(from),
            (Numbers::Half(to), Numbers::Half(from)) => to.copy_from_slice(from),
            _ => unreachable!("all pages of a store have one type"),
        }
        self.page_mut(copy).numbers = numbers;
        copy
    }

    /// The numbers, on a GPU.
    #[cfg(feature = "wgpu")]
    pub(crate) fn on_gpu(&self) -> &GpuPages {
        (self.gpu.as_ref()).expect("a store on a GPU, as the queries are")
    }

    /// What `page` has for `head`.
    #[track_caller]
    pub(crate) fn head_page(&self, page: PageId, head: usize) -> HeadPage<'_> {
        let layout = self.layout();
        let (keys, values) = layout.parts(head);
        match (&self.page(page).numbers, self.dtype) {
            (Numbers::F32(numbers), _) => HeadPage::F32 {
                keys: &numbers[keys],
                values: &numbers[values],
            },
            (Numbers::Half(numbers), KvDType::F16) => HeadPage::F16 {
                keys: &numbers[keys],
                values: &numbers[values],
            },
            (Numbers::Half(numbers), _) => HeadPage::Bf16 {
                keys: &numbers[keys],
                values: &numbers[values],
            },
        }
    }

    fn layout(&self) -> Layout {
        Layout {
            heads: self.heads,
            key_dim: self.key_dim,
            value_dim: self.value_dim,
            f16: self.dtype == KvDType::F16,
        }
    }

    fn page_len(&self) -> usize {
        self.heads * (self.key_dim + self.value_dim) * PAGE
    }

    #[track_caller]
    pub(crate) fn held(&self, page: PageId) {
        assert!(self.ref_count(page) > 0, "KvStore: nobody holds {page:?}");
    }

    #[track_caller]
    fn page(&self, page: PageId) -> &Page {
        let found = self.pages.get(page.0 as usize);
        found.unwrap_or_else(|| panic!("KvStore: {page:?} of {} pages", self.pages.len()))
    }

    #[track_caller]
    fn page_mut(&mut self, page: PageId) -> &mut Page {
        &mut self.pages[page.0 as usize]
    }
}

/// Where things are in a page.
#[derive(Clone, Copy, Debug)]
struct Layout {
    heads: usize,
    key_dim: usize,
    value_dim: usize,
    f16: bool,
}

impl Layout {
    /// The ranges of the keys and the values of `head`.
    fn parts(self, head: usize) -> (Range<usize>, Range<usize>) {
        let start = head * (self.key_dim + self.value_dim) * PAGE;
        let middle = start + self.key_dim * PAGE;
        (start..middle, middle..middle + self.value_dim * PAGE)
    }
}

/// Write `rows` of `k` and `v` to positions from `position` on.
fn write_page(
    numbers: &mut Numbers,
    layout: Layout,
    position: usize,
    k: &[f32],
    v: &[f32],
    rows: Range<usize>,
) {
    let Layout {
        heads,
        key_dim,
        value_dim,
        f16,
    } = layout;
    let mut row = vec![0_u16; key_dim];
    for head in 0..heads {
        let (keys, values) = layout.parts(head);
        for (position, t) in (position..).zip(rows.clone()) {
            let key = &k[(t * heads + head) * key_dim..][..key_dim];
            let value = &v[(t * heads + head) * value_dim..][..value_dim];
            match numbers {
                Numbers::F32(numbers) => {
                    scatter(key, &mut numbers[keys.clone()], position);
                    numbers[values.clone()][position * value_dim..][..value_dim]
                        .copy_from_slice(value);
                }
                Numbers::Half(numbers) => {
                    narrow(f16, key, &mut row);
                    scatter(&row, &mut numbers[keys.clone()], position);
                    narrow(
                        f16,
                        value,
                        &mut numbers[values.clone()][position * value_dim..][..value_dim],
                    );
                }
            }
        }
    }
}

/// `row` to column `position` of `to` `[row.len(), PAGE]`.
pub(crate) fn scatter<T: Copy>(row: &[T], to: &mut [T], position: usize) {
    let (lines, _) = to.as_chunks_mut::<PAGE>();
    for (line, &v) in lines.iter_mut().zip(row) {
        line[position] = v;
    }
}

/// Round to 16 bits, `f16` or else `bf16`.
fn narrow(to_f16: bool, from: &[f32], to: &mut [u16]) {
    if to_f16 {
        to.reinterpret_cast_mut::<f16>()
            .convert_from_f32_slice(from);
    } else {
        to.reinterpret_cast_mut::<bf16>()
            .convert_from_f32_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(shape: &[usize], from: f32) -> Tensor {
        let numbers = (0..shape.iter().product::<usize>())
            .map(|i| from + i as f32)
            .collect();
        Tensor::from_vec(&Device::cpu(), shape, numbers)
    }

    /// Key and value of a head at a slot.
    fn read(store: &KvStore, pages: &[PageId], slot: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
        let (d, w, position) = (store.key_dim, store.value_dim, slot % PAGE);
        let pick = |keys: &dyn Fn(usize) -> f32, values: &dyn Fn(usize) -> f32| {
            let keys = (0..d).map(|i| keys(i * PAGE + position)).collect();
            (keys, (0..w).map(|i| values(position * w + i)).collect())
        };
        match store.head_page(pages[slot / PAGE], head) {
            HeadPage::F32 { keys, values } => pick(&|i| keys[i], &|i| values[i]),
            HeadPage::Bf16 { keys, values } => pick(&|i| bf16::from_bits(keys[i]).to_f32(), &|i| {
                bf16::from_bits(values[i]).to_f32()
            }),
            HeadPage::F16 { keys, values } => pick(&|i| f16::from_bits(keys[i]).to_f32(), &|i| {
                f16::from_bits(values[i]).to_f32()
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_across_pages() {
        for dtype in [KvDType::F32, KvDType::Bf16, KvDType::F16] {
            let mut store = KvStore::new(&Device::cpu(), 2, 3, 1, dtype);
            let pages = [store.alloc(), store.alloc(), store.alloc()];
            // Multiples of 1/8 up to 8 are exact in all types.
            let k = crate::scale(counting(&[40, 2, 3], -120.0), 0.0625);
            let v = counting(&[40, 2, 1], -40.0);
            let rounded = |x: f32| match dtype {
                KvDType::F32 => x,
                KvDType::Bf16 => bf16::from_f32(x).to_f32(),
                KvDType::F16 => f16::from_f32(x).to_f32(),
            };
            store.write(&pages, 30, &k, &v, 2..40);
            for t in 2..40 {
                for head in 0..2 {
                    let (key, value) = read(&store, &pages, 28 + t, head);
                    let want: Vec<f32> = (k.data()[(t * 2 + head) * 3..][..3].iter())
                        .map(|&x| rounded(x))
                        .collect();
                    assert_eq!(key, want, "{dtype:?} row {t}");
                    assert_eq!(
                        value,
                        [rounded(v.data()[t * 2 + head])],
                        "{dtype:?} row {t}"
                    );
                }
            }
            assert_eq!(store.bytes(), 3 * PAGE * 2 * (3 + 1) * dtype.size());
        }
    }

    #[test]
    fn pages_are_counted_and_used_again() {
        let mut store = KvStore::new(&Device::cpu(), 1, 1, 1, KvDType::F32);
        let a = store.alloc();
        store.retain(a);
        store.release(a);
        assert_eq!(store.ref_count(a), 1);
        store.release(a);
        assert_eq!((store.ref_count(a), store.bytes()), (0, 0));
        assert_eq!(store.alloc(), a);
        let b = store.alloc();
        assert_ne!(a, b);
        assert_eq!(store.bytes(), 2 * PAGE * 2 * 4);
    }

    #[test]
    fn a_copy_is_written_alone() {
        let mut store = KvStore::new(&Device::cpu(), 1, 2, 1, KvDType::Bf16);
        let shared = store.alloc();
        store.write(
            &[shared],
            0,
            &counting(&[2, 1, 2], 0.0),
            &counting(&[2, 1, 1], 8.0),
            0..2,
        );
        store.retain(shared);
        let own = store.copy_page(shared, 2);
        assert_eq!([store.ref_count(shared), store.ref_count(own)], [2, 1]);
        store.write(
            &[own],
            1,
            &counting(&[1, 1, 2], 5.0),
            &counting(&[1, 1, 1], 7.0),
            0..1,
        );
        assert_eq!(read(&store, &[own], 0, 0), (vec![0.0, 1.0], vec![8.0]));
        assert_eq!(read(&store, &[own], 1, 0), (vec![5.0, 6.0], vec![7.0]));
        assert_eq!(read(&store, &[shared], 1, 0), (vec![2.0, 3.0], vec![9.0]));
    }

    #[test]
    #[should_panic(expected = "holders of PageId(0), which one must be alone to write")]
    fn a_shared_page_is_not_written() {
        let mut store = KvStore::new(&Device::cpu(), 1, 1, 1, KvDType::F32);
        let page = store.alloc();
        store.retain(page);
        store.write(
            &[page],
            0,
            &counting(&[1, 1, 1], 0.0),
            &counting(&[1, 1, 1], 0.0),
            0..1,
        );
    }

    #[test]
    #[should_panic(expected = "nobody holds PageId(0)")]
    fn a_page_is_released_once_per_holder() {
        let mut store = KvStore::new(&Device::cpu(), 1, 1, 1, KvDType::F32);
        let page = store.alloc();
        store.release(page);
        store.release(page);
    }

    #[test]
    #[should_panic(expected = "slots 30..33 in 1 pages of 32")]
    fn slots_need_pages() {
        let mut store = KvStore::new(&Device::cpu(), 1, 1, 1, KvDType::F32);
        let page = store.alloc();
        store.write(
            &[page],
            30,
            &counting(&[3, 1, 1], 0.0),
            &counting(&[3, 1, 1], 0.0),
            0..3,
        );
    }
}
