//! Witnesses: others that sign checkpoints of a log, each only if it continues the one that it signed before. Plain values,
//! no I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_tlog::{KeyKind, VerifierKey};
use utoipa::ToSchema;

use crate::context::TenantId;
use crate::error::{Error, Result};

/// The longest name, in bytes: the limit of C2SP tlog-cosignature.
const MAX_NAME_BYTES: usize = 255;

/// A witness of a log, as it is stored.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The owner of the log: a tenant, or the platform.
    pub tenant: TenantId,
    /// The name of its key.
    pub name: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Its submission prefix (C2SP tlog-witness): the beginning of its addresses.
    pub url: String,
    /// Its public key (C2SP signed-note).
    pub key: String,
    /// Its state.
    pub state: WitnessState,
    /// Since when it is in that state.
    pub since: DateTime<Utc>,
    /// Why it did not sign.
    pub why: Option<String>,
    /// The number of attempts that failed since it last signed.
    pub failures: u32,
    /// The checkpoint that it signed last.
    pub signed: Option<LastSigned>,
    /// The number of entries of the log's current tree that no checkpoint covers which it signed.
    pub behind: i64,
}

/// The checkpoint that a witness signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSigned {
    /// The tree.
    pub epoch: i16,
    /// The number of its entries.
    pub size: i64,
    /// When it was signed.
    pub at: DateTime<Utc>,
}

/// State of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WitnessState {
    /// It was not asked yet.
    New,
    /// It signed when it was asked last.
    Signing,
    /// It could not be reached, or its answer was not a signature.
    Failing,
    /// It does not know the log, or none of its keys.
    UnknownLog,
    /// It signed another history of the log: the database went back in time, or somebody changed the log.
    Refused,
}

crate::words!(WitnessState);

impl Witness {
    /// Its public key.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if somebody changed the row.
    pub fn verifier(&self) -> Result<VerifierKey> {
        self.key.parse().map_err(Error::internal)
    }
}

/// Reads the key of a witness with this name.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if it is not the key of a witness, or has another name.
pub fn witness_key(name: &str, text: &str) -> Result<VerifierKey> {
    let key: VerifierKey = text.trim().parse().map_err(|invalid| {
        Error::invalid(
            "key",
            format!("`key` must be the key of a witness, NAME+ID+KEY as C2SP's signed-note spells it. {invalid}"),
        )
    })?;
    if key.kind != KeyKind::Cosignature {
        return Err(Error::invalid(
            "key",
            "`key` is a key that signs notes, such as that of a log (type 0x01). A witness has a key of the type 0x04: ask its operator for that.",
        ));
    }
    if key.name != name {
        let named = &key.name;
        return Err(Error::invalid(
            "name",
            format!("`name` must be the name in the key, which is `{named}`."),
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::invalid(
            "name",
            format!("`name` must have at most {MAX_NAME_BYTES} bytes."),
        ));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use sigpersist_tlog::SigningKey;

    use super::*;

    fn refusal(name: &str, key: &str) -> String {
        witness_key(name, key).unwrap_err().to_string()
    }

    #[test]
    fn key_is_that_of_a_witness_with_this_name() {
        let (key, _) = SigningKey::generate();
        let witness = VerifierKey::witness("example.com/w", key.public_key());
        let text = witness.to_string();
        assert_eq!(witness_key("example.com/w", &text).unwrap(), witness);
        assert_eq!(
            refusal("w", &text),
            "`name` must be the name in the key, which is `example.com/w`."
        );
        let of_log = key.verifier("example.com/w").to_string();
        assert!(refusal("example.com/w", &of_log).contains("type 0x04"));
        assert!(refusal("example.com/w", "example.com/w").contains("NAME+ID+KEY"));
        let changed = text.replace("example", "Example");
        assert!(refusal("Example.com/w", &changed).contains("the id is not that"));
        let long = "w".repeat(256);
        let key = VerifierKey::witness(&*long, key.public_key()).to_string();
        assert!(refusal(&long, &key).contains("255 bytes"));
    }
}
