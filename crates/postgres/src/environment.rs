//! The environment variables of libpq and of Postgres's programs, which refer to other databases than the embedded
//! one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// The names of variables that libpq or a program of Postgres reads: `PGPORT`, `PGSERVICE`, `PGOPTIONS` and the like.
///
/// All of them begin with `PG` (PostgreSQL documentation, 34.15), and none of our own variables does.
pub(super) fn variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.as_bytes().starts_with(b"PG"))
}

/// Removes libpq's variables from the environment of this process.
///
/// A connection string can't overrule all of them: with `PGSERVICE`, libpq looks for a service whatever the string
/// says.
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
