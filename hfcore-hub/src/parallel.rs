//! The same work on many things, several at a time, until the first failure.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The results of `work` on each of `items`, in their order, from up to `workers` threads that begin with the first
/// items. After a failure no further item is begun, and the flag that `work` is given is set: what is under way may end
/// early. The first failure is the result.
pub(crate) fn run<T: Sync, R: Send, E: Send>(
    workers: usize,
    items: &[T],
    work: impl Fn(&T, &Arc<AtomicBool>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let stop = Arc::new(AtomicBool::new(false));
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let failure = Mutex::new(None);
    let take_turns = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return;
            };
            match work(item, &stop) {
                Ok(result) => {
                    *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
                Err(error) => {
                    // Later failures are those of work that was told to stop.
                    if !stop.swap(true, Ordering::Relaxed) {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers.min(items.len()) {
            scope.spawn(take_turns);
        }
        take_turns();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let results = results.into_iter().map(|result| {
        let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.expect("without a failure every item has a result")
    });
    Ok(results.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_a_failure_ends_it() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = run(8, &items, |item, _| Ok::<_, ()>(item * 2)).unwrap();
        assert_eq!(doubled, (0..100).map(|item| item * 2).collect::<Vec<_>>());
        let begun = AtomicUsize::new(0);
        let failed = run(1, &items, |item, _| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 5 { Err(*item) } else { Ok(()) }
        });
        assert_eq!((failed, begun.into_inner()), (Err(5), 6));
        let told = AtomicUsize::new(0);
        let failed = run(2, &items[..2], |item, stop| {
            if *item == 1 {
                return Err(());
            }
            while !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            told.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!((failed, told.into_inner()), (Err(()), 1));
        assert_eq!(
            run(3, &[] as &[usize], |_, _| Err::<(), ()>(())),
            Ok(vec![])
        );
    }
}
