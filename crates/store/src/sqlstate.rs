//! The SQLSTATE of a failed query, which says what failed in any language of the server's messages.
//!
//! Diesel 2.3 does not pass it on, although the result of libpq that it holds has it. Messages would do only where the
//! server speaks English: `lc_messages` is the operator's choice, and only a superuser can change it for a session. So
//! this module reads the result itself. It must go as soon as Diesel has an accessor.

use std::ffi::{CStr, c_int};

use diesel::result::{DatabaseErrorInformation, Error as DieselError};

/// `PG_DIAG_SQLSTATE` and `PG_DIAG_MESSAGE_PRIMARY` of libpq's `postgres_ext.h`.
const SQLSTATE: c_int = b'C' as c_int;
const MESSAGE: c_int = b'M' as c_int;

/// The five characters of the SQLSTATE; none if the error did not come from a server, as when a connection breaks.
pub(super) fn sqlstate(error: &DieselError) -> Option<[u8; 5]> {
    match error {
        DieselError::DatabaseError(_, information) => read(&**information),
        _ => None,
    }
}

#[expect(
    unsafe_code,
    reason = "Diesel holds the result of libpq and does not show its SQLSTATE"
)]
fn read(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<[u8; 5]> {
    // Diesel has two kinds of information: an owned `String`, for its own errors, and a struct around a pointer to a
    // result of libpq. Their sizes differ.
    if size_of_val(information) != size_of::<*const pq_sys::PGresult>()
        || align_of_val(information) != align_of::<*const pq_sys::PGresult>()
    {
        return None;
    }
    let at = std::ptr::from_ref(information).cast::<*const pq_sys::PGresult>();
    // SAFETY: the value has the size and alignment of a pointer, and is alive. The only such type in Diesel is
    // `PgErrorInformation`, whose one field is the pointer to a result; the tests below notice another one. libpq's
    // function takes any result, and null.
    let (message, state) = unsafe {
        let result = at.read();
        (
            pq_sys::PQresultErrorField(result, MESSAGE),
            pq_sys::PQresultErrorField(result, SQLSTATE),
        )
    };
    // A result without a message of the server's has no SQLSTATE either.
    if message.is_null() || state.is_null() {
        return None;
    }
    // SAFETY: libpq ends the text with a zero byte, and it lives as long as the result.
    let state = unsafe { CStr::from_ptr(state) };
    state.to_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use diesel::RunQueryDsl as _;
    use diesel::result::DatabaseErrorKind;
    use sigpersist_postgres::embedded::{Embedded, Purpose};

    use super::*;

    #[test]
    fn a_servers_errors_have_their_sqlstate_and_others_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), everybody).unwrap();
        let embedded =
            Embedded::open(&folder.path().join("data"), Purpose::FirstCommand, &[]).unwrap();
        let mut connection = sigpersist_postgres::connect(embedded.url()).unwrap();
        for (query, state) in [
            ("SELECT 1 / 0", b"22012"),
            ("SELECT nothing", b"42703"),
            (
                "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$",
                b"53100",
            ),
        ] {
            let error = diesel::sql_query(query)
                .execute(&mut connection)
                .unwrap_err();
            assert_eq!(sqlstate(&error).as_ref(), Some(state), "{query}");
        }
        let own = |text: &str| {
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()))
        };
        assert_eq!(sqlstate(&own("lock timeout")), None);
        assert_eq!(sqlstate(&own("")), None);
        assert_eq!(sqlstate(&DieselError::NotFound), None);
    }
}
