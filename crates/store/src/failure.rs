//! Maps failed queries to errors.

use std::error::Error as StdError;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use sigpersist_model::error::{Error, Noun};

use super::kept::{Forgotten, is_forgotten};
use super::sqlstate::sqlstate;

/// Whether a connection can't be used any more after this error.
pub(super) fn is_connection_lost(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, information) => {
            matches!(
                kind,
                DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    // The host was the primary before. A new connection finds the present primary.
                    | DatabaseErrorKind::ReadOnlyTransaction
            ) || is_forgotten(error)
                || match sqlstate(error) {
                    Some(state) => ends_session(&state),
                    None => is_lost_message(information.message()),
                }
        }
        DieselError::BrokenTransactionManager => true,
        _ => false,
    }
}

/// Whether a query waited too long for a lock: `lock_not_available`. Looks for the query's error among the sources.
pub(super) fn is_lock_timeout(error: &(dyn StdError + 'static)) -> bool {
    let of_query = error.downcast_ref::<DieselError>().and_then(sqlstate);
    of_query.as_ref() == Some(b"55P03") || error.source().is_some_and(is_lock_timeout)
}

/// Whether the server has ended the session: a connection exception (class 08), a server that shuts down, crashed or
/// starts up (57P01 to 57P03), or a session that was idle for too long (57P05, 25P03, 25P04).
fn ends_session(state: &[u8; 5]) -> bool {
    state.starts_with(b"08")
        || matches!(
            state,
            b"57P01" | b"57P02" | b"57P03" | b"57P05" | b"25P03" | b"25P04"
        )
}

/// Whether the same query may succeed a moment later: the server lacks a resource (class 53: disk, memory, locks,
/// connections), the query was cancelled as by `statement_timeout` (57014), waited too long for a lock (55P03), or lost
/// against another transaction (class 40).
fn passes(state: &[u8; 5]) -> bool {
    state.starts_with(b"53")
        || state.starts_with(b"40")
        || matches!(state, b"57014" | b"55P03")
        || ends_session(state)
}

/// Whether libpq itself says that the connection was lost. These messages have no SQLSTATE, and come in English: the
/// program sets no locale for them.
fn is_lost_message(message: &str) -> bool {
    [
        "server closed the connection",
        "no connection to the server",
        "could not receive data from server",
        "could not send data to server",
        "SSL connection has been closed",
        "SSL SYSCALL error",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Maps a failed query to the error that the caller gets.
pub(super) fn query_error(error: DieselError) -> Error {
    if is_forgotten(&error) {
        return Error::DatabaseUnavailable(Forgotten.into());
    }
    if matches!(error, DieselError::RollbackTransaction) {
        // Only given-up work ends with this error.
        return Error::DatabaseUnavailable(error.into());
    }
    // The revision that a hook is to run was deleted meanwhile.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && matches!(
            information.constraint_name(),
            Some("hooks_shadow_fkey" | "hooks_plugin_id_sha256_fkey")
        )
    {
        return Error::NotFound(Noun::Revision);
    }
    // The tenant was removed meanwhile. It was suspended before that.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && information
            .constraint_name()
            .is_some_and(|name| name.ends_with("_tenant_id_fkey"))
    {
        return Error::TenantSuspended;
    }
    if sqlstate(&error).is_some_and(|state| passes(&state)) || is_connection_lost(&error) {
        Error::DatabaseUnavailable(error.into())
    } else {
        Error::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_pass_are_told_by_their_state() {
        for state in [
            b"53100", b"53200", b"53300", b"57014", b"55P03", b"40P01", b"57P01",
        ] {
            assert!(passes(state), "{state:?}");
        }
        for state in [b"22012", b"42703", b"23505", b"XX000", b"25006"] {
            assert!(!passes(state) && !ends_session(state), "{state:?}");
        }
        assert!(ends_session(b"57P01") && ends_session(b"08006"));
        assert!(!ends_session(b"57014") && !ends_session(b"53100"));
    }

    #[test]
    fn what_libpq_says_itself_is_known_by_its_words() {
        let failed = |message: &str| {
            let information = Box::new(message.to_owned());
            query_error(DieselError::DatabaseError(
                DatabaseErrorKind::Unknown,
                information,
            ))
        };
        let error = failed("server closed the connection unexpectedly");
        assert!(matches!(error, Error::DatabaseUnavailable(_)), "{error}");
        // The server's own words tell nothing: they may be in any language.
        let error = failed("canceling statement due to statement timeout");
        assert!(matches!(error, Error::Internal(_)), "{error}");
    }
}
