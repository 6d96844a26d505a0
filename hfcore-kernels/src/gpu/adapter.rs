//! Choosing a GPU, and asking it for what is used of it.
//!
//! Adapters have an order: as their kind promises speed, discrete before integrated, software last; of one
//! kind as the system lists them. The first that is no software is taken, unless another is named. A
//! software adapter is right and slow: it is taken only when it is asked for.

use std::fmt;
use std::str::FromStr;

use crate::{DeviceError, Precision};

use super::Caps;
use super::caps::{WgpuForce, WgpuTier};

/// How to choose a GPU, and what to use of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WgpuOptions {
    /// Which one. Unset: the first that `power` prefers and that is no software.
    pub adapter: Option<WgpuSelect>,
    /// What to prefer where none is named.
    pub power: WgpuPower,
    /// Less than what it has.
    pub force: WgpuForce,
    /// The most bytes that this device's buffers may have together. Unset: what the driver gives.
    pub memory_budget: Option<u64>,
    /// Measure times between kernels, if it can.
    pub profiling: bool,
    /// Make up the numbers of weights on the device, and never look at the host's: for measuring.
    #[doc(hidden)]
    pub synthetic_weights: bool,
    /// How exact it is: [`Precision::Strict`] keeps keys and values in `f32` and never rounds a factor.
    pub precision: Precision,
}

impl WgpuOptions {
    /// Be this exact.
    #[must_use]
    pub const fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Use this adapter.
    #[must_use]
    pub fn with_adapter(mut self, adapter: WgpuSelect) -> Self {
        self.adapter = Some(adapter);
        self
    }

    /// Prefer adapters like that, where none is named.
    #[must_use]
    pub const fn with_power(mut self, power: WgpuPower) -> Self {
        self.power = power;
        self
    }

    /// Use less than what it has.
    #[must_use]
    pub const fn with_force(mut self, force: WgpuForce) -> Self {
        self.force = force;
        self
    }

    /// Never have more than so many bytes of buffers: what would is [`DeviceError::OverBudget`].
    #[must_use]
    pub const fn with_memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Measure times between kernels, if it can.
    #[must_use]
    pub const fn with_profiling(mut self, profiling: bool) -> Self {
        self.profiling = profiling;
        self
    }

    /// Make up the numbers of weights on the device, and never look at the host's: for measuring.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_synthetic_weights(mut self, synthetic_weights: bool) -> Self {
        self.synthetic_weights = synthetic_weights;
        self
    }
}

/// Which of the adapters.
///
/// Parsed from a text: digits are an index, `cpu` is the first software adapter, all else is part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WgpuSelect {
    /// The one at this place of [`Device::wgpu_adapters`](crate::Device::wgpu_adapters).
    Index(usize),
    /// The first whose name, or whose driver's, has this in it, in upper or lower case.
    Name(String),
    /// The first that is software.
    Software,
}

impl FromStr for WgpuSelect {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let text = text.trim();
        match text {
            "" => Err(DeviceError::InvalidOption {
                option: "an adapter",
                expected: "an index, part of a name, or cpu for a software adapter",
                found: text.to_owned(),
            }),
            "cpu" => Ok(Self::Software),
            _ => Ok(text
                .parse()
                .map_or_else(|_| Self::Name(text.to_owned()), Self::Index)),
        }
    }
}

/// What to prefer of several adapters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WgpuPower {
    /// Speed: a GPU of its own.
    #[default]
    High,
    /// A long life of the battery: a GPU that is part of the processor.
    Low,
}

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WgpuAdapterType {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU of a host, seen from a virtual machine.
    Virtual,
    /// A GPU that is part of the processor and shares its memory.
    Integrated,
    /// Not known.
    Other,
    /// Software on the CPU.
    Cpu,
}

impl WgpuAdapterType {
    /// The name in reports: `discrete`, `virtual`, `integrated`, `other`, `cpu`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Virtual => "virtual",
            Self::Integrated => "integrated",
            Self::Other => "other",
            Self::Cpu => "cpu",
        }
    }

    const fn of(kind: wgpu::DeviceType) -> Self {
        match kind {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::Cpu => Self::Cpu,
            wgpu::DeviceType::Other => Self::Other,
        }
    }

    /// The place in the order of adapters.
    const fn rank(self, power: WgpuPower) -> u8 {
        match (self, power) {
            (Self::Discrete, WgpuPower::High) | (Self::Integrated, WgpuPower::Low) => 0,
            (Self::Virtual, WgpuPower::High) | (Self::Discrete, WgpuPower::Low) => 1,
            (Self::Integrated, WgpuPower::High) | (Self::Virtual, WgpuPower::Low) => 2,
            (Self::Other, _) => 3,
            (Self::Cpu, _) => 4,
        }
    }
}

impl fmt::Display for WgpuAdapterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WgpuAdapter {
    /// Its place among the adapters, for [`WgpuSelect::Index`].
    pub index: usize,
    /// Its name: `NVIDIA H200`.
    pub name: String,
    /// How it is reached: `vulkan`, `metal` or `dx12`.
    pub backend: &'static str,
    /// Its driver and the driver's version, as far as they are known.
    pub driver: String,
    /// What it is.
    pub adapter_type: WgpuAdapterType,
    /// Bytes of its memory; unknown where only the system could say.
    pub memory: Option<u64>,
    /// Bytes of one binding of a kernel: larger weights are split.
    pub max_binding: u64,
    /// Bytes of one buffer.
    pub max_buffer: u64,
    /// Bytes that a workgroup shares.
    pub workgroup_memory: u32,
    /// Threads of a workgroup.
    pub workgroup_threads: u32,
    /// Half precision in shaders.
    pub f16: bool,
    /// The fewest and most lanes of its subgroups, if shaders can use them.
    pub subgroup_size: Option<[u32; 2]>,
    /// Parameters of kernels without a buffer.
    pub immediates: bool,
    /// The edge of the matrices that it multiplies in hardware, from `f16` to `f32`.
    pub cooperative_matrix: Option<u32>,
    /// The kernels that it runs; none, if it lacks what every kernel needs.
    pub tier: Option<WgpuTier>,
    /// What it lacks, if no kernel can run.
    pub missing: Option<String>,
}

/// A GPU that was opened.
pub(super) struct Opened {
    /// For people: `wgpu (NVIDIA H200, vulkan)`.
    pub(super) name: String,
    pub(super) precision: Precision,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) caps: Caps,
    pub(super) info: WgpuAdapter,
    pub(super) memory_budget: Option<u64>,
    pub(super) synthetic_weights: bool,
}

/// What is known of every adapter, in their order for [`WgpuPower::High`].
pub(crate) fn list() -> Vec<WgpuAdapter> {
    find().iter().map(|found| found.info.clone()).collect()
}

/// Open the adapter that `options` choose.
pub(super) fn open(options: &WgpuOptions) -> Result<Opened, DeviceError> {
    let adapters = find();
    let infos: Vec<_> = adapters.iter().map(|found| &found.info).collect();
    let Found { adapter, info } = &adapters[choose(&infos, options)?];
    if let Some(why) = &info.missing {
        return Err(DeviceError::NoAdapter {
            why: format!("{} lacks {why}", described(info)),
        });
    }
    let mut caps = Caps::of(adapter, &options.force, options.profiling);
    if matches!(options.precision, Precision::Strict | Precision::High) {
        // Their factors are half precision.
        caps.cooperative_matrix = None;
    }
    let (device, queue) = request(adapter, &caps).map_err(|error| DeviceError::NoAdapter {
        why: format!("{} could not be opened: {error}", described(info)),
    })?;
    let forced = match options.force.is_empty() {
        true => String::new(),
        false => format!(", {}", options.force),
    };
    let precision = match options.precision {
        Precision::Auto => String::new(),
        precision => format!(", {}", precision.name()),
    };
    Ok(Opened {
        precision: options.precision,
        name: format!("wgpu ({}, {}{forced}{precision})", info.name, info.backend),
        device,
        queue,
        caps,
        info: info.clone(),
        memory_budget: options.memory_budget,
        synthetic_weights: options.synthetic_weights,
    })
}

struct Found {
    adapter: wgpu::Adapter,
    info: WgpuAdapter,
}

/// All adapters, in their order.
fn find() -> Vec<Found> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        // Neither validation layers nor the dispatch that checks every indirect one.
        flags: wgpu::InstanceFlags::empty(),
        // Where the driver says how much memory there is, so much can be had and no more: beyond it, systems
        // move buffers to the host's memory, where kernels are a hundred times slower.
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(99),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut found: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|adapter| Found {
            info: describe(&adapter),
            adapter,
        })
        .collect();
    found.sort_by_key(|found| found.info.adapter_type.rank(WgpuPower::High));
    for (index, found) in found.iter_mut().enumerate() {
        found.info.index = index;
    }
    found
}

fn describe(adapter: &wgpu::Adapter) -> WgpuAdapter {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let caps = Caps::of(adapter, &WgpuForce::default(), false);
    let missing = Caps::missing(&limits);
    WgpuAdapter {
        index: 0,
        name: info.name,
        backend: info.backend.to_str(),
        driver: match (info.driver.as_str(), info.driver_info.as_str()) {
            (driver, "") => driver.to_owned(),
            ("", version) => version.to_owned(),
            (driver, version) => format!("{driver} {version}"),
        },
        adapter_type: WgpuAdapterType::of(info.device_type),
        memory: memory(adapter),
        max_binding: caps.max_binding,
        max_buffer: caps.max_buffer,
        workgroup_memory: caps.workgroup_memory,
        workgroup_threads: caps.workgroup_threads,
        f16: caps.f16,
        subgroup_size: caps.subgroups.then_some(caps.subgroup_size),
        immediates: caps.immediates,
        cooperative_matrix: caps.cooperative_matrix,
        tier: missing.is_none().then(|| caps.tier()),
        missing,
    }
}

/// The place of the adapter that `options` choose among `adapters`.
fn choose(adapters: &[&WgpuAdapter], options: &WgpuOptions) -> Result<usize, DeviceError> {
    let software = |info: &WgpuAdapter| info.adapter_type == WgpuAdapterType::Cpu;
    let position = |wanted: &dyn Fn(&WgpuAdapter) -> bool| adapters.iter().position(|i| wanted(i));
    let (found, wanted) = match &options.adapter {
        Some(WgpuSelect::Index(index)) => {
            let found = (*index < adapters.len()).then_some(*index);
            (found, format!("there is no adapter {index}"))
        }
        Some(WgpuSelect::Name(name)) => {
            let part = name.to_lowercase();
            let has = |text: &str| text.to_lowercase().contains(&part);
            let found = position(&|info| has(&info.name)).or(position(&|info| has(&info.driver)));
            (found, format!("no adapter has {name:?} in its name"))
        }
        Some(WgpuSelect::Software) => (
            position(&software),
            "there is no software adapter".to_owned(),
        ),
        None => {
            let first = (0..adapters.len())
                .filter(|&index| !software(adapters[index]))
                .min_by_key(|&index| adapters[index].adapter_type.rank(options.power));
            (first, "none was found".to_owned())
        }
    };
    found.ok_or_else(|| {
        let remedy = match adapters {
            [] => "; no driver of Vulkan, Metal or DX12 answers: on Linux, the GPU's Vulkan driver and its \
                   loader, libvulkan1, are needed"
                .to_owned(),
            [one] if options.adapter.is_none() => format!(
                "; there is a software adapter, {}, right and slow: choose it as the adapter \"cpu\" \
                 (WgpuSelect::Software, HFCORE_WGPU_ADAPTER=cpu, --device wgpu:cpu)",
                described(one)
            ),
            several => {
                let several: Vec<_> = several.iter().map(|info| described(info)).collect();
                let choose = match options.adapter {
                    None => " (software is right and slow, and taken only if it is chosen: as the adapter \
                             \"cpu\", by index or by name)",
                    Some(_) => "",
                };
                format!("; there are {}{choose}", several.join(", "))
            }
        };
        DeviceError::NoAdapter {
            why: wanted + &remedy,
        }
    })
}

/// `0: NVIDIA H200 (vulkan, discrete)`.
fn described(info: &WgpuAdapter) -> String {
    let WgpuAdapter {
        index,
        name,
        backend,
        adapter_type,
        ..
    } = info;
    format!("{index}: {name} ({backend}, {adapter_type})")
}

/// Ask for exactly what `caps` say.
pub(super) fn request(
    adapter: &wgpu::Adapter,
    caps: &Caps,
) -> Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError> {
    let experimental_features = match caps.cooperative_matrix {
        // SAFETY: what wgpu warns of is that code behind it may be wrong where it is not looked at. The one
        // experimental feature is products of matrices, of sizes that the adapter says it has.
        Some(_) => unsafe { wgpu::ExperimentalFeatures::enabled() },
        None => wgpu::ExperimentalFeatures::disabled(),
    };
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("hfcore"),
        required_features: caps.features(),
        required_limits: caps.limits(&adapter.limits()),
        experimental_features,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    }))
}

/// Bytes of the adapter's own memory, which wgpu does not tell: of Vulkan's heaps that are the device's, the
/// largest.
#[cfg(any(
    windows,
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd"
))]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: nothing of the adapter is destroyed through it.
    let adapter = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = adapter.shared_instance().raw_instance();
    // SAFETY: the physical device is of this instance, which the adapter keeps alive.
    let properties =
        unsafe { instance.get_physical_device_memory_properties(adapter.raw_physical_device()) };
    let heaps = properties.memory_heaps.iter();
    heaps
        .take(usize::try_from(properties.memory_heap_count).ok()?)
        .filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0)
        .map(|heap| heap.size)
        .max()
}

#[cfg(not(any(
    windows,
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd"
)))]
fn memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(index: usize, name: &str, adapter_type: WgpuAdapterType) -> WgpuAdapter {
        WgpuAdapter {
            index,
            name: name.to_owned(),
            backend: "vulkan",
            driver: "Mesa 22.3".to_owned(),
            adapter_type,
            memory: None,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            workgroup_memory: 16 << 10,
            workgroup_threads: 256,
            f16: true,
            subgroup_size: Some([8, 8]),
            immediates: true,
            cooperative_matrix: None,
            tier: Some(WgpuTier::Native),
            missing: None,
        }
    }

    fn chosen(adapters: &[WgpuAdapter], options: &WgpuOptions) -> Result<usize, String> {
        let adapters: Vec<_> = adapters.iter().collect();
        choose(&adapters, options).map_err(|error| error.to_string())
    }

    #[test]
    fn the_fastest_is_taken_unless_another_is_named() {
        use WgpuAdapterType::{Cpu, Discrete, Integrated};
        let adapters = [
            info(0, "GeForce RTX 5090", Discrete),
            info(1, "Radeon 780M", Integrated),
            info(2, "llvmpipe", Cpu),
        ];
        let by = |text: &str| WgpuOptions::default().with_adapter(text.parse().unwrap());
        assert_eq!(chosen(&adapters, &WgpuOptions::default()), Ok(0));
        let low = WgpuOptions::default().with_power(WgpuPower::Low);
        assert_eq!(chosen(&adapters, &low), Ok(1));
        assert_eq!(chosen(&adapters, &by("radeon")), Ok(1));
        assert_eq!(chosen(&adapters, &by("2")), Ok(2));
        assert_eq!(chosen(&adapters, &by("cpu")), Ok(2));
        assert_eq!(
            chosen(&adapters, &by("mesa")),
            Ok(0),
            "by the driver's name"
        );
        let error = chosen(&adapters, &by("arc")).unwrap_err();
        assert!(
            error.contains("no adapter has \"arc\" in its name")
                && error.contains("1: Radeon 780M (vulkan, integrated), 2: llvmpipe (vulkan, cpu)"),
            "{error}"
        );
        let error = chosen(&adapters, &by("3")).unwrap_err();
        assert!(
            error.contains("there is no adapter 3; there are 0: GeForce"),
            "{error}"
        );
    }

    #[test]
    fn software_is_taken_only_if_it_is_asked_for() {
        let adapters = [info(0, "llvmpipe", WgpuAdapterType::Cpu)];
        let error = chosen(&adapters, &WgpuOptions::default()).unwrap_err();
        assert!(
            error.contains("0: llvmpipe (vulkan, cpu)")
                && error.contains("HFCORE_WGPU_ADAPTER=cpu"),
            "{error}"
        );
        let error = chosen(&[], &WgpuOptions::default()).unwrap_err();
        assert!(error.contains("libvulkan1"), "{error}");
        assert!("".parse::<WgpuSelect>().is_err());
    }

    /// What this machine has. Asked for by index and by name, it opens; by itself, software does not.
    #[test]
    fn the_adapters_of_this_machine_open() {
        let _turn = crate::gpu::testing::turn();
        let adapters = list();
        for (index, info) in adapters.iter().enumerate() {
            println!("{info:?}");
            assert_eq!(info.index, index);
            assert!(info.max_binding.is_multiple_of(256) && info.max_binding <= info.max_buffer);
        }
        let Some(first) = adapters.first() else {
            return;
        };
        let by = |adapter| open(&WgpuOptions::default().with_adapter(adapter)).map(|o| o.info);
        assert_eq!(by(WgpuSelect::Index(0)).unwrap(), *first);
        let part = first.name[1..].to_uppercase();
        assert_eq!(by(WgpuSelect::Name(part)).unwrap().name, first.name);
        let unasked = open(&WgpuOptions::default());
        if first.adapter_type == WgpuAdapterType::Cpu {
            let Err(DeviceError::NoAdapter { why }) = unasked else {
                panic!("software was taken unasked")
            };
            assert!(why.contains(&first.name), "{why}");
        } else {
            assert_eq!(unasked.unwrap().info.name, first.name);
        }
    }

    /// The device has what the caps say and no more: wgpu refuses what a kernel uses beyond them.
    #[test]
    fn a_device_is_asked_for_its_caps_and_no_more() {
        let _turn = crate::gpu::testing::turn();
        if list().is_empty() {
            return;
        }
        let options = WgpuOptions::default()
            .with_adapter(WgpuSelect::Index(0))
            .with_force(WgpuForce::minimal());
        let Opened {
            name, device, caps, ..
        } = open(&options).unwrap();
        assert!(device.features().is_empty());
        let limits = device.limits();
        assert_eq!(limits.max_storage_buffer_binding_size, 1 << 20);
        assert_eq!(limits.max_storage_buffers_per_shader_stage, 8);
        assert_eq!(limits.max_immediate_size, 0);
        assert_eq!(
            limits.max_compute_workgroup_storage_size,
            caps.workgroup_memory
        );
        assert_eq!(caps.tier(), WgpuTier::Portable);
        assert!(
            name.contains("no_f16") && name.contains("max_binding=1048576"),
            "{name}"
        );
    }
}
