//! Recording: operations become nodes, and what changes from step to step becomes words.

use std::mem;
use std::sync::MutexGuard;
use std::thread::{self, ThreadId};

use crate::{Device, Tensor};

use super::op::{Op, Operand};
use super::plan::Grid;
use super::value::{Place, Value};
use super::{Caps, Gpu, Held, State};

/// An operation and the values it makes: `first..first + count`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) first: u32,
    pub(super) count: u32,
}

/// A step has hundreds, which are compared with those of the step before: what few of them have is in a box.
const _: () = assert!(size_of::<Node>() <= 224);

/// Words of a step: where they lie in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    /// Bytes from the beginning; aligned as a binding.
    pub(super) offset: u64,
    /// Bytes, as many as there may be before a plan is made anew.
    pub(super) size: u64,
}

/// What is the same each time: the key of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Script {
    pub(super) nodes: Vec<Node>,
    /// Numbers of each value.
    pub(super) lens: Vec<u32>,
    /// Whether each value is wanted after the step.
    pub(super) wanted: Vec<bool>,
    pub(super) spans: Vec<Span>,
}

/// The recorders of all threads. Each thread has its own, so that what models on several threads do at the
/// same time remain steps of their own, which have plans.
pub(super) struct Recorders {
    of_threads: Vec<(ThreadId, Recorder)>,
    /// The number of the next recording.
    next: u64,
    alignment: u64,
}

/// Nodes of a recording, at most: a step of the largest models has a tenth of that.
const MOST_NODES: usize = 1 << 14;
/// Recorders of threads that may be gone, at most.
const MOST_IDLE: usize = 32;

impl Recorders {
    pub(super) fn new(caps: &Caps) -> Self {
        Self {
            of_threads: Vec::new(),
            next: 0,
            alignment: caps.alignment,
        }
    }

    /// The index of this thread's recorder.
    fn mine(&mut self) -> usize {
        let id = thread::current().id();
        if let Some(index) = self.of_threads.iter().position(|(of, _)| *of == id) {
            return index;
        }
        if self.of_threads.len() >= MOST_IDLE {
            self.of_threads.retain(|(_, recorder)| !recorder.is_empty());
        }
        let recorder = Recorder::new(self.number(), self.alignment);
        self.of_threads.push((id, recorder));
        self.of_threads.len() - 1
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The index of the recorder whose recording this is now; `None` if it was flushed.
    fn of(&self, recording: u64) -> Option<usize> {
        (self.of_threads.iter()).position(|(_, recorder)| recorder.recording == recording)
    }

    /// All that `recording` has, or this thread's, where there is none: it is a new one then. What is told
    /// as wanted is what others have, and `read`.
    pub(super) fn take(&mut self, recording: Option<u64>, read: Option<u32>) -> Option<Recorded> {
        let index = match recording {
            Some(recording) => self.of(recording)?,
            None => self.mine(),
        };
        let number = self.number();
        Some(self.of_threads[index].1.take(number, read))
    }

    /// Give the memory back that [`take`](Self::take) took.
    pub(super) fn reuse(&mut self, recorded: Recorded) {
        let index = self.mine();
        self.of_threads[index].1.reuse(recorded);
    }
}

/// What has been recorded since the last flush.
pub(super) struct Recorder {
    /// The number of the recording, of all recordings of the device.
    pub(super) recording: u64,
    pub(super) script: Script,
    /// Those of the script's values that somebody may still have.
    pub(super) values: Vec<Value>,
    pub(super) words: Vec<u32>,
    pub(super) grids: Vec<[u32; 3]>,
    /// Held until the flush, as nodes read them.
    keep: Vec<Held>,
    alignment: u64,
}

/// What a flush works on.
pub(super) struct Recorded {
    pub(super) script: Script,
    pub(super) values: Vec<Value>,
    pub(super) words: Vec<u32>,
    pub(super) grids: Vec<[u32; 3]>,
}

impl Recorder {
    fn new(recording: u64, alignment: u64) -> Self {
        Self {
            recording,
            script: Script::default(),
            values: Vec::new(),
            words: Vec::new(),
            grids: Vec::new(),
            keep: Vec::new(),
            alignment,
        }
    }

    fn is_empty(&self) -> bool {
        self.script.nodes.is_empty()
    }

    fn take(&mut self, next: u64, read: Option<u32>) -> Recorded {
        let wanted = |(i, value): (usize, &Value)| {
            value.is_shared() || read.is_some_and(|read| read as usize == i)
        };
        self.script.wanted = self.values.iter().enumerate().map(wanted).collect();
        self.recording = next;
        self.keep.clear();
        Recorded {
            script: mem::take(&mut self.script),
            values: mem::take(&mut self.values),
            words: mem::take(&mut self.words),
            grids: mem::take(&mut self.grids),
        }
    }

    fn reuse(&mut self, mut recorded: Recorded) {
        // Another thread's recording may be run between two operands of a node: what the first left is in use.
        let in_use = !self.script.spans.is_empty() || !self.grids.is_empty();
        if in_use || !self.is_empty() || !self.values.is_empty() {
            return;
        }
        let script = &mut recorded.script;
        script.nodes.clear();
        script.lens.clear();
        script.wanted.clear();
        script.spans.clear();
        recorded.values.clear();
        recorded.words.clear();
        recorded.grids.clear();
        self.script = recorded.script;
        self.values = recorded.values;
        self.words = recorded.words;
        self.grids = recorded.grids;
    }
}

/// Adding to what is recorded.
pub(crate) struct Recording<'a> {
    gpu: &'a Gpu,
    state: MutexGuard<'a, State>,
    /// Of this thread's recorder.
    index: usize,
}

impl<'a> Recording<'a> {
    pub(super) fn new(gpu: &'a Gpu, mut state: MutexGuard<'a, State>) -> Self {
        let index = state.recorders.mine();
        // Who never reads is not let fill the memory.
        if state.recorders.of_threads[index].1.script.nodes.len() >= MOST_NODES {
            let none = gpu.flush(&mut state, None, None);
            debug_assert!(none.is_none(), "nothing was to be read");
        }
        Self { gpu, state, index }
    }

    fn recorder(&mut self) -> &mut Recorder {
        &mut self.state.recorders.of_threads[self.index].1
    }

    /// The number of this recording. What is written to where others read, pages, remembers it, and asks
    /// [`after`](Self::after) before it is read.
    pub(crate) fn number(&mut self) -> u64 {
        self.recorder().recording
    }

    /// What is recorded from here on comes after `recording`: if that is another thread's and still
    /// waits, it is run now.
    pub(crate) fn after(&mut self, recording: u64) {
        if recording != self.number() && self.state.recorders.of(recording).is_some() {
            let none = self.gpu.flush(&mut self.state, Some(recording), None);
            debug_assert!(none.is_none(), "nothing was to be read");
        }
    }

    /// The GPU it is for.
    pub(crate) const fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// A tensor as an operand of a node.
    ///
    /// # Panics
    /// If it is on another device.
    #[track_caller]
    pub(crate) fn operand(&mut self, tensor: &Tensor) -> Operand {
        let value = tensor.gpu_value(self.gpu);
        let of_another = match *value.place() {
            Place::Recorded { recording, .. } if recording != self.number() => Some(recording),
            _ => None,
        };
        if let Some(recording) = of_another {
            self.after(recording);
        }
        let mut place = value.place();
        let recorder = self.recorder();
        match &mut *place {
            Place::Recorded { recording, value } if *recording == recorder.recording => {
                Operand::Value(*value)
            }
            Place::Resident(held) => {
                recorder.keep.push(held.clone());
                Operand::Region((**held).clone())
            }
            Place::Host { words, last } => match *last {
                Some((recording, index)) if recording == recorder.recording => {
                    Operand::Words(index)
                }
                _ => {
                    let index = recorder.words(words, words.len());
                    *last = Some((recorder.recording, index));
                    Operand::Words(index)
                }
            },
            // The device failed, which a read will tell. What is computed until then does not matter.
            Place::Recorded { .. } | Place::Nowhere => {
                let len = value.len();
                Operand::Words(recorder.words(&[], len))
            }
        }
    }

    /// Hold a region until the step has run.
    pub(crate) fn keep(&mut self, held: &Held) {
        self.recorder().keep.push(held.clone());
    }

    /// Words that come with this step: positions, indices, page tables. There is room for `capacity`; a step
    /// with room for another number is another plan, so round it up where it grows.
    pub(crate) fn words(&mut self, words: &[u32], capacity: usize) -> Operand {
        Operand::Words(self.recorder().words(words, capacity))
    }

    /// A grid that changes from step to step.
    pub(crate) fn grid(&mut self, grid: [u32; 3]) -> Grid {
        let grids = &mut self.recorder().grids;
        grids.push(grid);
        Grid::OfStep(u32::try_from(grids.len() - 1).expect("grids of a step fit 32 bits"))
    }

    /// Append an operation that makes tensors of these shapes.
    pub(crate) fn push<const N: usize>(
        &mut self,
        device: &Device,
        op: impl Into<Op>,
        shapes: [&[usize]; N],
    ) -> [Tensor; N] {
        let recorder = self.recorder();
        let first = u32::try_from(recorder.values.len()).expect("values of a step fit 32 bits");
        let count = u32::try_from(N).expect("outputs are few");
        let op = op.into();
        recorder.script.nodes.push(Node { op, first, count });
        let recording = recorder.recording;
        let mut value = first;
        shapes.map(|shape| {
            let numbers = shape.iter().product::<usize>();
            // What is larger cannot be bound, and is refused when a buffer is wanted for it.
            let len = u32::try_from(numbers).unwrap_or(u32::MAX);
            let made = Value::new(numbers, Place::Recorded { recording, value });
            recorder.script.lens.push(len);
            recorder.values.push(made.clone());
            value += 1;
            Tensor::of_gpu(device, shape, made)
        })
    }

    /// [`push`](Self::push) of an operation that makes one tensor.
    pub(crate) fn push_one(
        &mut self,
        device: &Device,
        op: impl Into<Op>,
        shape: &[usize],
    ) -> Tensor {
        let [tensor] = self.push(device, op, [shape]);
        tensor
    }
}

impl Recorder {
    fn words(&mut self, words: &[u32], capacity: usize) -> u32 {
        debug_assert!(words.len() <= capacity, "words fit their room");
        let offset = self.words.len() * size_of::<u32>();
        // At least one vector, as no binding is empty.
        let size = (capacity.max(1) * size_of::<u32>()).next_multiple_of(16) as u64;
        self.script.spans.push(Span {
            offset: offset as u64,
            size,
        });
        self.words.extend_from_slice(words);
        let end = (offset as u64 + size).next_multiple_of(self.alignment);
        let end = usize::try_from(end).expect("words of a step fit memory");
        self.words.resize(end / size_of::<u32>(), 0);
        u32::try_from(self.script.spans.len() - 1).expect("words of a step fit 32 bits")
    }
}
