//! Which process holds which connection, as the kernel tells.

use std::collections::HashSet;

use super::await_some;
use super::client::Client;

/// Inodes of the server's ends of established connections to a local port;
/// those of one client, or of all.
fn established(port: u16, client_port: Option<u16>) -> HashSet<u64> {
    let text = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let local_port = format!(":{port:04X}");
    let remote_port = client_port.map(|port| format!(":{port:04X}")).unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_ours = fields.get(1)?.ends_with(&local_port)
                && fields.get(2)?.ends_with(&remote_port)
                && *fields.get(3)? == "01";
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
    let all = established(port, None);
    pids.iter().map(|pid| socket_inodes(*pid).intersection(&all).count()).collect()
}

/// Processor time of a process so far, in clock ticks.
pub fn processor_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = text.rsplit_once(')') else { return 0 };
    // Fields 14 and 15 of proc(5): user and system time.
    rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The process that has taken a client's connection, once one has.
pub fn await_holder(client: &Client, pids: &[u32]) -> u32 {
    let server = client.stream().peer_addr().expect("connected").port();
    let own = client.stream().local_addr().expect("connected").port();
    await_some("a worker to take the connection", || {
        let inodes = established(server, Some(own));
        pids.iter().copied().find(|pid| !socket_inodes(*pid).is_disjoint(&inodes))
    })
}
