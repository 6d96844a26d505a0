//! `hfcore devices`: what models can run on.

use std::io::{self, Write};

use hfcore::Device;
#[cfg(feature = "wgpu")]
use hfcore::WgpuAdapter;
use serde_json::{Value, json};

use crate::output::{self, Result};

/// The arguments of `devices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Lists the CPU and the GPUs, and says which of these `--device wgpu` is.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cpu = Device::cpu().name();
    let gpus = Gpus::find();
    let mut out = output::stdout();
    if args.json {
        let result = json!({ "cpu": cpu, "wgpu": gpus.json() });
        return Ok(output::json(&mut out, &result)?);
    }
    writeln!(out, "{cpu}")?;
    gpus.print(&mut out)?;
    Ok(out.flush()?)
}

/// The GPUs, and the one that is taken unless another is chosen: its index, or why there is none.
#[cfg(feature = "wgpu")]
struct Gpus {
    adapters: Vec<WgpuAdapter>,
    default: std::result::Result<usize, String>,
}

/// None can be looked for.
#[cfg(not(feature = "wgpu"))]
struct Gpus;

#[cfg(not(feature = "wgpu"))]
impl Gpus {
    fn find() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the same with the feature wgpu")]
    fn json(&self) -> Value {
        Value::Null
    }

    #[expect(clippy::unused_self, reason = "the same with the feature wgpu")]
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "wgpu   this program was built without GPUs: build it with the feature wgpu"
        )
    }
}

#[cfg(feature = "wgpu")]
impl Gpus {
    fn find() -> Self {
        // What opens it is what says which one it is, or what is missing.
        let opened = hfcore::wgpu_options().and_then(|options| Device::wgpu_with(&options));
        let index = |device: Device| device.wgpu_adapter().map_or(0, |adapter| adapter.index);
        Self {
            adapters: Device::wgpu_adapters(),
            default: opened.map(index).map_err(|error| error.to_string()),
        }
    }

    fn json(&self) -> Value {
        let adapters = self.adapters.iter().map(|adapter| {
            json!({
                "device": format!("wgpu:{}", adapter.index),
                "name": adapter.name,
                "type": adapter.adapter_type.name(),
                "backend": adapter.backend,
                "driver": adapter.driver,
                "memory_bytes": adapter.memory,
                "tier": adapter.tier.map(hfcore::WgpuTier::name),
                "missing": adapter.missing,
                "f16": adapter.f16,
                "subgroup_size": adapter.subgroup_size,
                "immediates": adapter.immediates,
                "cooperative_matrix": adapter.cooperative_matrix,
                "max_binding_bytes": adapter.max_binding,
                "max_buffer_bytes": adapter.max_buffer,
                "workgroup_memory_bytes": adapter.workgroup_memory,
                "workgroup_threads": adapter.workgroup_threads,
            })
        });
        let default = self.default.as_ref();
        json!({
            "adapters": adapters.collect::<Vec<_>>(),
            "default": default.ok(),
            "why_no_default": default.err(),
        })
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for adapter in &self.adapters {
            let index = adapter.index;
            let taken = match self.default {
                Ok(default) if default == index => "; what --device wgpu is",
                _ => "",
            };
            let name = output::printable(&adapter.name);
            let (kind, backend) = (adapter.adapter_type, adapter.backend);
            writeln!(out, "wgpu:{index} {name} ({kind}, {backend}{taken})")?;
            for (label, text) in described(adapter) {
                writeln!(out, "       {label:<9} {}", output::printable(&text))?;
            }
        }
        match &self.default {
            Ok(_) => Ok(()),
            Err(why) => writeln!(out, "--device wgpu: {}", output::printable(why)),
        }
    }
}

/// Lines about an adapter.
#[cfg(feature = "wgpu")]
fn described(adapter: &WgpuAdapter) -> Vec<(&'static str, String)> {
    let memory = match adapter.memory {
        Some(memory) => output::bytes(memory),
        None => "not told".to_owned(),
    };
    let (binding, buffer) = (
        output::bytes(adapter.max_binding),
        output::bytes(adapter.max_buffer),
    );
    let mut features = Vec::new();
    if adapter.f16 {
        features.push("f16".to_owned());
    }
    features.extend(
        adapter
            .subgroup_size
            .map(|[least, most]| match least == most {
                true => format!("subgroups of {least}"),
                false => format!("subgroups of {least} to {most}"),
            }),
    );
    if adapter.immediates {
        features.push("immediates".to_owned());
    }
    features.extend(
        (adapter.cooperative_matrix)
            .map(|edge| format!("matrices of {edge} by {edge} in hardware")),
    );
    if features.is_empty() {
        features.push("what every GPU has".to_owned());
    }
    let kernels = match (adapter.tier, &adapter.missing) {
        (Some(tier), _) => format!("{tier}: {}", features.join(", ")),
        (None, missing) => format!("none; it lacks {}", missing.as_deref().unwrap_or("much")),
    };
    vec![
        ("driver", adapter.driver.clone()),
        ("memory", memory),
        ("limits", format!("{binding} a binding, {buffer} a buffer")),
        ("kernels", kernels),
    ]
}
