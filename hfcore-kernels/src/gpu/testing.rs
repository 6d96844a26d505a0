//! Devices for tests: what the machine has, with all that it can do and with the least.
//!
//! The devices are one for the whole process: a device takes longer to open than most tests to run. Tests
//! take turns, so that counters are a test's own, and where there is no adapter they say that they did
//! nothing. `HFCORE_REQUIRE_WGPU=1` makes that a failure; `HFCORE_WGPU_ADAPTER` chooses the adapter,
//! software by default only where there is no other.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::{Device, Precision};

use super::{Caps, Gpu, WgpuForce, WgpuOptions, WgpuSelect, adapters};

/// What no adapter has to be asked for.
pub(crate) fn caps() -> Caps {
    Caps {
        f16: false,
        subgroups: false,
        subgroup_size: [4, 128],
        immediates: false,
        cooperative_matrix: None,
        timestamps: false,
        storage_bindings: 8,
        max_binding: 128 << 20,
        max_buffer: 256 << 20,
        alignment: 256,
        workgroup_memory: 16 << 10,
        workgroup_threads: 256,
    }
}

/// Run `test` on each device that operations are tested on: with all that the adapter can do, and with
/// [the least](WgpuForce::minimal). Both are exact: products that round their factors have tests of their own,
/// in `ops/coop`. None where the machine has no adapter, which is said. One test at a
/// time, as counters count for all.
pub(crate) fn each_device(test: impl Fn(&Device)) {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    let _turn = turn();
    let devices = DEVICES.get_or_init(|| {
        let exact = WgpuOptions::default().with_precision(Precision::Strict);
        [WgpuForce::default(), WgpuForce::minimal()]
            .into_iter()
            .filter_map(|force| open(&exact.clone().with_force(force)))
            .map(Device::of_gpu)
            .collect()
    });
    for device in devices {
        test(device);
    }
}

/// A turn for a test that needs devices of its own.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has its turn behind it.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The adapter that tests run on, with these options; none where the machine has none, which is said.
///
/// # Panics
/// If there is none and `HFCORE_REQUIRE_WGPU` is set, or the one there is cannot be opened.
pub(crate) fn open(options: &WgpuOptions) -> Option<Arc<Gpu>> {
    static COUNT: OnceLock<usize> = OnceLock::new();
    if *COUNT.get_or_init(|| adapters().len()) == 0 {
        assert!(
            std::env::var_os("HFCORE_REQUIRE_WGPU").is_none_or(|value| value == "0"),
            "HFCORE_REQUIRE_WGPU is set, and there is no adapter"
        );
        eprintln!(
            "SKIPPED: no GPU and no software Vulkan on this machine (mesa-vulkan-drivers has one)"
        );
        return None;
    }
    let select = match std::env::var("HFCORE_WGPU_ADAPTER") {
        Ok(text) if !text.is_empty() => text.parse().expect("HFCORE_WGPU_ADAPTER names an adapter"),
        // The first there is, software too.
        _ => WgpuSelect::Index(0),
    };
    let options = options.clone().with_adapter(select);
    Some(Gpu::open(&options).expect("the adapter opens"))
}

/// Numbers from `-size` to `size` that look random, and are always the same (splitmix64).
pub(crate) fn numbers(n: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u16::try_from((z ^ (z >> 31)) >> 48).expect("16 bits");
        (f32::from(bits) / 32768.0 - 1.0) * size
    };
    std::iter::repeat_with(next).take(n).collect()
}
