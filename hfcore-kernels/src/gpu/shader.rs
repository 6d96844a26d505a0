//! Kernels: WGSL text, expanded for a variant, and the pipelines made of it.
//!
//! The text is WGSL with lines for this file:
//!
//! ```text
//! #include "weight.wgsl"      the text of another file
//! #if NAME                    NAME is defined and not 0; also `!NAME`, `NAME == 3`, `NAME > 3`
//! #elif …  #else  #endif
//! #unroll i 0 4 … #end        the lines between for i = 0, 1, 2, 3, with `{i}` replaced; bounds may be `{NAME}`
//! #params                     the variable `p: Params`: immediates, or a uniform buffer; after the storage bindings
//! {NAME}                      the value of a define, within a line
//! ```
//!
//! The bindings are read off the text: `@group(0) @binding(0) var<storage, read> …`, numbered from 0. Where
//! variants have different ones, `@binding(#)` is the next number.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::DeviceError;

use super::Caps;
use super::counters::Counters;
use super::ops;
use super::plan::PARAMS_BYTES;

/// Bytes of any storage binding, at least: a vector.
const LEAST_BINDING: usize = 16;

/// A kernel for certain defines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Variant {
    name: &'static str,
    defines: Vec<(&'static str, u32)>,
}

impl Variant {
    /// The kernel of the file `name.wgsl` with these defines.
    pub(crate) fn new(
        name: &'static str,
        defines: impl IntoIterator<Item = (&'static str, u32)>,
    ) -> Self {
        let mut defines: Vec<_> = defines.into_iter().collect();
        defines.sort_unstable();
        Self { name, defines }
    }
}

impl fmt::Display for Variant {
    /// The kernel, and its defines that are not 0: `norm KIND=1 WG=128`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let mut defines = self.defines.iter().filter(|(_, value)| *value != 0);
        defines.try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// How a kernel uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

/// A kernel that was compiled.
pub(super) struct Pipeline {
    variant: Variant,
    raw: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: Vec<Access>,
    has_params: bool,
}

impl Pipeline {
    pub(super) const fn variant(&self) -> &Variant {
        &self.variant
    }

    pub(super) const fn raw(&self) -> &wgpu::ComputePipeline {
        &self.raw
    }

    pub(super) const fn layout(&self) -> &wgpu::BindGroupLayout {
        &self.layout
    }

    pub(super) fn bindings(&self) -> &[Access] {
        &self.bindings
    }

    pub(super) const fn has_params(&self) -> bool {
        self.has_params
    }
}

/// All kernels that were compiled for a device.
pub(super) struct Pipelines {
    device: wgpu::Device,
    caps: Caps,
    counters: Arc<Counters>,
    made: Mutex<HashMap<Variant, Arc<Pipeline>>>,
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device, caps: &Caps, counters: &Arc<Counters>) -> Self {
        Self {
            device: device.clone(),
            caps: caps.clone(),
            counters: Arc::clone(counters),
            made: Mutex::default(),
        }
    }

    /// The kernel, compiled now if it has not been.
    pub(super) fn get(&self, variant: &Variant) -> Result<Arc<Pipeline>, DeviceError> {
        let mut all = self.get_all(&[variant])?;
        all.pop().ok_or_else(|| DeviceError::Internal {
            message: format!("kernel {variant:?} was not compiled"),
        })
    }

    /// The kernels of these variants, in order. Those that have not been compiled are now, on several threads:
    /// drivers take their time, and do not wait for each other.
    pub(super) fn get_all(&self, variants: &[&Variant]) -> Result<Vec<Arc<Pipeline>>, DeviceError> {
        let made = |variant: &Variant| {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.get(variant).map(Arc::clone)
        };
        let mut missing: Vec<&Variant> = variants
            .iter()
            .copied()
            .filter(|variant| made(variant).is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(missing.len());
        let next = AtomicUsize::new(0);
        let compile_some = || -> Result<(), DeviceError> {
            while let Some(variant) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let pipeline = Arc::new(self.compile(variant)?);
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                made.insert((*variant).clone(), pipeline);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(compile_some)).collect();
            let mine = compile_some();
            let failed = |message: &str| DeviceError::Internal {
                message: message.to_owned(),
            };
            (others.into_iter())
                .map(|other| other.join().map_err(|_| failed("a compiler panicked"))?)
                .fold(mine, Result::and)
        })?;
        let get = |variant: &&Variant| {
            made(variant).ok_or_else(|| DeviceError::Internal {
                message: format!("kernel {variant:?} was not compiled"),
            })
        };
        variants.iter().map(get).collect()
    }

    fn compile(&self, variant: &Variant) -> Result<Pipeline, DeviceError> {
        let wrong = |message: String| DeviceError::Internal {
            message: format!("kernel {variant:?}: {message}"),
        };
        // What is not listed would be compiled by no test.
        #[cfg(test)]
        assert!(
            ops::variants(&self.caps).contains(variant),
            "{variant:?} is not listed by its operation"
        );
        let text = expand(variant, &self.caps).map_err(&wrong)?;
        let bindings = bindings(&text);
        let has_params = text.contains("p: Params");
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let description = wgpu::ShaderModuleDescriptor {
            label: Some(variant.name),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        // SAFETY: the text is ours. Its kernels check their own indices against the sizes in their parameters,
        // and end; the driver bounds buffers where it can. Oracle tests run each of them.
        let module = unsafe {
            (self.device)
                .create_shader_module_trusted(description, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let layout = self.layout(&bindings, has_params);
        let pipeline_layout =
            (self.device).create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: if has_params && self.caps.immediates {
                    u32::try_from(PARAMS_BYTES).expect("64 bytes")
                } else {
                    0
                },
            });
        let raw = (self.device).create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(wrong(error.to_string()));
        }
        Counters::add(&self.counters.created_objects, 4);
        Ok(Pipeline {
            variant: variant.clone(),
            raw,
            layout,
            bindings,
            has_params,
        })
    }

    fn layout(&self, bindings: &[Access], has_params: bool) -> wgpu::BindGroupLayout {
        // Said here, that every binding has as many bytes is looked at as its group is made, and not at each use.
        let entry = |binding: usize, ty, least: usize| wgpu::BindGroupLayoutEntry {
            binding: u32::try_from(binding).expect("bindings are few"),
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: NonZeroU64::new(least as u64),
            },
            count: None,
        };
        let mut entries: Vec<_> = (bindings.iter().enumerate())
            .map(|(i, access)| {
                let read_only = *access == Access::Read;
                entry(
                    i,
                    wgpu::BufferBindingType::Storage { read_only },
                    LEAST_BINDING,
                )
            })
            .collect();
        if !self.caps.immediates && has_params {
            let uniform = wgpu::BufferBindingType::Uniform;
            entries.push(entry(bindings.len(), uniform, PARAMS_BYTES));
        }
        (self.device).create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        })
    }
}

/// The storage bindings of expanded text, in order.
fn bindings(text: &str) -> Vec<Access> {
    text.lines()
        .filter(|line| line.trim_start().starts_with("@group(0)"))
        .filter_map(|line| {
            if line.contains("var<storage, read_write>") {
                Some(Access::ReadWrite)
            } else if line.contains("var<storage, read>") {
                Some(Access::Read)
            } else {
                None
            }
        })
        .collect()
}

/// The WGSL of a variant on a device that can do this.
pub(super) fn expand(variant: &Variant, caps: &Caps) -> Result<String, String> {
    let mut defines: HashMap<&str, u32> = variant.defines.iter().copied().collect();
    for (name, has) in [
        ("F16", caps.f16),
        ("SUBGROUP", caps.subgroups),
        ("IMMEDIATES", caps.immediates),
    ] {
        defines.insert(name, u32::from(has));
    }
    let mut text = String::new();
    let source = source(variant.name)?;
    let lines: Vec<&str> = included(source)?;
    Expander { defines }.block(&lines, &[], &mut text)?;
    let text = with_params(&text, caps.immediates);
    // Only where they are used: so many kernels are the same text with and without them.
    let enabled = [
        ("enable f16;\n", caps.f16 && uses_f16(&text)),
        (
            "enable wgpu_cooperative_matrix;\n",
            text.contains("coop_mat"),
        ),
    ];
    let enabled = enabled.into_iter().filter(|(_, used)| *used);
    Ok(enabled.map(|(line, _)| line).collect::<String>() + &text)
}

/// Whether the type `f16` is part of the text.
fn uses_f16(text: &str) -> bool {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let is_type = |line: &str| {
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word == "f16")
    };
    text.lines().any(|line| is_type(&code(line)))
}

/// The text with its `#params`, wherever they stand, for which all bindings must be known.
fn with_params(text: &str, immediates: bool) -> String {
    let params = if immediates {
        "var<immediate> p: Params;".to_owned()
    } else {
        let binding = bindings(text).len();
        format!("@group(0) @binding({binding}) var<uniform> p: Params;")
    };
    let line = |line: &str| match line.trim_start().starts_with("#params") {
        true => format!("{params}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn source(name: &str) -> Result<&'static str, String> {
    (ops::SHADERS.iter())
        .find(|(of, _)| *of == name)
        .map(|(_, text)| *text)
        .ok_or_else(|| format!("there is no shader {name:?}"))
}

fn included(text: &'static str) -> Result<Vec<&'static str>, String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("#include ") {
            Some(name) => {
                let name = name.trim().trim_matches('"').trim_end_matches(".wgsl");
                lines.extend(included(source(name)?)?);
            }
            None => lines.push(line),
        }
    }
    Ok(lines)
}

struct Expander<'a> {
    defines: HashMap<&'a str, u32>,
}

impl Expander<'_> {
    /// Expand `lines`, with the counters of the loops around them.
    fn block(
        &self,
        lines: &[&str],
        counters: &[(&str, u32)],
        text: &mut String,
    ) -> Result<(), String> {
        // Of each `#if` we are in: whether its lines are wanted now, and whether a branch of it was.
        let mut branches: Vec<(bool, bool)> = Vec::new();
        let mut i = 0;
        while i < lines.len() {
            let line = lines[i];
            i += 1;
            let outer = |branches: &[(bool, bool)]| {
                branches[..branches.len().saturating_sub(1)]
                    .iter()
                    .all(|(on, _)| *on)
            };
            let directive = line.trim_start();
            if let Some(condition) = directive.strip_prefix("#if ") {
                let on = branches.iter().all(|(on, _)| *on) && self.holds(condition)?;
                branches.push((on, on));
            } else if let Some(condition) = directive.strip_prefix("#elif ") {
                let inside = outer(&branches);
                let (on, was) = branches.last_mut().ok_or("#elif without #if")?;
                *on = inside && !*was && self.holds(condition)?;
                *was |= *on;
            } else if directive.starts_with("#else") {
                let inside = outer(&branches);
                let (on, was) = branches.last_mut().ok_or("#else without #if")?;
                *on = inside && !*was;
                *was = true;
            } else if directive.starts_with("#endif") {
                branches.pop().ok_or("#endif without #if")?;
            } else if !branches.iter().all(|(on, _)| *on) {
            } else if let Some(head) = directive.strip_prefix("#unroll ") {
                let len = unrolled(&lines[i..])?;
                let head = self.replaced(head, counters)?;
                let mut parts = head.split_whitespace();
                let (Some(name), Some(from), Some(to)) = (parts.next(), parts.next(), parts.next())
                else {
                    return Err(format!("#unroll wants a name and two bounds: {head:?}"));
                };
                let bound = |n: &str| n.parse::<u32>().map_err(|_| format!("no bound: {n:?}"));
                for n in bound(from)?..bound(to)? {
                    let mut counters = counters.to_vec();
                    counters.push((name, n));
                    self.block(&lines[i..i + len], &counters, text)?;
                }
                i += len + 1;
            } else {
                let line = self.replaced(line, counters)?;
                if line.contains("@binding(#)") {
                    let binding = format!("@binding({})", bindings(text).len());
                    text.push_str(&line.replace("@binding(#)", &binding));
                } else {
                    text.push_str(&line);
                }
                text.push('\n');
            }
        }
        if branches.is_empty() {
            Ok(())
        } else {
            Err("#if without #endif".to_owned())
        }
    }

    /// Whether `NAME`, `!NAME`, `NAME == 3`, or another comparison, holds; also several with `&&` or `||`.
    fn holds(&self, condition: &str) -> Result<bool, String> {
        let condition = condition.split("//").next().unwrap_or_default().trim();
        if let Some((a, b)) = condition.split_once("||") {
            return Ok(self.holds(a)? || self.holds(b)?);
        }
        if let Some((a, b)) = condition.split_once("&&") {
            return Ok(self.holds(a)? && self.holds(b)?);
        }
        let value = |name: &str| self.defines.get(name.trim()).copied().unwrap_or(0);
        for (sign, holds) in [
            ("==", (|a, b| a == b) as fn(u32, u32) -> bool),
            ("!=", |a, b| a != b),
            (">=", |a, b| a >= b),
            ("<=", |a, b| a <= b),
            (">", |a, b| a > b),
            ("<", |a, b| a < b),
        ] {
            if let Some((name, n)) = condition.split_once(sign) {
                let n = n
                    .trim()
                    .parse()
                    .map_err(|_| format!("no number: {condition:?}"))?;
                return Ok(holds(value(name), n));
            }
        }
        Ok(match condition.strip_prefix('!') {
            Some(name) => value(name) == 0,
            None => value(condition) != 0,
        })
    }

    /// `{NAME}` replaced by its value, and `{i}` by that of a loop.
    fn replaced(&self, line: &str, counters: &[(&str, u32)]) -> Result<String, String> {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(open) = rest.find('{') {
            let after = &rest[open + 1..];
            let name = after.split('}').next().unwrap_or_default();
            let is_name = after.len() > name.len()
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            out.push_str(&rest[..open]);
            if is_name {
                let of_loop = counters.iter().rev().find(|(of, _)| *of == name);
                let value = of_loop
                    .map(|(_, n)| *n)
                    .or_else(|| self.defines.get(name).copied())
                    .ok_or_else(|| format!("{name} is not defined, in {line:?}"))?;
                let _ = write!(out, "{value}");
                rest = &after[name.len() + 1..];
            } else {
                out.push('{');
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Lines before the `#end` of a loop whose first line is `lines[0]`.
fn unrolled(lines: &[&str]) -> Result<usize, String> {
    let mut depth = 0;
    for (i, line) in lines.iter().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#unroll ") {
            depth += 1;
        } else if line.starts_with("#end") && !line.starts_with("#endif") {
            if depth == 0 {
                return Ok(i);
            }
            depth -= 1;
        }
    }
    Err("#unroll without #end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &'static str, defines: &[(&'static str, u32)]) -> Result<String, String> {
        let expander = Expander {
            defines: defines.iter().copied().collect(),
        };
        let lines: Vec<&str> = text.lines().collect();
        let mut out = String::new();
        expander.block(&lines, &[], &mut out)?;
        Ok(out)
    }

    #[test]
    fn conditions_loops_and_values() {
        let text = "#if A && N > 2\nyes {N}\n#elif B\nb\n#else\nno\n#endif\nf() { x }\n\
                    #unroll i 0 {N}\na{i};\n#unroll j 1 3\nb{i}{j};\n#end\n#end";
        let got = expanded(text, &[("A", 1), ("N", 3)]).unwrap();
        assert_eq!(
            got,
            "yes 3\nf() { x }\na0;\nb01;\nb02;\na1;\nb11;\nb12;\na2;\nb21;\nb22;\n"
        );
        let got = expanded(text, &[("B", 1), ("N", 0)]).unwrap();
        assert_eq!(got, "b\nf() { x }\n");
        assert_eq!(expanded("#if A\nx", &[]).unwrap_err(), "#if without #endif");
        assert_eq!(
            expanded("{X}", &[]).unwrap_err(),
            "X is not defined, in \"{X}\""
        );
    }

    #[test]
    fn the_uniform_comes_after_the_storage_bindings() {
        let text = "#params\n\
                    @group(0) @binding(0) var<storage, read> x: array<f32>;\n\
                    @group(0) @binding(1) var<storage, read_write> y: array<f32>;\n";
        let text = with_params(text, false);
        assert!(
            text.contains("@binding(2) var<uniform> p: Params;"),
            "{text}"
        );
        assert_eq!(bindings(&text), [Access::Read, Access::ReadWrite]);
    }
}
