//! Devices for tests: what the machine has, with all that it can do and with the least.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Device;

use super::{Caps, Gpu, WgpuOptions};

/// What no adapter has to be asked for.
pub(crate) fn caps() -> Caps {
    Caps {
        f16: false,
        subgroups: false,
        immediates: false,
        max_binding: 128 << 20,
        max_buffer: 256 << 20,
        alignment: 256,
    }
}

/// Run `test` on each device that operations are tested on: none where the machine has no adapter, which is
/// said. One test at a time, as counters count for all.
pub(crate) fn each_device(test: impl Fn(&Device)) {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = GPU.get_or_init(|| Gpu::open(&WgpuOptions::default()).ok());
    let Some(gpu) = gpu else {
        assert!(
            std::env::var_os("HFCORE_REQUIRE_WGPU").is_none(),
            "HFCORE_REQUIRE_WGPU is set, and there is no adapter"
        );
        eprintln!("SKIPPED: no GPU and no software Vulkan on this machine");
        return;
    };
    test(&Device::of_gpu(Arc::clone(gpu)));
}
