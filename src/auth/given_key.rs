//! A public key as a caller gives it. It may be something else by mistake: a private key, a set of keys, a certificate.

use serde_json::Value;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::Algorithm;

use super::public_key::PublicKey;

/// Private members of a JSON Web Key, which only its owner may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4, RFC 8037
/// section 2).
pub(super) const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// Greatest number of a set's key names that a message lists.
const MAX_NAMED: usize = 10;

/// A public key as a caller gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenKey {
    /// PEM.
    Pem(String),
    /// A JSON Web Key.
    Jwk(Value),
}

impl GivenKey {
    /// Reads the key, for use with this algorithm only. Blocks for up to a second, because it checks whether anybody
    /// can forge signatures for the key.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub fn read(&self, algorithm: Algorithm) -> Result<PublicKey> {
        self.refuse_other_things()?;
        let key = match self {
            Self::Pem(pem) => PublicKey::from_pem(algorithm, pem)?,
            Self::Jwk(jwk) => PublicKey::from_jwk(algorithm, jwk)?,
        };
        key.refuse_factorable()?;
        Ok(key)
    }

    /// A member of the JSON Web Key that is text.
    pub fn member(&self, name: &str) -> Option<&str> {
        match self {
            Self::Jwk(jwk) => jwk.get(name)?.as_str(),
            Self::Pem(_) => None,
        }
    }

    /// Refuses what is no public key, with a message that says what it is instead.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub fn refuse_other_things(&self) -> Result<()> {
        match self {
            Self::Pem(pem) => refuse_other_pem(pem),
            Self::Jwk(jwk) => refuse_other_jwk(jwk),
        }
    }
}

fn refuse_other_pem(pem: &str) -> Result<()> {
    // OpenSSL's files may begin with the parameters of the curve, or with text.
    if pem.contains("PRIVATE KEY-----") {
        return Err(leaked("This is a private key"));
    }
    if pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Error::refused(
            "This is a certificate: give only its public key, as `openssl x509 -noout -pubkey` prints it.",
        ));
    }
    if pem.contains("-----BEGIN RSA PUBLIC KEY-----") {
        return Err(Error::refused(
            "This is a key of PKCS #1: give it as `openssl rsa -RSAPublicKey_in -pubout` prints it (`-----BEGIN PUBLIC KEY-----`).",
        ));
    }
    Ok(())
}

fn refuse_other_jwk(jwk: &Value) -> Result<()> {
    if let Some(keys) = jwk.get("keys").and_then(Value::as_array) {
        return Err(set_of(keys));
    }
    if jwk.get("kty").is_some_and(|kty| kty == "oct") {
        return Err(leaked("The JSON Web Key is a shared secret"));
    }
    let holds = |name: &&&str| jwk.get(**name).is_some_and(|value| !value.is_null());
    match PRIVATE.iter().find(holds) {
        Some(name) => Err(leaked(&format!(
            "The JSON Web Key contains its private part (`{name}`)"
        ))),
        None => Ok(()),
    }
}

fn leaked(what: &str) -> Error {
    Error::refused(format!(
        "{what}. Consider it leaked: make a new key pair, and give only its public key."
    ))
}

/// The refusal of a JSON Web Key Set: its keys have names and times of their own, so each is added by itself.
fn set_of(keys: &[Value]) -> Error {
    let names: Vec<_> = keys
        .iter()
        .filter_map(|key| key.get("kid")?.as_str())
        .filter(|name| super::token::is_key_id(name))
        .take(MAX_NAMED)
        .collect();
    let names = match &names[..] {
        [] => String::new(),
        names => format!(" (`{}`)", names.join("`, `")),
    };
    Error::refused(format!(
        "This is a JSON Web Key Set, with {} in it{names}: add each key by itself, as an object of the set's `keys`.",
        match keys.len() {
            0 => "no key".to_owned(),
            1 => "one key".to_owned(),
            many => format!("{many} keys"),
        }
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The key of RFC 8037 appendix A.2.
    fn published() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[track_caller]
    fn refused(key: &GivenKey, why: &str) {
        let refused = key.read(Algorithm::EdDsa).unwrap_err();
        assert_eq!(refused.code(), "refused");
        assert!(refused.to_string().contains(why), "{refused}");
    }

    #[test]
    fn whoever_gives_a_private_key_is_told_that_it_is_leaked() {
        assert!(GivenKey::Jwk(published()).read(Algorithm::EdDsa).is_ok());
        for name in PRIVATE {
            let mut jwk = published();
            jwk[name] = json!("AA");
            refused(&GivenKey::Jwk(jwk.clone()), "Consider it leaked");
            refused(&GivenKey::Jwk(jwk.clone()), &format!("(`{name}`)"));
            // Any form of the member, and any other error, gives the same message.
            jwk[name] = json!([{"r": "AA"}]);
            jwk["alg"] = json!("RS256");
            refused(&GivenKey::Jwk(jwk.clone()), "Consider it leaked");
            jwk[name] = Value::Null;
            refused(&GivenKey::Jwk(jwk), "another algorithm");
        }
        let secret = json!({"kty": "oct", "k": "AAAA"});
        refused(&GivenKey::Jwk(secret), "shared secret. Consider it leaked");
        for kind in ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "] {
            let pem = format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                 -----BEGIN {kind}PRIVATE KEY-----\nAAAA\n-----END {kind}PRIVATE KEY-----\n"
            );
            refused(&GivenKey::Pem(pem), "Consider it leaked");
        }
    }

    #[test]
    fn what_is_no_public_key_is_called_what_it_is() {
        let set = json!({"keys": [{"kid": "one"}, {"kid": "two"}, {"kid": "no name\n"}]});
        refused(
            &GivenKey::Jwk(set),
            "a JSON Web Key Set, with 3 keys in it (`one`, `two`)",
        );
        refused(&GivenKey::Jwk(json!({"keys": []})), "with no key in it:");
        let pem = |label: &str| {
            GivenKey::Pem(format!(
                "-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
            ))
        };
        refused(&pem("CERTIFICATE"), "a certificate");
        refused(&pem("RSA PUBLIC KEY"), "PKCS #1");
        refused(&pem("PUBLIC KEY"), "not a public key for EdDSA");
    }
}
