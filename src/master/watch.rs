//! Watches the workers by their marks on the scoreboard: an event loop that
//! does not turn, a render that does not end. Never by wall time, never while
//! we ourselves were asleep. Also asks the kernel whether it killed one.

use crate::board::{LOOP, Slot};
use crate::conf::daemon::Limits;

/// The master looks at least this often.
pub const LOOK_EVERY_MS: u64 = 1_000;
/// So much more than asked for, and we were stopped or the machine slept.
const OVERSLEPT_MS: u64 = 2_000;

/// What ails a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The loop has not turned for so long.
    LoopStuck { late_ms: u64 },
    /// One thread is at one request for so long.
    RenderStuck { thread: usize, busy_ms: u64 },
}

/// Looks at one worker that was ready at `ready_ms`.
pub fn examine(slot: &Slot, limits: &Limits, ready_ms: u64, now_ms: u64) -> Option<Ailment> {
    let late_ms = now_ms.saturating_sub(slot.tick_ms().max(ready_ms));
    if late_ms > limits.loop_stuck_ms {
        return Some(Ailment::LoopStuck { late_ms });
    }
    slot.busy_threads()
        .filter(|busy| busy.thread != LOOP)
        .map(|busy| Ailment::RenderStuck {
            thread: busy.thread,
            busy_ms: now_ms.saturating_sub(busy.since_ms),
        })
        .find(|ailment| matches!(ailment, Ailment::RenderStuck { busy_ms, .. } if *busy_ms > limits.render_stuck_ms))
}

/// Tells from our own sleep whether the clock may be held against others.
#[derive(Debug, Default)]
pub struct OwnPause {
    lenient_until_ms: u64,
}

impl OwnPause {
    /// We asked to sleep until `wanted_ms` and woke at `now_ms`; after a long
    /// oversleep everybody gets one more period.
    pub fn note_wake(&mut self, wanted_ms: u64, now_ms: u64, period_ms: u64) {
        if now_ms > wanted_ms.saturating_add(OVERSLEPT_MS) {
            self.lenient_until_ms = now_ms.saturating_add(period_ms);
        }
    }

    pub fn is_lenient(&self, now_ms: u64) -> bool {
        now_ms < self.lenient_until_ms
    }
}

/// Processes that the kernel killed for lack of memory, in our cgroup (of
/// either version) or, where that does not tell, on this machine.
pub fn count_memory_kills() -> u64 {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own_group =
        memory_event_files(&groups).into_iter().find_map(|file| std::fs::read_to_string(file).ok());
    let text = own_group.or_else(|| std::fs::read_to_string("/proc/vmstat").ok()).unwrap_or_default();
    read_memory_kills(&text)
}

/// Where the kernel counts for the groups of `/proc/self/cgroup`: version 2 in
/// one tree, version 1 in a tree for each controller.
fn memory_event_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if controllers.is_empty() {
            files.push(format!("/sys/fs/cgroup{path}/memory.events"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            files.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
        }
    }
    files
}

fn read_memory_kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    #[test]
    fn ailments() {
        let board = Board::new(1).expect("board");
        let slot = board.slot(board.claim(1, 1_000).expect("slot"));
        let limits = Limits { loop_stuck_ms: 10_000, render_stuck_ms: 120_000, ..Limits::default() };
        assert_eq!(examine(slot, &limits, 0, 11_000), None);
        assert_eq!(examine(slot, &limits, 0, 11_001), Some(Ailment::LoopStuck { late_ms: 10_001 }));
        assert_eq!(examine(slot, &limits, 2_000, 11_001), None, "not ready for so long");
        slot.set_tick_ms(500_000);
        slot.mark_busy(LOOP, "GET /loop", 1);
        slot.mark_busy(1, "GET /7", 400_000);
        slot.mark_busy(2, "GET /8", 300_000);
        assert_eq!(
            examine(slot, &limits, 0, 500_001),
            Some(Ailment::RenderStuck { thread: 2, busy_ms: 200_001 })
        );
        slot.mark_idle(2);
        assert_eq!(examine(slot, &limits, 0, 500_001), None);
        assert_eq!(examine(slot, &limits, 0, 1), None, "a mark from the future is no ailment");
    }

    #[test]
    fn our_own_sleep_is_held_against_nobody() {
        let mut pause = OwnPause::default();
        pause.note_wake(1_000, 1_500, 10_000);
        assert!(!pause.is_lenient(1_500));
        pause.note_wake(2_000, 40_000, 10_000);
        assert!(pause.is_lenient(40_000));
        assert!(pause.is_lenient(49_999));
        assert!(!pause.is_lenient(50_000));
    }

    #[test]
    fn memory_events_of_both_versions() {
        let both = "9:name=systemd:/\n4:cpu,memory:/a/b:c\n0::/d\nodd\n";
        let files = ["/sys/fs/cgroup/memory/a/b:c/memory.oom_control", "/sys/fs/cgroup/d/memory.events"];
        assert_eq!(memory_event_files(both), files);
        assert!(memory_event_files("").is_empty());
        assert_eq!(read_memory_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
    }

    #[test]
    fn memory_kills_are_found_by_their_name() {
        assert_eq!(read_memory_kills("low 0\noom 4\noom_kill 3\noom_group_kill 1\n"), 3);
        assert_eq!(read_memory_kills("nr_free 1\noom_kill 12\n"), 12);
        assert_eq!(read_memory_kills(""), 0);
    }
}
