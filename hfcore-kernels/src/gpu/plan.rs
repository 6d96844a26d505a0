//! From what was recorded to what is encoded: calls of kernels on buffers.
//!
//! A plan is made once for each [`Script`]. It owns its calls, its bind groups, and a buffer for the words
//! of a step; the buffers of its values are the arena's, which all plans share, as their steps run one after
//! the other.
//!
//! wgpu orders uses of whole buffers, and refuses a kernel that reads and writes one. So a value has a buffer
//! to itself while it is needed, and no output has that of an input of the same kernel.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::DeviceError;

use super::counters::Counters;
use super::fuse::fuse;
use super::memory::{Buffer, size_class};
use super::op::Operand;
use super::record::{Node, Script, Span};
use super::shader::{Access, Pipeline, Variant};
use super::{Caps, Gpu, Region};

/// Words of a kernel's parameters, at most.
pub(super) const MAX_PARAMS: usize = 16;
/// Bytes of the parameters of every kernel.
pub(super) const PARAMS_BYTES: usize = MAX_PARAMS * size_of::<u32>();

/// Workgroups of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grid {
    /// The same each time.
    Fixed([u32; 3]),
    /// The step's grid of this number.
    OfStep(u32),
}

impl Grid {
    /// `groups` in a row, folded into two axes where one is too short: a kernel computes its number as
    /// `group.x + group.y * groups_along_x`, and returns where that is too large.
    pub(crate) fn linear(groups: usize) -> Self {
        Self::Fixed(fold(groups))
    }
}

/// `groups` in a row as a grid whose first two axes hold at least as many.
pub(crate) fn fold(groups: usize) -> [u32; 3] {
    let most = Caps::MAX_GROUPS as usize;
    let y = groups.div_ceil(most).max(1);
    let x = groups.div_ceil(y).max(1);
    let axis = |n| u32::try_from(n).unwrap_or(Caps::MAX_GROUPS);
    [axis(x), axis(y), 1]
}

/// A kernel on its operands.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Which kernel.
    pub(crate) variant: Variant,
    /// What is bound, in the order of the kernel's bindings.
    pub(crate) bindings: Vec<Bind>,
    /// The words of its `Params`.
    pub(crate) params: Vec<u32>,
    /// Its workgroups.
    pub(crate) grid: Grid,
}

/// What is bound.
#[derive(Clone, Debug)]
pub(crate) enum Bind {
    /// An operand.
    Operand(Operand),
    /// The words of the step from those of one number on, up to the last of another's.
    Words([u32; 2]),
}

impl From<&Operand> for Bind {
    fn from(operand: &Operand) -> Self {
        Self::Operand(operand.clone())
    }
}

impl Bind {
    const fn value(&self) -> Option<u32> {
        match self {
            &Self::Operand(Operand::Value(value)) => Some(value),
            Self::Operand(_) | Self::Words(_) => None,
        }
    }
}

/// Collects the calls of a plan.
pub(crate) struct Planner<'a> {
    gpu: &'a Gpu,
    spans: &'a [Span],
    calls: Vec<Call>,
    /// Multiplications of each call, of those that have many.
    work: Vec<u64>,
    /// Numbers of each value, those that only kernels know included.
    lens: Vec<u32>,
}

impl Planner<'_> {
    /// What the device can do.
    pub(crate) const fn caps(&self) -> &Caps {
        self.gpu.caps()
    }

    /// Two operands that come with the step as one binding, and the words from its beginning to where the second
    /// begins: `None` where they are something else, come in another order, or lie too far apart.
    pub(crate) fn words(&self, first: &Operand, second: &Operand) -> Option<(Bind, u32)> {
        let (&Operand::Words(first), &Operand::Words(second)) = (first, second) else {
            return None;
        };
        let [from, to] = [first, second].map(|index| self.spans[index as usize]);
        let size = (to.offset + to.size).checked_sub(from.offset)?;
        let between = u32::try_from(to.offset.checked_sub(from.offset)? / 4).ok()?;
        (size <= self.caps().max_binding).then_some((Bind::Words([first, second]), between))
    }

    /// Append a call.
    pub(crate) fn call(&mut self, call: Call) {
        debug_assert!(
            call.params.len() <= MAX_PARAMS,
            "parameters of {:?}",
            call.variant
        );
        self.calls.push(call);
        self.work.push(0);
    }

    /// Say how many multiplications the last call does, where they are many: a step with more than a device
    /// can be trusted to finish before its driver loses patience goes in several submissions.
    pub(crate) fn work(&mut self, multiplications: u64) {
        if let Some(work) = self.work.last_mut() {
            *work = multiplications;
        }
    }

    /// Room for `len` numbers between the calls of one operation.
    pub(crate) fn scratch(&mut self, len: usize) -> Operand {
        self.lens.push(u32::try_from(len).unwrap_or(u32::MAX));
        Operand::Value(u32::try_from(self.lens.len() - 1).expect("values of a step fit 32 bits"))
    }
}

/// Bytes of the buffer of a value, in whole vectors.
fn value_bytes(len: u32) -> u64 {
    (u64::from(len.max(1)) * 4).next_multiple_of(16)
}

/// A call that only has to be encoded.
pub(super) struct Ready {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) params: [u8; PARAMS_BYTES],
    pub(super) grid: Grid,
}

/// What to encode for every step with the same script.
pub(super) struct Plan {
    pub(super) calls: Vec<Ready>,
    /// The buffer for the words of a step.
    pub(super) words: Option<Buffer>,
    /// The buffer, offset and bytes of each value that is wanted after the step, by its number.
    pub(super) wanted: Vec<(u32, Region)>,
    /// The calls before which a submission ends, ascending.
    pub(super) cuts: Vec<usize>,
    /// Buffers that it knows and does not own.
    knows: HashSet<u64>,
    /// Buffers that it owns.
    owns: Vec<Buffer>,
}

/// Plans, by what they do. Found by comparing whole scripts, the last one's first: a step is most often like
/// the one before, and to compare is cheaper than to hash.
#[derive(Default)]
pub(super) struct Plans {
    /// The one used last is the last.
    plans: Vec<(u64, Script, Plan)>,
}

/// Plans kept: a model has one for a token, one for each length of prompt, and a few for odd steps.
const MOST_PLANS: usize = 64;

/// A number that scripts with the same number of nodes, values and words, and the same last node, share.
fn sketch(script: &Script) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Script {
        nodes, lens, spans, ..
    } = script;
    (
        nodes.len(),
        lens.len(),
        spans.len(),
        nodes.last(),
        spans.last(),
    )
        .hash(&mut hasher);
    hasher.finish()
}

impl Plans {
    /// Make the plan of `script` the last, if there is one.
    pub(super) fn find(&mut self, script: &Script) -> bool {
        let sketch = sketch(script);
        let same = |(of, other, _): &(u64, Script, Plan)| *of == sketch && other == script;
        let Some(index) = self.plans.iter().rposition(same) else {
            return false;
        };
        self.plans[index..].rotate_left(1);
        true
    }

    /// The plan that was found or inserted last.
    pub(super) fn last(&self) -> Option<&Plan> {
        self.plans.last().map(|(_, _, plan)| plan)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Keep a plan, as the last. Returned are the buffers of one that is forgotten for it.
    pub(super) fn insert(&mut self, script: Script, plan: Plan) -> Vec<Buffer> {
        let mut gone = Vec::new();
        if self.plans.len() >= MOST_PLANS {
            gone = self.plans.remove(0).2.owns;
        }
        self.plans.push((sketch(&script), script, plan));
        gone
    }

    /// Forget every plan that knows one of these buffers. Returned are the buffers that they owned.
    pub(super) fn forget(&mut self, buffers: &[u64]) -> Vec<Buffer> {
        if buffers.is_empty() {
            return Vec::new();
        }
        let mut gone = Vec::new();
        self.plans.retain_mut(|(_, _, plan)| {
            let keep = !buffers.iter().any(|id| plan.knows.contains(id));
            if !keep {
                gone.append(&mut plan.owns);
            }
            keep
        });
        gone
    }
}

/// The buffers that values of plans lie in while their step runs.
#[derive(Default)]
pub(super) struct Arena {
    pub(super) by_size: BTreeMap<u64, Vec<Buffer>>,
}

/// Which buffers of the arena are free, as a plan is made.
struct Slots<'a> {
    arena: &'a mut Arena,
    /// For each size: those free, the longest free first, so that a buffer is not written soon after it was
    /// read; and how many of the arena's are in use.
    free: BTreeMap<u64, (VecDeque<Buffer>, usize)>,
}

impl Slots<'_> {
    fn take(&mut self, gpu: &Gpu, bytes: u64) -> Result<Buffer, DeviceError> {
        let class = size_class(bytes);
        let (free, used) = self.free.entry(class).or_default();
        if let Some(buffer) = free.pop_front() {
            return Ok(buffer);
        }
        let buffers = self.arena.by_size.entry(class).or_default();
        if *used == buffers.len() {
            buffers.push(gpu.memory.fresh(class)?);
        }
        *used += 1;
        Ok(buffers[*used - 1].clone())
    }

    fn give(&mut self, bytes: u64, buffer: Buffer) {
        (self.free.entry(size_class(bytes)).or_default().0).push_back(buffer);
    }
}

impl Plan {
    /// The plan of `script`.
    pub(super) fn new(gpu: &Gpu, script: &Script, arena: &mut Arena) -> Result<Self, DeviceError> {
        let nodes = fuse(needed(script), script);
        let mut planner = Planner {
            gpu,
            spans: &script.spans,
            calls: Vec::new(),
            work: Vec::new(),
            lens: script.lens.clone(),
        };
        for node in &nodes {
            let outputs: Vec<_> = (node.first..node.first + node.count)
                .map(Operand::Value)
                .collect();
            node.op.operation().lower(&outputs, &mut planner);
        }
        let Planner {
            calls, work, lens, ..
        } = planner;
        let mut plan = Self::of_calls(gpu, script, arena, calls, &lens)?;
        plan.cuts = cuts(&work);
        Ok(plan)
    }

    fn of_calls(
        gpu: &Gpu,
        script: &Script,
        arena: &mut Arena,
        calls: Vec<Call>,
        lens: &[u32],
    ) -> Result<Self, DeviceError> {
        let variants: Vec<_> = calls.iter().map(|call| &call.variant).collect();
        let pipelines = gpu.pipelines.get_all(&variants)?;
        let mut owns = Vec::new();
        let words = match script.spans.last() {
            Some(last) => {
                let size = (last.offset + last.size).next_multiple_of(gpu.caps.alignment);
                let buffer = gpu.memory.fresh(size)?;
                owns.push(buffer.clone());
                Some(buffer)
            }
            None => None,
        };
        let uniforms = if gpu.caps.immediates || calls.is_empty() {
            None
        } else {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let size = gpu.caps.alignment * calls.len() as u64;
            let buffer = gpu.memory.buffer(size, usage)?;
            owns.push(buffer.clone());
            Some(buffer)
        };

        // A value needs its buffer from the first call that binds it to the last.
        let mut last_use = vec![None; lens.len()];
        for (i, call) in calls.iter().enumerate() {
            for bind in &call.bindings {
                if let Some(value) = bind.value() {
                    last_use[value as usize] = Some(i);
                }
            }
        }
        let wanted = |value: usize| script.wanted.get(value).copied().unwrap_or(false);
        let mut slots = Slots {
            arena,
            free: BTreeMap::new(),
        };
        let mut places: Vec<Option<Buffer>> = vec![None; lens.len()];
        let mut knows = HashSet::new();
        let mut resolved = Vec::with_capacity(calls.len());
        for (i, (call, pipeline)) in calls.into_iter().zip(pipelines).enumerate() {
            for bind in &call.bindings {
                if let Some(value) = bind.value() {
                    let value = value as usize;
                    if places[value].is_none() {
                        places[value] = Some(slots.take(gpu, value_bytes(lens[value]))?);
                    }
                }
            }
            let uniform = uniforms
                .as_ref()
                .map(|buffer| (buffer, gpu.caps.alignment * i as u64));
            let bound = bound(
                gpu,
                script,
                &call,
                &pipeline,
                &places,
                lens,
                words.as_ref(),
                uniform,
            )?;
            for bind in &call.bindings {
                match bind {
                    Bind::Operand(Operand::Region(region)) => {
                        knows.insert(region.buffer.id());
                    }
                    &Bind::Operand(Operand::Value(value)) => {
                        let value = value as usize;
                        if last_use[value] == Some(i) && !wanted(value) {
                            last_use[value] = None;
                            if let Some(buffer) = places[value].take() {
                                slots.give(value_bytes(lens[value]), buffer);
                            }
                        }
                    }
                    Bind::Operand(Operand::Words(_)) | Bind::Words(_) => {}
                }
            }
            resolved.push((pipeline, bound, params(&call.params), call.grid));
        }
        if let Some(uniforms) = &uniforms {
            let stride = usize::try_from(gpu.caps.alignment).unwrap_or(PARAMS_BYTES);
            let mut bytes = vec![0; stride * resolved.len()];
            for (slot, (_, _, params, _)) in bytes.chunks_exact_mut(stride).zip(&resolved) {
                slot[..PARAMS_BYTES].copy_from_slice(params);
            }
            gpu.queue.write_buffer(uniforms.raw(), 0, &bytes);
        }
        gpu.write_fresh();
        let ready = (resolved.into_iter())
            .map(|(pipeline, bound, params, grid)| Ready {
                bind_group: bind_group(gpu, &pipeline, &bound),
                pipeline,
                params,
                grid,
            })
            .collect();
        let wanted = (places.into_iter().enumerate())
            .filter(|(value, _)| wanted(*value))
            .filter_map(|(value, buffer)| {
                let size = value_bytes(lens[value]);
                let value = u32::try_from(value).expect("values of a step fit 32 bits");
                Some((
                    value,
                    Region {
                        buffer: buffer?,
                        offset: 0,
                        size,
                    },
                ))
            })
            .collect();
        Ok(Self {
            calls: ready,
            words,
            wanted,
            cuts: Vec::new(),
            knows,
            owns,
        })
    }
}

/// Multiplications of one submission: a fifth of a second on a GPU that does 10^12 in a second. Drivers kill
/// what takes several.
const MOST_WORK: u64 = 200_000_000_000;

/// The calls before which a submission ends, so that none has more than [`MOST_WORK`], if it can be.
fn cuts(work: &[u64]) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut sum = 0_u64;
    for (i, &work) in work.iter().enumerate() {
        if sum > 0 && sum + work > MOST_WORK {
            cuts.push(i);
            sum = 0;
        }
        sum += work;
    }
    cuts
}

/// The nodes that somebody needs: of which a value is wanted or read by a node that is needed, or which have
/// effects.
fn needed(script: &Script) -> Vec<Node> {
    let mut wanted = script.wanted.clone();
    let mut nodes: Vec<&Node> = Vec::with_capacity(script.nodes.len());
    for node in script.nodes.iter().rev() {
        let outputs = node.first as usize..(node.first + node.count) as usize;
        let operation = node.op.operation();
        if !operation.has_effects() && !wanted[outputs].contains(&true) {
            continue;
        }
        for operand in operation.operands() {
            if let &Operand::Value(value) = operand {
                wanted[value as usize] = true;
            }
        }
        nodes.push(node);
    }
    nodes.into_iter().rev().cloned().collect()
}

fn params(words: &[u32]) -> [u8; PARAMS_BYTES] {
    let mut bytes = [0; PARAMS_BYTES];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

impl Gpu {
    /// Bring what waits to be brought, and zeros to buffers that nobody has written to. wgpu would do so as they are used
    /// first, and bind groups made before that would be asked at every use whether it has been done.
    fn write_fresh(&self) {
        self.send_uploads();
        let fresh = self.memory.take_fresh();
        if fresh.is_empty() {
            return;
        }
        let mut encoder = self.encoder();
        for buffer in &fresh {
            encoder.clear_buffer(buffer.raw(), 0, None);
        }
        Counters::add(&self.counters.submits, 1);
        self.queue.submit([encoder.finish()]);
    }
}

/// What is bound: a buffer each, an offset and bytes.
type Bound = Vec<(Buffer, u64, u64)>;

/// What a call binds, when its values have places.
fn bound(
    gpu: &Gpu,
    script: &Script,
    call: &Call,
    pipeline: &Pipeline,
    places: &[Option<Buffer>],
    lens: &[u32],
    words: Option<&Buffer>,
    uniform: Option<(&Buffer, u64)>,
) -> Result<Bound, DeviceError> {
    assert_eq!(
        pipeline.bindings().len(),
        call.bindings.len(),
        "bindings of {:?}",
        call.variant
    );
    let mut bound = Vec::with_capacity(call.bindings.len() + 1);
    for (binding, bind) in call.bindings.iter().enumerate() {
        let of_words = |[first, last]: [u32; 2]| {
            let [from, to] = [first, last].map(|index| script.spans[index as usize]);
            debug_assert_eq!(pipeline.bindings()[binding], Access::Read, "words are read");
            let size = to.offset + to.size - from.offset;
            (words.expect("spans have a buffer"), from.offset, size)
        };
        let (buffer, offset, size) = match bind {
            Bind::Operand(Operand::Value(value)) => {
                let place = places[*value as usize].as_ref();
                let size = value_bytes(lens[*value as usize]);
                (
                    place.expect("values have places before they are bound"),
                    0,
                    size,
                )
            }
            Bind::Operand(Operand::Region(region)) => (&region.buffer, region.offset, region.size),
            &Bind::Operand(Operand::Words(index)) => of_words([index, index]),
            &Bind::Words(spans) => of_words(spans),
        };
        if size > gpu.caps.max_binding {
            return Err(DeviceError::TooLarge {
                wanted: usize::try_from(size).unwrap_or(usize::MAX),
                limit: usize::try_from(gpu.caps.max_binding).unwrap_or(usize::MAX),
            });
        }
        bound.push((buffer.clone(), offset, size));
    }
    if let Some((buffer, offset)) = uniform {
        bound.push((buffer.clone(), offset, PARAMS_BYTES as u64));
    }
    Ok(bound)
}

fn bind_group(gpu: &Gpu, pipeline: &Pipeline, bound: &Bound) -> wgpu::BindGroup {
    let entries: Vec<_> = (0..)
        .zip(bound)
        .map(|(binding, (buffer, offset, size))| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: buffer.raw(),
                offset: *offset,
                size: std::num::NonZeroU64::new(*size),
            }),
        })
        .collect();
    gpu.counters.created();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: pipeline.layout(),
        entries: &entries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_are_cut_where_the_work_is_too_much() {
        let half = MOST_WORK / 2;
        assert_eq!(cuts(&[1, half, half, 1, 0, half]), [2, 5]);
        assert_eq!(cuts(&[3 * half, 1, 3 * half]), [1, 2]);
        assert!(cuts(&[1, 2, 3]).is_empty());
    }

    #[test]
    fn a_fold_holds_all_groups_within_the_axes() {
        for groups in [0, 1, 7, 65_535, 65_536, 1_000_003] {
            let [x, y, z] = fold(groups);
            assert!(x as usize * y as usize >= groups && z == 1, "{groups}");
            assert!((1..=65_535).contains(&x) && (1..=65_535).contains(&y));
        }
    }
}
