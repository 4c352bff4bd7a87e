//! Messages of panics. A panic ends the call by a trap, which says nothing of its reason.

/// Makes panics log their message and place before they trap. The server shows the last logged error as the reason of the
/// failure.
///
/// Each call of a plugin gets a fresh instance, so each exported function begins with this.
pub(crate) fn report() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("without a message");
        let message = match panic.location() {
            Some(place) => format!("panic at {}:{}: {message}", place.file(), place.line()),
            None => format!("panic: {message}"),
        };
        crate::log(crate::Level::Error, &message);
    }));
}
