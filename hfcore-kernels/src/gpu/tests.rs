//! Recording, plans and replays, whatever the operations are.

use crate::{Device, Tensor, add, mul, rms_norm, scale};

use super::testing::{each_device, numbers};

/// A little of everything: operands that are with us, parameters, values used twice.
fn step(device: &Device, gain: &Tensor, x: &[f32]) -> Tensor {
    let x = Tensor::from_vec(device, &[3, 70], x.to_vec());
    let n = rms_norm(&x, Some(gain), 1e-5, false);
    let doubled = add(n.clone(), &n);
    let y = mul(scale(doubled, 0.5), &x);
    add(y, &n)
}

#[test]
fn a_step_gives_what_the_cpu_gives() {
    let cpu = Device::cpu();
    let (gain, x) = (numbers(70, 1, 0.5), numbers(210, 2, 0.5));
    let expected = step(&cpu, &Tensor::from_vec(&cpu, &[70], gain.clone()), &x);
    let expected = expected.into_vec().unwrap();
    each_device(|device| {
        let gain = Tensor::parameter(device, &[70], gain.clone());
        let found = step(device, &gain, &x).into_vec().unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0));
        }
    });
}

#[test]
fn the_second_step_makes_nothing_and_submits_once() {
    each_device(|device| {
        let gain = Tensor::parameter(device, &[70], numbers(70, 1, 0.5));
        let run = |seed| {
            step(device, &gain, &numbers(210, seed, 0.5))
                .into_vec()
                .unwrap()
        };
        let first = [run(5), run(6)];
        assert_ne!(first[0], first[1], "the words of a step are its own");
        let before = device.wgpu_counters().unwrap();
        let again = [run(5), run(6)];
        let after = device.wgpu_counters().unwrap();
        assert_eq!(first, again);
        assert_eq!(after.created_objects, before.created_objects);
        assert_eq!(after.allocated_bytes, before.allocated_bytes);
        assert_eq!(after.submits - before.submits, 2);
        assert_eq!(after.dispatches - before.dispatches, 2 * 5);
        assert_eq!(
            (after.replays - before.replays, after.plans - before.plans),
            (2, 0)
        );
    });
}

#[test]
fn a_value_outlives_the_flush_and_others_are_not_computed() {
    each_device(|device| {
        let x = Tensor::from_vec(device, &[4], vec![1.0, 2.0, 3.0, 4.0]);
        let kept = scale(x.clone(), 2.0);
        let read = scale(kept.clone(), 10.0);
        let before = device.wgpu_counters().unwrap();
        drop(scale(x, 3.0));
        assert_eq!(read.to_vec().unwrap(), [20.0, 40.0, 60.0, 80.0]);
        let after = device.wgpu_counters().unwrap();
        assert_eq!(after.dispatches - before.dispatches, 2);
        // In the next recording, and once more after that.
        let sum = add(kept.clone(), &read);
        assert_eq!(sum.into_vec().unwrap(), [22.0, 44.0, 66.0, 88.0]);
        assert_eq!(kept.into_vec().unwrap(), [2.0, 4.0, 6.0, 8.0]);
    });
}

#[test]
fn to_submit_is_not_to_lose() {
    each_device(|device| {
        let x = scale(Tensor::from_vec(device, &[2], vec![1.0, 2.0]), 2.0);
        device.submit();
        let y = scale(x, 2.0);
        device.submit();
        device.submit();
        assert_eq!(y.into_vec().unwrap(), [4.0, 8.0]);
    });
}

/// Parameters that are dropped take their plans with them, and all of their memory.
#[test]
fn memory_is_given_back() {
    each_device(|device| {
        let run = |seed| {
            let gain = Tensor::parameter(device, &[70], numbers(70, seed, 0.5));
            step(device, &gain, &numbers(210, seed, 0.5))
                .into_vec()
                .unwrap()
        };
        run(1);
        device.finish_weights().unwrap();
        device.submit();
        let before = device.wgpu_counters().unwrap().allocated_bytes;
        for seed in 2..8 {
            run(seed);
        }
        device.finish_weights().unwrap();
        device.submit();
        assert_eq!(device.wgpu_counters().unwrap().allocated_bytes, before);
    });
}

/// Whoever records without end and never reads is run in between.
#[test]
fn a_recording_has_an_end() {
    each_device(|device| {
        let one = Tensor::parameter(device, &[1], vec![1.0]);
        let before = device.wgpu_counters().unwrap().submits;
        let mut x = Tensor::from_vec(device, &[1], vec![0.0]);
        for _ in 0..(1 << 14) + 100 {
            x = add(x, &one);
        }
        assert_eq!(x.into_vec().unwrap(), [(1 << 14) as f32 + 100.0]);
        let submits = device.wgpu_counters().unwrap().submits - before;
        assert!((2..10).contains(&submits), "{submits} submissions");
    });
}

/// Each thread's steps are its own; a value goes from one to another.
#[test]
fn threads_record_by_themselves() {
    each_device(|device| {
        let gain = Tensor::parameter(device, &[70], numbers(70, 1, 0.5));
        let run = |seed| {
            step(device, &gain, &numbers(210, seed, 0.5))
                .into_vec()
                .unwrap()
        };
        let alone: Vec<_> = (0..8).map(run).collect();
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || run(seed))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(alone, together);
        let made = scale(Tensor::from_vec(device, &[2], vec![1.0, 2.0]), 3.0);
        let there = std::thread::scope(|scope| {
            scope
                .spawn(|| scale(made.clone(), 2.0).into_vec().unwrap())
                .join()
                .unwrap()
        });
        assert_eq!(there, [6.0, 12.0]);
        // Between a node's operands, of which the first is with us.
        let waiting = scale(Tensor::from_vec(device, &[2], vec![1.0, 2.0]), 5.0);
        let there = std::thread::scope(|scope| {
            let sum = || {
                let here = Tensor::from_vec(device, &[2], vec![100.0, 200.0]);
                add(here, &waiting).into_vec().unwrap()
            };
            scope.spawn(sum).join().unwrap()
        });
        assert_eq!(there, [105.0, 210.0]);
        assert_eq!(made.into_vec().unwrap(), [3.0, 6.0]);
    });
}
