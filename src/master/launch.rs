//! `--daemon`: leaves the terminal, while the process that was started waits
//! for the outcome and exits with it. Before the first thread and the first
//! socket.

use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};

use crate::log;
use crate::sys::{self, Forked};

/// The starting process still waits; dropped, it takes the start for failed.
pub struct Launch {
    outcome: PipeWriter,
}

/// Forks twice: the daemon is no session leader and so never gets a terminal.
/// Returns in the daemon only; the starting process exits with its outcome.
///
/// # Errors
/// The kernel refused.
pub fn detach() -> io::Result<Launch> {
    let (mut reader, outcome) = io::pipe()?;
    if let Forked::Parent(_) = sys::fork()? {
        drop(outcome);
        let mut code = [super::SYSTEM_REFUSED];
        // End of file without a byte: it died, and its code says failed.
        let _ = reader.read(&mut code);
        sys::exit_now(i32::from(code[0]));
    }
    drop(reader);
    nix::unistd::setsid()?;
    if let Forked::Parent(_) = sys::fork()? {
        sys::exit_now(0);
    }
    // Hold no file system that somebody may want to unmount.
    std::env::set_current_dir("/")?;
    Ok(Launch { outcome })
}

impl Launch {
    /// Tells the starting process how it went, and lets go of what it gave us.
    /// Standard error stays where the log goes to it.
    pub fn report(mut self, code: u8, keeps_stderr: bool) {
        if let Err(error) = leave_terminal(keeps_stderr) {
            log::warn!("cannot leave the terminal: {error}");
        }
        let _ = self.outcome.write_all(&[code]);
    }
}

/// Lets go of the standard descriptors that a starter gave us.
///
/// # Errors
/// The kernel refused.
pub fn leave_terminal(keeps_stderr: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    if !keeps_stderr {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}
