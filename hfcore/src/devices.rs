//! GPUs as the environment chooses them.
//!
//! The crates below read no environment but for the instruction set of the CPU: a program that lets its
//! user choose opens `Device::wgpu_with(&hfcore::wgpu_options()?)`, as the command line does.

use std::env;

use hfcore_kernels::{DeviceError, WgpuOptions};

/// The variable that names an adapter: an index, part of a name, or `cpu` for a software adapter.
pub const WGPU_ADAPTER: &str = "HFCORE_WGPU_ADAPTER";

/// The variable that takes away what an adapter can do: see [`WgpuForce`](crate::WgpuForce).
pub const WGPU_FORCE: &str = "HFCORE_WGPU_FORCE";

/// Options for a GPU as `HFCORE_WGPU_ADAPTER` and `HFCORE_WGPU_FORCE` say, where they say something.
///
/// # Errors
/// If one of them says what means nothing.
pub fn wgpu_options() -> Result<WgpuOptions, DeviceError> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    options(
        variable(WGPU_ADAPTER).as_deref(),
        variable(WGPU_FORCE).as_deref(),
    )
}

fn options(adapter: Option<&str>, force: Option<&str>) -> Result<WgpuOptions, DeviceError> {
    let mut options = WgpuOptions::default();
    if let Some(adapter) = adapter {
        options = options.with_adapter(adapter.parse()?);
    }
    if let Some(force) = force {
        options = options.with_force(force.parse()?);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use hfcore_kernels::WgpuSelect;

    use super::*;

    #[test]
    fn what_the_variables_say_is_meant() {
        let unset = options(None, None).unwrap();
        assert!(unset.adapter.is_none() && unset.force.is_empty());
        let set = options(Some("1"), Some("no_f16,max_binding=1MiB")).unwrap();
        assert_eq!(set.adapter, Some(WgpuSelect::Index(1)));
        assert!(set.force.no_f16 && set.force.max_binding == Some(1 << 20));
        let error = options(None, Some("no_f61")).unwrap_err().to_string();
        assert!(error.contains("no_f61"), "{error}");
    }
}
