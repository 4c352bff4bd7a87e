//! Publishers of plugins and their signatures (the format of minisign). Plain values, no cryptography:
//! signatures are verified where keys are known.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest text of a signature, in bytes: minisign's have some 300.
pub const MAX_SIGNATURE_BYTES: usize = 4096;
/// Words of a trusted comment that state the plugin's name and version.
const PLUGIN: &str = "plugin:";
const VERSION: &str = "version:";

/// The publisher's signature of a revision, as it was uploaded with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Text of the signature: a `.minisig` file.
    pub signature: String,
    /// Id of the key that the signature names, as minisign writes it: 16 hexadecimal digits.
    pub key_id: String,
    /// The version that the signature states.
    pub version: Version,
    /// The public key with which a server verified the signature when it was uploaded; none if that server trusted no keys.
    pub key: Option<String>,
    /// Whether the server trusts that key now.
    pub is_trusted: bool,
}

/// The facts that a signature states in its trusted comment, which is signed, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin (Semantic Versioning 2.0.0).
    pub version: Version,
}

impl Statement {
    /// Reads a trusted comment: words such as `plugin:signer-tags version:1.2.0`, among others. None unless it has both,
    /// once each.
    pub fn parse(comment: &str) -> Option<Self> {
        let stated = |prefix: &str| {
            let mut words = comment
                .split_whitespace()
                .filter_map(|word| word.strip_prefix(prefix));
            let first = words.next();
            first.filter(|_| words.next().is_none())
        };
        Some(Self {
            plugin: stated(PLUGIN).filter(|name| !name.is_empty())?.to_owned(),
            version: stated(VERSION)?.parse().ok()?,
        })
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PLUGIN}{} {VERSION}{}", self.plugin, self.version)
    }
}

/// The id of the key that a signature names: 16 hexadecimal digits, as minisign writes them. None if the text is no
/// signature.
pub fn key_id(signature: &str) -> Option<String> {
    let bytes = BASE64.decode(signature.lines().nth(1)?).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

/// Reasons why a plugin's signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureFault {
    /// There is none, and the server takes only signed plugins.
    Missing,
    /// It is not the text of a `.minisig` file.
    Malformed,
    /// Its trusted comment does not state the plugin's name and version.
    Incomplete,
    /// The server does not trust the key that made it.
    KeyNotTrusted,
    /// It is of other bytes, or was changed.
    Invalid,
    /// It is for another plugin.
    OtherPlugin,
    /// A newer version was uploaded before.
    OlderVersion,
    /// Other bytes were uploaded under this version before.
    VersionTaken,
}

crate::words!(SignatureFault);

/// A refused signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureRefusal {
    /// The reason.
    pub fault: SignatureFault,
    /// A sentence that says what is wrong, and what to do.
    pub sentence: String,
    /// Id of the key that made the signature, if it names one.
    pub key_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_states_name_and_version_once() {
        let statement = Statement::parse(
            "timestamp:1796083200\tfile:x.wasm\thashed plugin:signer-tags\tversion:1.2.0-rc.1",
        );
        let statement = statement.unwrap();
        assert_eq!(statement.plugin, "signer-tags");
        assert_eq!(
            statement.to_string(),
            "plugin:signer-tags version:1.2.0-rc.1"
        );
        for incomplete in [
            "",
            "plugin:a",
            "version:1.0.0",
            "plugin: version:1.0.0",
            "plugin:a version:1",
            "plugin:a plugin:b version:1.0.0",
            "plugin:a version:1.0.0 version:2.0.0",
            "xplugin:a version:1.0.0",
        ] {
            assert_eq!(Statement::parse(incomplete), None, "{incomplete}");
        }
    }
}
