//! What surrounds an `exec`: the environment that a process was started with,
//! and how another program takes its place without inheriting its odd signals.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};

/// Takes a variable out of the environment, so that no child sees it. Only
/// before the first thread: otherwise it stays, and its value is returned all
/// the same.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    if super::count_threads().is_ok_and(|threads| threads == 1) {
        // SAFETY: one thread, so nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
    Some(value)
}

/// How this program was started: what it takes to start it again.
#[derive(Clone, Debug)]
pub struct Start {
    /// The path as it was called, absolute; links in it are not resolved, so
    /// that what they lead to next time is what runs.
    pub program: PathBuf,
    /// The name it was called by, then its arguments.
    pub arguments: Vec<OsString>,
    pub directory: PathBuf,
}

impl Start {
    /// To be called before the working directory changes.
    pub fn note() -> Start {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let name = arguments.first().cloned().unwrap_or_default();
        let called = if name.as_bytes().contains(&b'/') {
            Some(directory.join(&name))
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|place| place.join(&name)).find(|place| place.is_file())
        };
        let program = called.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| PathBuf::from(name));
        Start { program, arguments, directory }
    }
}

/// Lets a descriptor pass through the next exec of this process.
///
/// # Errors
/// The kernel refused.
pub fn keep_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Takes over a socket that was inherited under a number that our starter
/// told, and closes it on exec from now on.
///
/// # Errors
/// Not open, or one of the three standard descriptors.
pub fn adopt_socket(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::other("a standard descriptor"));
    }
    // SAFETY: only reads a flag, and fails on a number that is not open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, and only the caller's environment knows its number.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(socket)
}

/// Where standard input is a listening socket, as a web server hands it to a
/// FastCGI program: that socket, closed on exec from now on. Standard input
/// is `/dev/null` then.
///
/// # Errors
/// The kernel refused.
pub fn take_listening_input() -> io::Result<Option<OwnedFd>> {
    let input = io::stdin();
    let is_listener = socket2::SockRef::from(&input).is_listener().unwrap_or(false);
    if !is_listener {
        return Ok(None);
    }
    // Its copies are made above the three standard descriptors, closed on exec.
    let socket = input.as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(Some(socket))
}

/// Makes two descriptors the standard output and standard error.
///
/// # Errors
/// The kernel refused.
pub fn become_output(out: impl AsFd, errors: impl AsFd) -> io::Result<()> {
    nix::unistd::dup2_stdout(out)?;
    nix::unistd::dup2_stderr(errors)?;
    Ok(())
}

/// In a forked child: becomes `program`, with all signals at their defaults
/// and none blocked: a mask would outlive the exec. `variables` come on top of
/// the environment. Returns only where that failed.
pub fn exec(start: &Start, arguments: &[OsString], variables: &[(&str, OsString)]) -> io::Error {
    match try_exec(start, arguments, variables) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_exec(
    start: &Start,
    arguments: &[OsString],
    variables: &[(&str, OsString)],
) -> io::Result<std::convert::Infallible> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let program = text(start.program.as_os_str())?;
    let arguments = arguments.iter().map(|argument| text(argument)).collect::<io::Result<Vec<_>>>()?;
    let inherited = std::env::vars_os().filter(|(name, _)| !variables.iter().any(|(own, _)| name == own));
    let own = variables.iter().map(|(name, value)| (OsString::from(name), value.clone()));
    let environment = inherited
        .chain(own)
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(&name)
        })
        .collect::<io::Result<Vec<_>>>()?;
    std::env::set_current_dir(&start.directory)?;
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        super::set_disposition(signal, SigHandler::SigDfl)?;
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(nix::unistd::execve(&program, &arguments, &environment)?)
}
