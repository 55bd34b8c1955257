//! Which process holds which connection, as the kernel tells.

use std::collections::HashSet;

/// Inodes of the server's ends of established connections to a local port.
fn established(port: u16) -> HashSet<u64> {
    let text = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let local_port = format!(":{port:04X}");
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields.get(1)?.ends_with(&local_port) && *fields.get(3)? == "01";
            if is_ours { fields.get(9)?.parse().ok() } else { None }
        })
        .collect()
}

fn socket_inodes(pid: u32) -> HashSet<u64> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Established connections to `port` that each of these processes holds.
pub fn connections(port: u16, pids: &[u32]) -> Vec<usize> {
    let all = established(port);
    pids.iter().map(|pid| socket_inodes(*pid).intersection(&all).count()).collect()
}

/// Processor time of a process so far, in clock ticks.
pub fn processor_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = text.rsplit_once(')') else { return 0 };
    // Fields 14 and 15 of proc(5): user and system time.
    rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Whether anybody listens on a port of 127.0.0.1.
pub fn is_listened_on(address: std::net::SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}
