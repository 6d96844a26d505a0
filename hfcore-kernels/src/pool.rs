//! Threads that share one operation.
//!
//! An operation of a transformer lasts from a microsecond to some milliseconds, and hundreds follow
//! each other. So the threads live as long as their device, and between two operations they *spin* for
//! a moment before they sleep: a spinning thread joins in a fraction of a microsecond, a sleeping one
//! costs several.
//!
//! A thread that comes late is not waited for. The caller works too, and closes the operation when
//! nothing is left to deal; only threads that have joined by then are waited for. On a machine that is
//! busy with something else an operation is therefore never held up by a thread that has not begun; and
//! for one that was interrupted in the middle, the caller soon sleeps, so that its processor is free for
//! that thread.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread without work, or a caller whose threads still work, spins before it sleeps: longer
/// than what lies between two operations of a forward pass, shorter than what anybody would call busy
/// waiting.
const SPIN: Duration = Duration::from_micros(50);

/// A number of threads, the caller's among them.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Threads at work in the low bits, then [`OPEN`], [`STOP`], [`AWAITED`] and the number of the
    /// operation.
    state: Line<AtomicU64>,
    /// The operation. Points into the stack of a caller for as long as a thread is at work on it.
    task: AtomicPtr<Task<'static>>,
    /// Set while a caller has the threads. Another caller, or a nested one, works alone.
    busy: Line<AtomicBool>,
    /// Which workers sleep, or are about to.
    asleep: Vec<Line<AtomicBool>>,
    /// What a caller sleeps on until nobody is at work.
    done: (Mutex<()>, Condvar),
    spin: Duration,
}

/// The threads may join the operation.
const OPEN: u64 = 1 << 16;
/// The pool is being dropped.
const STOP: u64 = 1 << 17;
/// The caller sleeps: the last thread at work wakes it up.
const AWAITED: u64 = 1 << 18;
/// One in the number of the operation.
const NEXT: u64 = 1 << 19;
/// The threads at work.
const AT_WORK: u64 = OPEN - 1;

/// A value alone on its cache lines (two: processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

/// One call of [`Pool::for_each`] or [`Pool::for_each_shrinking`].
struct Task<'a> {
    f: &'a (dyn Fn(Range<usize>) + Sync),
    n: usize,
    deal: Deal,
    /// The first number that has not been dealt.
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// How the numbers are cut into ranges.
#[derive(Clone, Copy)]
enum Deal {
    /// So many each.
    Equal(usize),
    /// Three quarters of a thread's share in what is left, in steps of `step`, but not more than `most`.
    Shrinking {
        step: usize,
        most: usize,
        threads: usize,
    },
}

impl Task<'_> {
    /// The most ranges that are dealt.
    fn ranges(&self) -> usize {
        match self.deal {
            Deal::Equal(step) | Deal::Shrinking { step, .. } => self.n.div_ceil(step),
        }
    }

    /// The next range, until none is left.
    fn take(&self) -> Option<Range<usize>> {
        match self.deal {
            Deal::Equal(grain) => {
                let start = self.next.fetch_add(grain, Ordering::Relaxed);
                (start < self.n).then(|| start..self.n.min(start + grain))
            }
            Deal::Shrinking {
                step,
                most,
                threads,
            } => {
                let mut start = self.next.load(Ordering::Relaxed);
                loop {
                    let left = self.n.checked_sub(start).filter(|left| *left > 0)?;
                    let share = left / 4 * 3 / threads / step * step;
                    let end = start + share.min(most).max(step).min(left);
                    let order = Ordering::Relaxed;
                    match self.next.compare_exchange_weak(start, end, order, order) {
                        Ok(_) => return Some(start..end),
                        Err(now) => start = now,
                    }
                }
            }
        }
    }

    /// Take ranges until none is left. A panic is kept for the caller, and ends the dealing.
    fn work(&self) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            while let Some(range) = self.take() {
                (self.f)(range);
            }
        }));
        if let Err(payload) = result {
            self.next.store(self.n, Ordering::Relaxed);
            let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic.get_or_insert(payload);
        }
    }
}

impl Pool {
    /// A pool of this many threads, or of as many as the system lets start.
    pub(crate) fn new(threads: usize) -> Self {
        let available = thread::available_parallelism().map_or(1, usize::from);
        let mut shared = Shared {
            state: Line(AtomicU64::new(0)),
            task: AtomicPtr::new(ptr::null_mut()),
            busy: Line(AtomicBool::new(false)),
            asleep: Vec::new(),
            done: Default::default(),
            // With fewer processors than threads, one that spins keeps another from its work.
            spin: if threads > available {
                Duration::ZERO
            } else {
                SPIN
            },
        };
        let limit = usize::try_from(AT_WORK).expect("sixteen bits fit");
        let count = threads.clamp(1, limit) - 1;
        shared.asleep.resize_with(count, Line::default);
        let shared = Arc::new(shared);
        let workers = (0..count)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                let name = format!("hfcore-{}", index + 1);
                thread::Builder::new()
                    .name(name)
                    .spawn(move || shared.serve(index))
                    .ok()
            })
            .collect();
        Self { shared, workers }
    }

    /// The threads that take part, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Run `f` over `0..n` in ranges of `grain` numbers, the last perhaps shorter, dealt to the threads
    /// as they come free.
    ///
    /// Returns when all is done. `f` must not depend on who runs which range, nor on their order.
    /// While another caller has the threads, and inside of `f`, all of it runs on the calling thread.
    ///
    /// # Panics
    /// If `f` panics, with its panic; some ranges may not have been run then.
    pub(crate) fn for_each(&self, n: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
        self.deal(n, Deal::Equal(grain.max(1)), grain.max(1), &f);
    }

    /// Run `f` over `0..n` in ranges that begin large, at most `most`, and become smaller the less is left,
    /// down to `step`: few of them, and yet all threads are done at about the same time.
    ///
    /// For what is fast on long ranges. All else is as with [`for_each`](Self::for_each).
    ///
    /// # Panics
    /// If `f` panics, with its panic; some ranges may not have been run then.
    pub(crate) fn for_each_shrinking(
        &self,
        n: usize,
        step: usize,
        most: usize,
        f: impl Fn(Range<usize>) + Sync,
    ) {
        let step = step.max(1);
        let most = (most / step).max(1) * step;
        let threads = self.threads();
        let deal = Deal::Shrinking {
            step,
            most,
            threads,
        };
        self.deal(n, deal, most, &f);
    }

    /// Run `f` over `0..n`, dealt to the threads or, in ranges of `alone`, on this one.
    fn deal(&self, n: usize, deal: Deal, alone: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
        let task = Task {
            f,
            n,
            deal,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
        };
        let single = self.workers.is_empty() || task.ranges() <= 1;
        if single || self.shared.busy.0.swap(true, Ordering::Acquire) {
            for start in (0..n).step_by(alone) {
                f(start..n.min(start + alone));
            }
            return;
        }
        self.share(&task);
        self.shared.busy.0.store(false, Ordering::Release);
        if let Some(payload) = task
            .panic
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            resume_unwind(payload);
        }
    }

    /// [`for_each`](Self::for_each) over rows of `width` numbers: `f` gets the number of a first row
    /// and, to write, up to `grain` rows from there on.
    ///
    /// # Panics
    /// If `data` are not whole rows, or `f` panics.
    pub(crate) fn for_rows(
        &self,
        data: &mut [f32],
        width: usize,
        grain: usize,
        f: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        if data.is_empty() {
            return;
        }
        assert_eq!(data.len() % width, 0, "rows of {width}");
        let rows = data.len() / width;
        let parts = Parts::new(data);
        self.for_each(rows, grain, |range| {
            // SAFETY: `for_each` deals each row once.
            let part = unsafe { parts.part(range.start * width..range.end * width) };
            f(range.start, part);
        });
    }

    /// Let the threads work at `task` with the caller, until it is done.
    ///
    /// Does not unwind: `task` is on the caller's stack, and threads hold on to it.
    fn share(&self, task: &Task<'_>) {
        let shared = &*self.shared;
        shared
            .task
            .store(ptr::from_ref(task).cast_mut().cast(), Ordering::Relaxed);
        // Nobody is at work and nobody may join: this thread alone changes the state.
        let number = shared.state.0.load(Ordering::Relaxed) & !(NEXT - 1);
        shared
            .state
            .0
            .store(number.wrapping_add(NEXT) | OPEN, Ordering::SeqCst);
        for (worker, asleep) in self
            .workers
            .iter()
            .zip(&shared.asleep)
            .take(task.ranges() - 1)
        {
            if asleep.0.load(Ordering::SeqCst) && asleep.0.swap(false, Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        task.work();
        let mut state = shared.state.0.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0_u32;
        let mut since = None;
        while state & AT_WORK != 0 {
            spins += 1;
            if spins.is_multiple_of(64)
                && since.get_or_insert_with(Instant::now).elapsed() >= shared.spin
            {
                shared.sleep_while_at_work();
                return;
            }
            std::hint::spin_loop();
            state = shared.state.0.load(Ordering::Acquire);
        }
    }
}

impl Shared {
    /// The life of worker `index`.
    fn serve(&self, index: usize) {
        let mut last = 0;
        loop {
            let state = self.wait(index, last);
            if state & STOP != 0 {
                return;
            }
            let joined = self.state.0.compare_exchange(
                state,
                state + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if joined.is_err() {
                continue;
            }
            last = state & !(NEXT - 1);
            let task = self.task.load(Ordering::Relaxed);
            // SAFETY: this thread was counted while the operation was open, so that its caller,
            // who owns the task, stays in `share` until this thread is counted out below.
            let task = unsafe { &*task };
            task.work();
            let before = self.state.0.fetch_sub(1, Ordering::AcqRel);
            if before & (AT_WORK | AWAITED) == 1 | AWAITED {
                // The caller has the lock from before it asked to be woken up until it sleeps.
                drop(self.done.0.lock().unwrap_or_else(PoisonError::into_inner));
                self.done.1.notify_all();
            }
        }
    }

    /// The caller sleeps until nobody is at work: the processor is free for a thread that was interrupted.
    fn sleep_while_at_work(&self) {
        let (lock, done) = &self.done;
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Either the last thread at work sees this bit, or this thread sees that nobody is at work.
        let mut state = self.state.0.fetch_or(AWAITED, Ordering::AcqRel);
        while state & AT_WORK != 0 {
            guard = done.wait(guard).unwrap_or_else(PoisonError::into_inner);
            state = self.state.0.load(Ordering::Acquire);
        }
        drop(guard);
    }

    /// Wait for an operation other than `last`, or for the end. Returns the state that says so.
    fn wait(&self, index: usize, last: u64) -> u64 {
        let news =
            |state: u64| state & STOP != 0 || (state & OPEN != 0 && state & !(NEXT - 1) != last);
        let since = Instant::now();
        loop {
            for _ in 0..64 {
                let state = self.state.0.load(Ordering::Acquire);
                if news(state) {
                    return state;
                }
                std::hint::spin_loop();
            }
            if since.elapsed() < self.spin {
                continue;
            }
            // Either this thread sees the new state now, or the one who sets it sees this flag:
            // both are sequentially consistent.
            self.asleep[index].0.store(true, Ordering::SeqCst);
            if !news(self.state.0.load(Ordering::SeqCst)) {
                thread::park();
            }
            self.asleep[index].0.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.0.fetch_or(STOP, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // Workers catch the panics of what they run.
            let _ = worker.join();
        }
    }
}

/// A slice that several threads write, each its own parts.
#[derive(Debug)]
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` in pieces, which may go to other threads where `T` may.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above; `part` asks its callers for pieces that do not overlap.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The part `range`, to write.
    ///
    /// # Safety
    /// No two parts that live at the same time may overlap.
    ///
    /// # Panics
    /// If `range` ends beyond the slice.
    #[allow(
        clippy::mut_from_ref,
        reason = "the caller promises parts that do not overlap"
    )]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {}",
            self.len
        );
        // SAFETY: the range is inside of the slice.
        let start = unsafe { self.start.add(range.start) };
        // SAFETY: inside of the slice, which is borrowed for `'a`; the caller promises that no
        // other part overlaps it.
        unsafe { std::slice::from_raw_parts_mut(start, range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each number of `0..n` came.
    fn count(pool: &Pool, n: usize, grain: usize) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
        pool.for_each(n, grain, |range| {
            assert!(!range.is_empty() && range.len() <= grain && range.start.is_multiple_of(grain));
            for i in range {
                counts[i].fetch_add(1, Ordering::Relaxed);
            }
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_number_comes_once() {
        // Eight threads are more than most test machines have.
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for (n, grain) in [(0, 1), (1, 1), (5, 8), (64, 8), (1000, 7), (3, 1)] {
                assert_eq!(
                    count(&pool, n, grain),
                    vec![1; n],
                    "{threads} threads, {n} by {grain}"
                );
            }
        }
    }

    #[test]
    fn shrinking_ranges_cover_every_number_once() {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            for (n, step, most) in [
                (0, 1, 9),
                (1, 4, 4),
                (1000, 8, 100),
                (999, 7, 1),
                (64, 64, 640),
            ] {
                let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                let ranges = AtomicUsize::new(0);
                pool.for_each_shrinking(n, step, most, |range| {
                    let whole = range.len().is_multiple_of(step) || range.end == n;
                    assert!(
                        whole && !range.is_empty() && range.len() <= most.max(step),
                        "{range:?}"
                    );
                    ranges.fetch_add(1, Ordering::Relaxed);
                    range.for_each(|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                });
                let counts: Vec<_> = counts.into_iter().map(AtomicUsize::into_inner).collect();
                assert_eq!(
                    counts,
                    vec![1; n],
                    "{threads} threads, {n} by {step} to {most}"
                );
                assert!(ranges.into_inner() <= n.div_ceil(step));
            }
        }
    }

    #[test]
    fn a_caller_that_sleeps_is_woken_up() {
        let pool = Pool::new(2);
        for _ in 0..20 {
            let (taken, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let caller = thread::current().id();
            pool.for_each(2, 1, |_| {
                taken.fetch_add(1, Ordering::SeqCst);
                while taken.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
                if thread::current().id() != caller {
                    thread::sleep(SPIN * 10);
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(done.into_inner(), 2);
        }
    }

    #[test]
    fn many_short_operations_follow_each_other() {
        let pool = Pool::new(4);
        for round in 0..20_000 {
            let sum = AtomicUsize::new(0);
            pool.for_each(4, 1, |range| {
                sum.fetch_add(range.start + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 10, "round {round}");
        }
    }

    #[test]
    fn sleeping_threads_wake_up() {
        let pool = Pool::new(2);
        for _ in 0..20 {
            thread::sleep(SPIN * 4);
            // The caller cannot finish the first range before somebody else has taken the second.
            let taken = AtomicUsize::new(0);
            pool.for_each(2, 1, |_| {
                taken.fetch_add(1, Ordering::SeqCst);
                while taken.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for bad in [0, 50, 99] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.for_each(100, 1, |range| assert!(range.start != bad, "number {bad}"));
            }));
            let payload = result.unwrap_err();
            assert_eq!(
                payload.downcast_ref::<String>(),
                Some(&format!("number {bad}"))
            );
            assert_eq!(count(&pool, 100, 3), vec![1; 100]);
        }
    }

    #[test]
    fn nested_and_concurrent_callers_get_their_work_done() {
        let pool = Pool::new(2);
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.for_each(6, 1, |_| {
                            pool.for_each(5, 2, |range| {
                                total.fetch_add(range.len(), Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * 6 * 5);
    }

    #[test]
    fn rows_are_written_by_many() {
        let pool = Pool::new(3);
        let mut data = vec![0.0; 7 * 11];
        pool.for_rows(&mut data, 11, 2, |first, rows| {
            for (r, row) in rows.chunks_mut(11).enumerate() {
                row.fill((first + r) as f32);
            }
        });
        assert!(
            data.chunks(11)
                .enumerate()
                .all(|(r, row)| row == vec![r as f32; 11])
        );
    }

    #[test]
    fn dropping_ends_the_threads() {
        for _ in 0..50 {
            let pool = Pool::new(4);
            let shared = Arc::downgrade(&pool.shared);
            let _ = count(&pool, 10, 1);
            drop(pool);
            assert_eq!(shared.strong_count(), 0);
        }
    }
}
