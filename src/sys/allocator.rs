//! How the C library's allocator is to treat a worker's pictures: buffers of a
//! few hundred kilobytes that come and go with every map. Knows no sizes of
//! maps; which values pay was measured with `bench/run`.

/// Places from which threads allocate. Only the threads that hold a permit to
/// compute allocate much, so two suffice; with the default of eight for each
/// core every thread that ever drew a map kept its own left-overs, which
/// doubled a worker's memory.
#[cfg(target_env = "gnu")]
const ARENAS_MAX: libc::c_int = 2;
/// Smaller blocks are not mapped and unmapped one by one: the page faults of
/// that were a quarter of a map's time.
#[cfg(target_env = "gnu")]
const MAPPED_MIN_BYTES: libc::c_int = 4 * 1024 * 1024;
/// Free memory beyond this at the end of an arena goes back to the kernel.
#[cfg(target_env = "gnu")]
const FREE_KEPT_BYTES: libc::c_int = 8 * 1024 * 1024;

/// Sets the allocator up; to be called before the process starts threads.
/// Without glibc nothing happens: others have no such settings.
pub fn keep_picture_memory() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in [
        (libc::M_ARENA_MAX, ARENAS_MAX),
        (libc::M_MMAP_THRESHOLD, MAPPED_MIN_BYTES),
        (libc::M_TRIM_THRESHOLD, FREE_KEPT_BYTES),
    ] {
        // SAFETY: mallopt takes two integers, keeps no pointer, and holds the
        // allocator's own lock; a value that it refuses changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}
