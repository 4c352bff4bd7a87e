//! Exit codes of failed commands, and the matching error codes of the API.

use sigpersist_model::error::Error;
use sigpersist_store::Unavailable;

use super::tenancy::Advised;

/// The exit code of a refusal; 2 is that of a command line that is wrong.
pub(super) const REFUSED: u8 = 1;
/// The exit code of what could not be done now, and may be later.
const TRY_AGAIN: u8 = 3;

/// The error of the library that is behind a failure, if one is.
fn cause(error: &anyhow::Error) -> Option<&Error> {
    let advised = error
        .downcast_ref::<Advised>()
        .map(|advised| &advised.error);
    advised.or_else(|| error.downcast_ref())
}

/// The exit code of a failed command.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    let later = matches!(
        cause(error),
        Some(Error::DatabaseUnavailable(_) | Error::Overloaded | Error::RateLimited)
    );
    if later || error.is::<Unavailable>() {
        TRY_AGAIN
    } else {
        REFUSED
    }
}

/// The code that the API has for a failure; none for what it does not know.
pub(super) fn code(error: &anyhow::Error) -> Option<&'static str> {
    match cause(error) {
        Some(error) => Some(error.code()),
        None if error.is::<Unavailable>() => Some("database_unavailable"),
        None => None,
    }
}
