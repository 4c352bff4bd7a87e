//! Returns freed memory to the operating system.

/// Blocks of so many bytes are mapped by themselves, and unmapped when they are free: far above what ordinary requests need.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 256 * 1024;
/// As much as may be free at the end of a heap before it goes back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 2 * 1024 * 1024;

/// Has glibc give back what was large, as soon as it is free.
///
/// By itself it maps such blocks, too, but takes the first that is freed for a sign that there will be more, and from then on
/// has blocks of up to 32 MB in heaps, which keep what is free before anything that is in use. After a burst of 120 requests
/// and answers of 10 to 60 MB the server, not optimised, kept 297 MB more than before and took 575 MB at the most; with the first
/// threshold fixed, 96 and 354. jemalloc kept 102 and took 438, mimalloc 83 and 494 in place of glibc's own functions, and 213
/// and 609 as Rust's allocator alone, since libpq is in C; `malloc_trim` every ten seconds left about 350. What a save and a read
/// take of the processor differed by no more than the measurements did.
pub(super) fn give_back_what_is_large() {
    // Whoever sets it in the environment knows better.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_MMAP_THRESHOLD_").is_none() {
        #[expect(unsafe_code, reason = "mallopt is a function of C")]
        // SAFETY: it changes numbers that malloc goes by, under malloc's own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        }
    }
}
