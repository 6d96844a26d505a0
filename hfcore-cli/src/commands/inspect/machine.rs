//! What this machine has: memory, and room on a disk.

use std::path::Path;

use super::report::Machine;

impl Machine {
    /// Of the disk that `folder` is on.
    pub(super) fn new(folder: &Path) -> Self {
        let (memory, memory_available) = memory();
        let there = folder.ancestors().find(|folder| folder.exists());
        Self {
            memory,
            memory_available,
            disk_available: there.and_then(|folder| hfcore::weights::available_space(folder).ok()),
        }
    }
}

/// Bytes of memory, and those that programs can have of it now; nothing where the system does not tell in a file.
pub(super) fn memory() -> (Option<u64>, Option<u64>) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (field(&text, "MemTotal:"), field(&text, "MemAvailable:"))
}

/// `MemTotal:       16318480 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       16318480 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(field(text, "MemTotal:"), Some(16_318_480 * 1024));
        assert_eq!(field(text, "MemAvailable:"), Some(8_000_000 * 1024));
        assert_eq!(field(text, "SwapTotal:"), None);
        assert_eq!(field("MemTotal: much", "MemTotal:"), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_a_disk() {
        let machine = Machine::new(&std::env::temp_dir().join("not/there/yet"));
        let here = Machine::new(&std::env::temp_dir());
        assert_eq!(
            machine.disk_available.is_some(),
            here.disk_available.is_some()
        );
    }
}
