//! Exit codes of failed commands, and the matching error codes of the API.

use sigpersist_model::error::Error;
use sigpersist_store::Unavailable;

use super::door::{Refusal, Unreachable};

/// The exit code of a refusal; 2 is that of a command line that is wrong.
pub(super) const REFUSED: u8 = 1;
/// The exit code of what could not be done now, and may be later.
const TRY_AGAIN: u8 = 3;

/// The exit code of a failed command.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    let later = match (error.downcast_ref::<Refusal>(), error.downcast_ref()) {
        (Some(refusal), _) => refusal.is_for_now,
        (
            _,
            Some(
                Error::DatabaseUnavailable(_)
                | Error::Overloaded
                | Error::RateLimited
                | Error::TooManyWaiting { .. },
            ),
        ) => true,
        _ => error.is::<Unreachable>() || error.is::<Unavailable>(),
    };
    if later { TRY_AGAIN } else { REFUSED }
}

/// The code that the API has for a failure; none for what it does not know.
pub(super) fn code(error: &anyhow::Error) -> Option<&str> {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return refusal.code.as_deref();
    }
    match error.downcast_ref::<Error>() {
        Some(error) => Some(error.code()),
        None if error.is::<Unavailable>() => Some("database_unavailable"),
        None => None,
    }
}
