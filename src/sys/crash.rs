//! What a crashing process leaves behind: in which of its threads it crashed.
//! A signal handler writes one word of shared memory and lets the signal end
//! the process as it would have without it.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Signals by which a process ends for a fault of its own.
const FAULTS: [Signal; 5] =
    [Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE];

thread_local! {
    // Constant and without a destructor, so that a handler may read it.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// The number by which the calling thread is told from others.
pub fn name_thread(number: usize) {
    THREAD.with(|thread| thread.set(number as u64 + 1));
}

/// From now on a crash writes the number of the thread it came to, plus one,
/// to the word that `find` finds in `owner`. Threads without a number leave
/// nothing. `owner` is kept for as long as the process lives.
///
/// # Errors
/// The kernel refused.
pub fn mark_crashes<T: Send + Sync + 'static>(
    owner: Arc<T>,
    find: impl Fn(&T) -> &AtomicU64,
) -> io::Result<()> {
    let owner: &'static T = Box::leak(Box::new(owner));
    WORD.store(std::ptr::from_ref(find(owner)).cast_mut(), SeqCst);
    // Once: the second signal, which the handler raises, ends the process. On
    // the stack that Rust's threads have for such handlers: theirs may be full.
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::Handler(leave_mark), flags, SigSet::empty());
    for signal in FAULTS {
        // SAFETY: the handler reads two words, writes one and raises a signal:
        // all of it is allowed in a handler.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

extern "C" fn leave_mark(signal: libc::c_int) {
    let word = WORD.load(SeqCst);
    let thread = THREAD.try_with(Cell::get).unwrap_or(0);
    if !word.is_null() && thread != 0 {
        // SAFETY: set once from a reference that lives as long as the process,
        // to an atomic, which may be written from anywhere.
        unsafe { &*word }.store(thread, SeqCst);
    }
    // SAFETY: raises the signal that is being handled; by now its disposition
    // is the default, and it is delivered when the handler returns.
    unsafe { libc::raise(signal) };
}
