//! The checks that end every test without being asked for (reliability.md §3).

use std::path::Path;
use std::time::Duration;

use super::dir::files_below;

/// How often, and with what between, a look that finds something is repeated:
/// the machine may be too busy for the master to come to it.
pub const LOOKS: usize = 1_500;
pub const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

fn stat(pid: u32) -> Option<(char, u32, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some((state, parent, group))
}

fn processes() -> impl Iterator<Item = (u32, (char, u32, u32))> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat(pid)?)))
}

/// Whether a process is there and has not ended.
pub fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, ..)| !matches!(state, 'Z' | 'X'))
}

/// Live children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = processes()
        .filter(|(_, (state, ppid, _))| *ppid == parent && !matches!(state, 'Z' | 'X'))
        .map(|(pid, _)| pid)
        .collect();
    found.sort_unstable();
    found
}

/// Dead children that a process has not reaped for a while.
pub fn zombies(parent: u32) -> Vec<u32> {
    let dead = || -> Vec<u32> {
        processes()
            .filter(|(_, (state, ppid, _))| *ppid == parent && *state == 'Z')
            .map(|(pid, _)| pid)
            .collect()
    };
    // One that died this moment is no fault: it must be gone some time.
    let mut left = dead();
    for _ in 0..LOOKS {
        if left.is_empty() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        let still = dead();
        left.retain(|pid| still.contains(pid));
    }
    left
}

/// Live processes of a process group.
pub fn group(group: u32) -> Vec<u32> {
    processes()
        .filter(|(_, (state, _, pgid))| *pgid == group && !matches!(state, 'Z' | 'X'))
        .map(|(pid, _)| pid)
        .collect()
}

/// Open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Threads of a process.
pub fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Memory of a process in KiB (resident set).
pub fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// No line of the log says that something happened that must not.
pub fn check_log(log: &str) {
    for line in log.lines() {
        let bad = ["\"alert\"", "alert:", "panicked at", "AddressSanitizer", "RUST_BACKTRACE"];
        assert!(!bad.iter().any(|b| line.contains(b)), "the log holds: {line}\n--- whole log\n{log}");
    }
}

/// No temporary file is left and no lock is held.
pub fn check_files(dir: &Path) {
    for path in files_below(dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!name.ends_with(".tmp"), "a temporary file is left: {}", path.display());
        assert!(
            !matches!(path.extension().and_then(|e| e.to_str()), Some("pid" | "sock")),
            "left behind: {}",
            path.display()
        );
        if name.ends_with(".lck")
            && let Ok(file) = std::fs::File::open(&path)
        {
            let free = file.try_lock().is_ok();
            // Said, not left to the drop: a child that another thread begins at this moment has a copy.
            let _ = file.unlock();
            assert!(free, "a lock is still held: {}", path.display());
        }
    }
}
