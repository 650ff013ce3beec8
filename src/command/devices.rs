//! `tauscope devices`: the adapters of this machine, with the limits and features that decide what runs on them; with
//! `--self-test`, whether they compute what they should.

use super::lines::{labelled, wrapped};
use super::to_stdout;
use crate::engine::EngineError;
use crate::engine::gpu::{AdapterChoice, AdapterReport, Gpu, Options, Refusal, SelfTest, adapters, hindrances};
use crate::streams::{stdout_width, to_stderr};
use crate::table::number::significant;
use crate::text::counted;
use anyhow::{Result, bail};
use serde::Serialize;
use std::time::Duration;

/// Writes the adapters to stdout, best first; as JSON for machines.
///
/// # Errors
/// Where stdout cannot be written; with `self_test` also where an adapter is refused, or there is none.
pub fn run(json: bool, self_test: bool) -> Result<()> {
    let adapters = adapters()?;
    // Where hardware is there, what hinders other drivers need not be told.
    let hinders = if adapters.iter().all(AdapterReport::is_software) { hindrances() } else { Vec::new() };
    if self_test && !adapters.is_empty() {
        return try_out(adapters, json);
    }
    if json {
        to_stdout(&format!("{}\n", serde_json::to_string_pretty(&adapters)?))?;
    }
    if self_test {
        let why = [vec!["there is no adapter to test (Vulkan, Metal or DirectX 12)".to_owned()], hinders].concat();
        bail!(EngineError::Unavailable(why.join("; ")));
    }
    if json {
        if adapters.is_empty() {
            to_stderr("no adapter (Vulkan, Metal or DirectX 12)");
            hinders.iter().for_each(|one| to_stderr(one));
        }
        return Ok(());
    }
    to_stdout(&listing(&adapters, &hinders, stdout_width()))
}

/// All adapters, and what hinders others.
fn listing(adapters: &[AdapterReport], hinders: &[String], width: Option<usize>) -> String {
    let hinders: String = hinders.iter().map(|one| format!("{}\n", wrapped(one, width))).collect();
    if adapters.is_empty() {
        let told = "no adapter (Vulkan, Metal or DirectX 12); everything runs on the processor with --engine cpu";
        return format!("{}\n{hinders}", wrapped(told, width));
    }
    let described: Vec<String> = adapters.iter().map(|adapter| describe(adapter, width)).collect();
    let gap = if hinders.is_empty() { "" } else { "\n" };
    format!("{}{gap}{hinders}", described.join("\n"))
}

/// An adapter with the outcome of its self-test.
#[derive(Serialize)]
struct Tried {
    #[serde(flatten)]
    adapter: AdapterReport,
    /// Milliseconds that the kernels of the self-test took once they were made, where it passed.
    passed_ms: Option<f64>,
    /// The kernel that differs, and how; or why it cannot be opened.
    refused: Option<String>,
}

impl Tried {
    /// Tries an adapter now, whatever is known of it.
    fn now(adapter: AdapterReport) -> Self {
        let choice = AdapterChoice::Named(adapter.index.to_string());
        let tried = Gpu::try_out(&choice, Options { self_test: SelfTest::Always, ..Options::default() });
        let outcome: Result<Option<Duration>, String> = match tried {
            Ok((_, outcome)) => outcome.map_err(|refusal: Refusal| refusal.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let passed_ms = outcome.as_ref().ok().copied().flatten().map(|took| 1e3 * took.as_secs_f64());
        Self { adapter, passed_ms, refused: outcome.err() }
    }

    /// One line.
    fn line(&self) -> String {
        let AdapterReport { index, name, .. } = &self.adapter;
        match (&self.refused, self.passed_ms) {
            (Some(why), _) => format!("{index}: {name}: refused: {why}"),
            (None, milliseconds) => {
                format!("{index}: {name}: passed in {} ms", significant(milliseconds.unwrap_or(0.0), 3))
            }
        }
    }
}

/// Tries every adapter by itself, and says at once how it went: the first time may take a while.
fn try_out(adapters: Vec<AdapterReport>, json: bool) -> Result<()> {
    let mut all = Vec::new();
    for adapter in adapters {
        let tried = Tried::now(adapter);
        if !json {
            to_stdout(&format!("{}\n", wrapped(&tried.line(), stdout_width())))?;
        }
        all.push(tried);
    }
    if json {
        to_stdout(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    }
    match all.iter().filter(|tried| tried.refused.is_some()).count() {
        0 => Ok(()),
        refused => bail!(EngineError::Device(format!("{refused} of {} refused", counted(all.len(), "adapter")))),
    }
}

/// One adapter, a line for each thing that is known of it.
fn describe(adapter: &AdapterReport, width: Option<usize>) -> String {
    let AdapterReport { name, backend, driver, device_type, missing, features, .. } = adapter;
    let mut text = format!("{}\n", wrapped(&format!("{}: {name}", adapter.index), width));
    let mut line = |label: &str, value: String| {
        text += &format!("{}\n", labelled(&format!("  {label}"), &value, 23, width));
    };
    line("device type", device_type.clone());
    line("backend", backend.clone());
    line("driver", driver.clone());
    adapter.pci.iter().for_each(|pci| line("PCI address", pci.clone()));
    adapter.uuid.iter().for_each(|uuid| line("UUID", uuid.clone()));
    line("largest binding", bytes(adapter.max_storage_buffer_binding_size));
    line("largest buffer", bytes(adapter.max_buffer_size));
    line("storage buffers", format!("{} per kernel", adapter.max_storage_buffers_per_shader_stage));
    line("workgroups", format!("{} per dimension", adapter.max_compute_workgroups_per_dimension));
    line("invocations", format!("{} per workgroup", adapter.max_compute_invocations_per_workgroup));
    line("workgroup memory", bytes(adapter.max_compute_workgroup_storage_size.into()));
    line("immediates", bytes(adapter.max_immediate_size.into()));
    let (least, most) = (adapter.subgroup_min_size, adapter.subgroup_max_size);
    line("subgroup size", if least == most { least.to_string() } else { format!("{least} to {most}") });
    line("features", features.join(", "));
    let usable = match missing {
        Some(missing) => format!("no: it lacks {missing}"),
        None if adapter.is_software() => "yes, when asked for: --engine gpu (a software adapter)".into(),
        None => "yes: --engine auto or gpu".into(),
    };
    line("usable", usable);
    text
}

/// A size in the largest binary unit that leaves at least 1 before the point.
fn bytes(count: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / size as f64),
        None => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_adapters_or_none_fit_the_terminal() {
        let adapter = |index, name: &str, device_type: &str| AdapterReport {
            index,
            name: name.into(),
            pci: Some("0000:1b:00.0".into()),
            uuid: None,
            backend: "Vulkan".into(),
            driver: "NVIDIA 580.95.05".into(),
            device_type: device_type.into(),
            missing: None,
            max_storage_buffer_binding_size: (1 << 31) - 4,
            max_buffer_size: 1 << 40,
            max_storage_buffers_per_shader_stage: 16,
            max_compute_workgroups_per_dimension: 65535,
            max_compute_invocations_per_workgroup: 1024,
            max_compute_workgroup_storage_size: 48 << 10,
            max_immediate_size: 256,
            subgroup_min_size: 32,
            subgroup_max_size: 32,
            features: ["immediates", "timestamp-query", "subgroup", "shader-f16", "pipeline-cache"]
                .map(Into::into)
                .into(),
        };
        let all = [
            adapter(0, "NVIDIA H100 80GB HBM3", "DiscreteGpu"),
            AdapterReport { missing: Some("subgroups".into()), ..adapter(1, "an old card", "IntegratedGpu") },
            adapter(2, "llvmpipe", "Cpu"),
        ];
        for width in [60, 80, 120, 200] {
            let text = listing(&all, &[], Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            assert_eq!(text.matches("\n\n").count(), 2, "an empty line between adapters: {text}");
        }
        let text = listing(&all, &[], Some(60));
        assert!(
            text.contains("  features             immediates, timestamp-query,\n                       subgroup, "),
            "{text}"
        );
        assert!(text.contains("subgroup size        32\n") && text.contains("no: it lacks subgroups"), "{text}");
        let none = listing(&[], &["the Vulkan loader does not load".into()], Some(60));
        let lines: Vec<&str> = none.lines().collect();
        assert_eq!(
            lines,
            [
                "no adapter (Vulkan, Metal or DirectX 12); everything runs on",
                "the processor with --engine cpu",
                "the Vulkan loader does not load",
            ]
        );
    }

    #[test]
    fn sizes_are_read_in_the_unit_that_fits() {
        let shown = [0, 128, 32 << 10, 128 << 20, (1 << 31) - 1, 3 << 29].map(bytes);
        assert_eq!(shown, ["0 bytes", "128 bytes", "32.0 KiB", "128.0 MiB", "2.0 GiB", "1.5 GiB"]);
    }
}
