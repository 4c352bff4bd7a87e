//! The end of the process.

/// Ends the process without what C libraries do at its end.
///
/// Other threads may be in libpq still, waiting for a database that does not answer. `exit` takes away beneath them what Kerberos
/// keeps for each thread, which aborts: seen once in 320 starts that were told to stop while they connected.
pub(super) fn at_once(code: u8) -> ! {
    #[expect(unsafe_code, reason = "_exit is a function of C")]
    // SAFETY: it takes any number and does not return. All that we write is flushed where it is written.
    unsafe {
        libc::_exit(code.into())
    }
}
