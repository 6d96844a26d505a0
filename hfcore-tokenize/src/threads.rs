//! Work on all cores, with results in order.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fewer bytes than this for each thread are not worth starting it.
const BYTES: usize = 16 << 10;

/// How many threads to use: those asked for, but no more than items; or by cores and size.
pub(crate) fn count(asked: Option<usize>, items: usize, bytes: usize) -> usize {
    let by_size = || {
        if !tokenizers::parallelism::get_parallelism() {
            return 1;
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        cores.min(1 + bytes / BYTES)
    };
    asked.unwrap_or_else(by_size).min(items).max(1)
}

/// `work` on each item, on `threads` threads. The results are in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    // A few items at a time: long texts do not leave the other threads idle, short ones do not wait for the counter.
    let step = (items.len() / (threads * 8)).clamp(1, 64);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(step, Ordering::Relaxed);
            if from >= items.len() {
                return done;
            }
            let to = items.len().min(from + step);
            done.push((from, items[from..to].iter().map(&work).collect::<Vec<R>>()));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut done = worker();
        for other in others {
            match other.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(from, _)| *from);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2, 3, 7] {
            let squares = map(&items, threads, |item| item * item);
            assert!(
                squares
                    .iter()
                    .enumerate()
                    .all(|(at, square)| at * at == *square)
            );
            assert_eq!(squares.len(), 1000);
        }
        assert!(map(&[] as &[u8], 4, |_| 0).is_empty());
    }

    #[test]
    fn as_many_threads_as_asked_for() {
        assert_eq!(count(Some(3), 100, 0), 3);
        assert_eq!(count(Some(3), 2, 1 << 30), 2);
        assert_eq!(count(Some(0), 2, 0), 1);
        assert_eq!(count(None, 100, 10), 1);
    }
}
