//! The thin safe skin over the kernel: what neither std nor nix offers in a
//! safe form, and the few calls that several rooms need alike. No policy: who
//! forks, waits or locks, and why, is decided by the callers.

pub mod allocator;
pub mod crash;
pub mod exec;
pub mod failpoint;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::unistd::{Gid, Group, Pid, Uid, User};

/// Milliseconds of the monotonic clock; never 0, the same clock in every
/// process of the machine.
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1000
}

/// Microseconds of the monotonic clock.
pub fn monotonic_us() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(time) => {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let micros = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1000;
            (seconds * 1_000_000 + micros).max(1000)
        }
        // The clock exists on every Linux.
        Err(_) => 1000,
    }
}

// --- processes ---------------------------------------------------------------

/// Which side of a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    Child,
    Parent(Pid),
}

/// Threads of this process.
///
/// # Errors
/// `/proc` is not there.
pub fn count_threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Forks a process that has one thread.
///
/// Only one side may return into the caller's stack: the other ends in
/// [`exit_now`].
///
/// # Errors
/// More than one thread lives (a lock another thread holds would stay locked
/// in the child for ever), or the kernel refused.
pub fn fork() -> io::Result<Forked> {
    // No /proc, no count: a container that hides it must still be able to run.
    if let Ok(threads) = count_threads()
        && threads != 1
    {
        return Err(io::Error::other(format!("{threads} threads live: a fork is not safe")));
    }
    // SAFETY: one thread, so the child finds no lock held by a thread that it
    // does not have.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Ok(Forked::Child),
        nix::unistd::ForkResult::Parent { child } => Ok(Forked::Parent(child)),
    }
}

/// Leaves at once: no destructors, no exit handlers, no flushing.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Code(i32),
    Signal {
        number: i32,
        core: bool,
    },
    /// A status word that says neither; kept as it was.
    Odd(i32),
}

impl Ending {
    /// Reads a status word of `wait(2)`. Total: any word has an answer.
    pub fn from_status(status: i32) -> Ending {
        if libc::WIFEXITED(status) {
            Ending::Code(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Ending::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
        } else {
            Ending::Odd(status)
        }
    }

    pub fn is_kill(self) -> bool {
        matches!(self, Ending::Signal { number: libc::SIGKILL, .. })
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Ending::Code(code) => write!(f, "exited with code {code}"),
            Ending::Signal { number, core } => {
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "was ended by {}", signal.as_str())?,
                    Err(_) => write!(f, "was ended by signal {number}")?,
                }
                f.write_str(if core { " (core dumped)" } else { "" })
            }
            Ending::Odd(status) => write!(f, "ended with the odd status {status:#x}"),
        }
    }
}

/// Takes one dead child of any kind, if there is one; does not wait.
pub fn reap() -> Option<(Pid, Ending)> {
    loop {
        let mut status = 0;
        // Not nix's waitpid: it loses the pid where a child died by a signal
        // that it has no name for.
        // SAFETY: `status` is a valid place for the word.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid > 0 {
            return Some((Pid::from_raw(pid), Ending::from_status(status)));
        }
        if pid == 0 || Errno::last() != Errno::EINTR {
            return None;
        }
    }
}

/// Sends a signal; a process that is gone already is no error.
///
/// # Errors
/// The kernel forbids it.
pub fn send_signal(pid: Pid, signal: Signal) -> io::Result<()> {
    match nix::sys::signal::kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The process that listens at the other end of a connection.
///
/// # Errors
/// The kernel refused.
pub fn peer_of(stream: &std::os::unix::net::UnixStream) -> io::Result<Pid> {
    let peer = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(Pid::from_raw(peer.pid()))
}

/// Blocks these signals in the calling thread (and in the threads and
/// processes it starts), so that a `SignalFd` can read them.
///
/// # Errors
/// The kernel refused.
pub fn block_signals(signals: &[Signal]) -> io::Result<()> {
    let set: SigSet = signals.iter().copied().collect();
    Ok(set.thread_block()?)
}

/// A descriptor that reads blocked signals, non-blocking, closed on exec.
/// It reports the signals of the process that *reads* it.
///
/// # Errors
/// The kernel refused.
pub fn open_signal_fd(signals: &[Signal]) -> io::Result<nix::sys::signalfd::SignalFd> {
    use nix::sys::signalfd::{SfdFlags, SignalFd};
    let set: SigSet = signals.iter().copied().collect();
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Sets one signal to its default or to be ignored.
///
/// # Errors
/// A handler function, or a signal that cannot be set.
pub fn set_disposition(signal: Signal, disposition: SigHandler) -> io::Result<()> {
    if !matches!(disposition, SigHandler::SigDfl | SigHandler::SigIgn) {
        return Err(io::Error::other("only default and ignore"));
    }
    let action = SigAction::new(disposition, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler function is installed.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// In a forked child: default dispositions, then `ignored` ignored, then
/// exactly `blocked` blocked. SIGPIPE and SIGXFSZ stay ignored: a write tells
/// the same by its error.
///
/// # Errors
/// The kernel refused.
pub fn set_child_signals(ignored: &[Signal], blocked: &[Signal]) -> io::Result<()> {
    let mask: SigSet = blocked.iter().copied().collect();
    for signal in Signal::iterator() {
        let disposition = match signal {
            Signal::SIGKILL | Signal::SIGSTOP => continue,
            // Rust's own handlers turn a stack overflow into a message; they
            // are per process and safe to keep.
            Signal::SIGSEGV | Signal::SIGBUS => continue,
            Signal::SIGPIPE | Signal::SIGXFSZ => SigHandler::SigIgn,
            other if ignored.contains(&other) => SigHandler::SigIgn,
            _ => SigHandler::SigDfl,
        };
        set_disposition(signal, disposition)?;
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    Ok(())
}

/// Names the calling thread as `ps` and `top` show it; cut after 15 bytes.
pub fn set_thread_name(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: PR_SET_NAME reads a string that ends in NUL, at most 16 bytes of it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Asks the kernel to kill this process when its parent dies, then makes sure
/// that the parent had not died before.
///
/// # Errors
/// The parent is dead already.
pub fn die_with_parent(parent: Pid) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if nix::unistd::getppid() != parent {
        return Err(io::Error::other("the parent is dead"));
    }
    Ok(())
}

/// Bounds the memory that this process may allocate (not what it maps from
/// files). A limit above the hard one is lowered to it.
///
/// # Errors
/// The kernel refused.
pub fn limit_data_bytes(bytes: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let bytes = bytes.min(hard);
    Ok(setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?)
}

/// Memory that this process shares with nobody and with no file (resident
/// without shared pages).
///
/// # Errors
/// No `/proc`.
pub fn own_memory_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    match (pages.next(), pages.next()) {
        (Some(Ok(resident)), Some(Ok(shared))) => {
            // SAFETY: sysconf takes a number.
            let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            Ok(resident.saturating_sub(shared).saturating_mul(u64::try_from(page_bytes).unwrap_or(4096)))
        }
        _ => Err(io::Error::other("/proc/self/statm has another form")),
    }
}

/// Raises the soft limit on open files to the hard one, at most to `max`.
/// Returns what holds now.
///
/// # Errors
/// The kernel refused.
pub fn raise_open_files(max: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(max).max(soft);
    if wanted != soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(wanted)
}

/// Cores this process may use: affinity and cgroup quota.
pub fn count_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whom a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub user: Uid,
    pub group: Gid,
}

/// Looks up a user and a group by name or number; the group defaults to the
/// user's own. `None` where neither is asked for.
///
/// # Errors
/// No such user or group.
pub fn find_identity(user: Option<&str>, group: Option<&str>) -> io::Result<Option<Identity>> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let unknown = |kind: &str, name: &str| io::Error::other(format!("no {kind} {name}"));
    let found = match user {
        None => User::from_uid(nix::unistd::geteuid())?,
        Some(name) => match name.parse::<u32>() {
            Ok(number) => User::from_uid(Uid::from_raw(number))?,
            Err(_) => User::from_name(name)?,
        },
    };
    let found = found.ok_or_else(|| unknown("user", user.unwrap_or("of this process")))?;
    let group = match group {
        None => found.gid,
        Some(name) => match name.parse::<u32>() {
            Ok(number) => Gid::from_raw(number),
            Err(_) => Group::from_name(name)?.ok_or_else(|| unknown("group", name))?.gid,
        },
    };
    Ok(Some(Identity { name: found.name, user: found.uid, group }))
}

/// Becomes `identity` for good: supplementary groups, then group, then user,
/// then a check that there is no way back. A process that is not root and is
/// this user already stays as it is.
///
/// # Errors
/// Not root and another user, or the kernel refused.
pub fn drop_privileges(identity: &Identity) -> io::Result<()> {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let same = nix::unistd::geteuid() == identity.user;
        let text = format!("only root can become user {}", identity.name);
        return if same { Ok(()) } else { Err(io::Error::other(text)) };
    }
    let name = CString::new(identity.name.as_bytes())?;
    nix::unistd::initgroups(&name, identity.group)?;
    nix::unistd::setgid(identity.group)?;
    nix::unistd::setuid(identity.user)?;
    if !identity.user.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("root could be taken back after it was given up"));
    }
    Ok(())
}

// --- descriptors -------------------------------------------------------------

/// Takes over a descriptor that was inherited under a known number, and closes
/// it on exec from now on. Of standard output and standard error, a copy.
///
/// # Errors
/// No such descriptor, or standard input.
pub fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    let found = match number {
        1 => io::stdout().as_fd().try_clone_to_owned()?,
        2 => io::stderr().as_fd().try_clone_to_owned()?,
        ..3 => return Err(io::Error::other("not a descriptor to write to")),
        // SAFETY: only reads a flag, and fails on a number that is not open.
        _ if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 => return Err(io::Error::last_os_error()),
        // SAFETY: open, and only the caller's arguments know its number.
        _ => unsafe { OwnedFd::from_raw_fd(number) },
    };
    fcntl(&found, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(found)
}

/// In a forked child: closes every descriptor from 3 on but these. Whatever
/// object still holds one must never be used or dropped: the child's body ends
/// in [`exit_now`] and does not return.
///
/// # Errors
/// Neither `close_range(2)` nor `/proc` is there.
pub fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<RawFd> = kept.iter().copied().filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut first: RawFd = 3;
    for fd in kept.into_iter().chain([RawFd::MAX]) {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: closing is what the caller asked for, see `close_all_but`.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return Ok(());
    }
    // Before Linux 5.9, or a sandbox that forbids the call.
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        if let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            open.push(fd);
        }
    }
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as above; the descriptor of the listing itself is closed
        // already, closing it again fails harmlessly.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// An empty file in memory, closed on exec, that can be sealed.
///
/// # Errors
/// The kernel has no room.
pub fn create_memory_file(name: &str) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(memfd_create(CString::new(name)?.as_c_str(), flags)?)
}

/// Makes a memory file immutable, for every process, for good.
///
/// # Errors
/// Somebody still has it mapped for writing.
pub fn seal(file: &OwnedFd) -> io::Result<()> {
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// The whole of a memory file, wherever its offset stands; refused past
/// `bytes_max`.
///
/// # Errors
/// Longer than `bytes_max`, or the kernel refused.
pub fn read_memory_file(file: &OwnedFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = File::from(file.try_clone()?);
    let length = file.metadata()?.len();
    if length > bytes_max {
        return Err(io::Error::other(format!("{length} bytes, over the limit of {bytes_max}")));
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Whether a descriptor is closed on exec.
///
/// # Errors
/// Not open.
pub fn closes_on_exec(fd: impl AsFd) -> io::Result<bool> {
    let flags = fcntl(fd, FcntlArg::F_GETFD)?;
    Ok(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC))
}

// --- the event loop ----------------------------------------------------------

/// Adds a listening socket to an epoll so that one connection wakes few
/// processes instead of all. Level triggered; events carry `token`. (mio
/// cannot set the flag, but delivers the events of its own descriptor.)
///
/// # Errors
/// Already added, or the kernel refused.
pub fn watch_exclusively(epoll: BorrowedFd<'_>, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLEXCLUSIVE) as u32, u64: token };
    control_epoll(epoll, libc::EPOLL_CTL_ADD, socket, &mut event)
}

/// Takes a socket out of an epoll; one that is not in it is no error.
///
/// # Errors
/// The kernel refused.
pub fn stop_watching(epoll: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    match control_epoll(epoll, libc::EPOLL_CTL_DEL, socket, &mut event) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn control_epoll(
    epoll: BorrowedFd<'_>,
    operation: i32,
    socket: BorrowedFd<'_>,
    event: &mut libc::epoll_event,
) -> io::Result<()> {
    // SAFETY: both descriptors are borrowed and so open; `event` is valid.
    let result = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, socket.as_raw_fd(), event) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

// --- files -------------------------------------------------------------------

/// Opens a file for reading without waiting for a disk: EAGAIN
/// ([`io::ErrorKind::WouldBlock`]) where the path is not in the kernel's cache,
/// which a missing one never is. A FIFO does not hang it. A link in the last
/// place is not followed (ELOOP): where it may lead is the caller's question.
///
/// # Errors
/// WouldBlock as above; ENOSYS, EPERM or EOPNOTSUPP where the call is not
/// there (ask [`CachedReads::try_directory`] once); the usual ones.
pub fn open_cached(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid `open_how`.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags =
        (libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NOFOLLOW) as u64;
    how.resolve = libc::RESOLVE_CACHED;
    // SAFETY: path ends in NUL, `how` is valid and its size is told.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: just opened, nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads what lies in the page cache; WouldBlock where a disk is needed. May
/// read less than asked for.
///
/// # Errors
/// WouldBlock; EOPNOTSUPP where the file system cannot; the usual ones.
pub fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: `part` describes `buffer`, which outlives the call.
    let count = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// How files of one directory may be read on an event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedReads {
    /// [`open_cached`] works here.
    pub open: bool,
    /// [`read_cached`] works here.
    pub read: bool,
    /// A network file system: without the two, it is not to be read on the loop.
    pub network: bool,
}

impl CachedReads {
    /// Tries the calls on an existing directory; a few system calls.
    ///
    /// # Errors
    /// The directory is not there.
    pub fn try_directory(directory: &Path) -> io::Result<CachedReads> {
        let plain = File::open(directory)?;
        let network = is_network_file_system(&plain);
        // Just opened, so its path is in the cache: any failure is a "cannot".
        let open = open_cached(directory).is_ok();
        Ok(CachedReads { open, read: try_read_cached(directory), network })
    }
}

fn try_read_cached(directory: &Path) -> bool {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(directory);
    let Ok(file) = file else {
        // Read-only, or no unnamed files here: the caller finds out at the
        // first tile, by EOPNOTSUPP.
        return true;
    };
    let unsupported = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL))
    };
    if file.write_all_at(b"x", 0).is_err() {
        return true;
    }
    !read_cached(&file, &mut [0], 0).is_err_and(|error| unsupported(&error))
}

fn is_network_file_system(file: &File) -> bool {
    /// NFS, SMB, SMB2, CIFS, 9P, FUSE, Ceph, Lustre, GPFS, AFS, GFS2, OCFS2.
    const NETWORK: [u32; 12] = [
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x0102_1997,
        0x6573_5546,
        0x00c3_6400,
        0x0bd0_0bd0,
        0x4750_4653,
        0x5346_414f,
        0x0116_1970,
        0x7461_636f,
    ];
    nix::sys::statfs::fstatfs(file).is_ok_and(|fs| NETWORK.contains(&(fs.filesystem_type().0 as u32)))
}

/// Tries to take the exclusive `flock(2)` of an open file; `false` where
/// somebody else holds it. Freed when the file is closed, by whatever end of
/// the process.
///
/// # Errors
/// The file system has no locks.
pub fn try_flock(file: &File) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open as long as `file` is borrowed.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        match Errno::last() {
            Errno::EWOULDBLOCK => return Ok(false),
            Errno::EINTR => {}
            error => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
