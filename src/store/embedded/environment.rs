//! The environment variables of libpq and of Postgres's programs, which are about other databases than the embedded one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// Names of variables that libpq or a program of Postgres reads: `PGPORT`, `PGSERVICE`, `PGOPTIONS` and their like.
///
/// All of them begin so (PostgreSQL documentation, 34.15), and nothing else of ours does.
pub(super) fn variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.as_bytes().starts_with(b"PG"))
}

/// Removes libpq's variables from the environment of this process. Not each of them can be overruled in a connection string:
/// with `PGSERVICE`, libpq looks for a service whatever that says.
///
/// # Safety
///
/// No other thread may run, since any could be reading the environment: call this first in `main`.
#[expect(
    unsafe_code,
    reason = "the environment can't be changed otherwise, and libpq reads it by itself"
)]
pub unsafe fn forget_libpq_environment() {
    for name in variables().collect::<Vec<_>>() {
        // SAFETY: the caller promises that no other thread runs.
        unsafe { std::env::remove_var(name) };
    }
}
