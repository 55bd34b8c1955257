//! Places at which a test makes a process fail. Compiled out without the
//! feature `fail-points`.
//!
//! `RHUMB_FAIL` holds entries `name:n:action`, separated by commas: the n-th
//! pass of that place by a process does the action (`*`: each pass). With
//! `RHUMB_FAIL=@FILE` the entries are in a file that is read at each pass, so
//! that a test can change them while the daemon runs. Actions: `kill`,
//! `abort`, `panic`, `hang`, `exit`, `eio`, `enospc`. An entry `name@TEXT:n:action`
//! is for passes whose subject (a request line) holds TEXT.

use std::io;

/// Passes the place `name`.
///
/// # Errors
/// Only with the feature, and only what `RHUMB_FAIL` asks for.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub fn pass(_name: &'static str) -> io::Result<()> {
    Ok(())
}

/// Passes the place `name` with a request line or the like.
///
/// # Errors
/// Only with the feature, and only what `RHUMB_FAIL` asks for.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub fn pass_with(_name: &'static str, _subject: &str) -> io::Result<()> {
    Ok(())
}

/// Passes the place `name`.
///
/// # Errors
/// What `RHUMB_FAIL` asks for.
#[cfg(feature = "fail-points")]
pub fn pass(name: &'static str) -> io::Result<()> {
    pass_with(name, "")
}

/// Passes the place `name` with a request line or the like.
///
/// # Errors
/// What `RHUMB_FAIL` asks for.
#[cfg(feature = "fail-points")]
pub fn pass_with(name: &'static str, subject: &str) -> io::Result<()> {
    let Ok(asked) = std::env::var("RHUMB_FAIL") else { return Ok(()) };
    let asked = match asked.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).unwrap_or_default(),
        None => asked,
    };
    let count = active::count_pass(name);
    match active::find_action(&asked, name, subject, count) {
        Some(action) => active::act(action),
        None => Ok(()),
    }
}

#[cfg(feature = "fail-points")]
mod active {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::Mutex;

    static PASSES: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    pub fn count_pass(name: &'static str) -> u64 {
        let mut passes = PASSES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = passes.entry(name).or_insert(0);
        *count += 1;
        *count
    }

    pub fn find_action<'a>(asked: &'a str, name: &str, subject: &str, count: u64) -> Option<&'a str> {
        asked.split([',', '\n']).find_map(|entry| {
            let mut parts = entry.trim().splitn(3, ':');
            let (place, n, action) = (parts.next()?, parts.next()?, parts.next()?);
            let (place, wanted) = place.split_once('@').unwrap_or((place, ""));
            let due = n == "*" || n.parse() == Ok(count);
            (place == name && subject.contains(wanted) && due).then_some(action)
        })
    }

    pub fn act(action: &str) -> io::Result<()> {
        match action {
            "kill" => {
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
                Ok(())
            }
            "abort" => std::process::abort(),
            "panic" => panic!("asked for by RHUMB_FAIL"),
            "hang" => loop {
                std::thread::park();
            },
            "exit" => super::super::exit_now(7),
            "eio" => Err(io::Error::from_raw_os_error(libc::EIO)),
            "enospc" => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            // A misspelt test must not pass.
            other => panic!("RHUMB_FAIL knows no action {other}"),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn entries_are_found_by_name_and_pass() {
            let asked = "cache.write:2:eio,worker.start:*:abort\ncache.write:5:kill";
            let table = [
                ("cache.write", 1, None),
                ("cache.write", 2, Some("eio")),
                ("cache.write", 5, Some("kill")),
                ("worker.start", 77, Some("abort")),
                ("worker", 1, None),
            ];
            for (name, count, action) in table {
                assert_eq!(find_action(asked, name, "GET /", count), action, "{name} {count}");
            }
            let asked = "service@/bad:*:abort";
            assert_eq!(find_action(asked, "service", "GET /bad/1", 9), Some("abort"));
            assert_eq!(find_action(asked, "service", "GET /good", 9), None);
            assert!(act("eio").is_err_and(|e| e.raw_os_error() == Some(libc::EIO)));
        }
    }
}
