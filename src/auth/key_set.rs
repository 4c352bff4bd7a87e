//! The JSON Web Key Set (RFC 7517) of an identity provider: only public keys of sufficient size that are there to verify
//! signatures, each with the algorithms that fit it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonwebtoken as jwt;
use jsonwebtoken::Algorithm as Jwt;
use serde_json::{Map, Value, json};
use sigpersist_model::key::Algorithm;

use super::given_key::PRIVATE;
use super::public_key::PublicKey;
use super::token::is_key_id;

/// Longest set, in bytes. Providers have some ten keys of 500 to 3000 bytes with their certificates.
pub const MAX_SET_BYTES: usize = 256 * 1024;
/// Maximum number of keys in a set.
const MAX_KEYS: usize = 64;
/// Algorithms of RSA keys (RFC 7518 sections 3.3 and 3.5).
const OF_RSA: [Jwt; 6] = [
    Jwt::RS256,
    Jwt::RS384,
    Jwt::RS512,
    Jwt::PS256,
    Jwt::PS384,
    Jwt::PS512,
];

/// The keys of a set that verify tokens, by their names.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: BTreeMap<String, Arc<SetKey>>,
    left_out: Vec<String>,
}

/// A key of a set.
pub(super) struct SetKey {
    /// The members that make up the public key.
    parts: Value,
    /// The algorithms that it may be used with.
    algorithms: Vec<Jwt>,
    /// The key in the form that verifies tokens.
    pub(super) key: jwt::DecodingKey,
}

impl std::fmt::Debug for SetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetKey for {:?}", self.algorithms)
    }
}

impl SetKey {
    /// Whether the key may be used with this algorithm.
    pub(super) fn fits(&self, algorithm: Jwt) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// A reason for which a key of a set is not used.
enum Unused {
    /// It is there for something else, as many sets have such keys.
    OtherUse,
    /// It is private, so whoever read the set can sign with it.
    Leaked(String),
    Unfit(String),
}

impl KeySet {
    /// Reads a set that its provider published. Keys that can't be used are left out, even if no others are left: then the
    /// provider has withdrawn all that it had.
    ///
    /// # Errors
    ///
    /// A sentence about a set that is none.
    pub fn fetched(text: &[u8]) -> Result<Self, String> {
        Ok(Self::read(text)?.0)
    }

    /// What is wrong with a set without a key that can be used; none if it has one.
    pub fn lack(&self) -> Option<String> {
        let why = self.left_out.first().map(|why| format!(" {why}"));
        self.keys.is_empty().then(|| {
            let why = why.unwrap_or_default();
            format!("The key set has no key that can be used.{why}")
        })
    }

    /// Reads a set that somebody entered. Only keys that are there for something else are left out. Blocks for up to a
    /// second for each key, because it checks whether anybody can forge signatures for it.
    ///
    /// # Errors
    ///
    /// A sentence about the first key that can't be used.
    pub fn given(text: &[u8]) -> Result<Self, String> {
        let (set, faults) = Self::read(text)?;
        if let Some(fault) = faults.into_iter().next() {
            return Err(fault);
        }
        if set.keys.is_empty() {
            return Err("The key set has no key that verifies signatures.".to_owned());
        }
        for key in set.keys.values() {
            if key.algorithms.iter().any(|one| OF_RSA.contains(one)) {
                let key = PublicKey::from_jwk(Algorithm::Rs256, &key.parts);
                let checked = key.and_then(|key| key.refuse_factorable());
                checked.map_err(|why| why.to_string())?;
            }
        }
        Ok(set)
    }

    /// Reads a set that was checked when it was stored.
    ///
    /// # Errors
    ///
    /// A sentence about a set that is none.
    pub fn stored(text: &[u8]) -> Result<Self, String> {
        Ok(Self::read(text)?.0)
    }

    /// Reads a set; also returns sentences about the faults of keys.
    fn read(text: &[u8]) -> Result<(Self, Vec<String>), String> {
        if text.len() > MAX_SET_BYTES {
            return Err(format!("The key set has more than {MAX_SET_BYTES} bytes."));
        }
        let none = || "This is not a JSON Web Key Set: it has no list `keys`.".to_owned();
        let set: Value = serde_json::from_slice(text).map_err(|_| none())?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or_else(none)?;
        if keys.len() > MAX_KEYS {
            return Err(format!("The key set has more than {MAX_KEYS} keys."));
        }
        let (mut set, mut faults) = (Self::default(), Vec::new());
        let mut ambiguous = BTreeSet::new();
        for key in keys {
            let kid = key.get("kid").and_then(Value::as_str);
            let kid = kid.filter(|kid| is_key_id(kid));
            let of = kid.map_or("A key without a usable `kid`".to_owned(), |kid| {
                format!("The key `{kid}`")
            });
            let (why, is_fault) = match (read_key(key), kid) {
                (Ok(key), Some(kid)) => {
                    let there = set.keys.insert(kid.to_owned(), Arc::new(key));
                    let now = set.keys.get(kid).map(|key| &key.parts);
                    if there.is_none_or(|there| Some(&there.parts) == now) {
                        continue;
                    }
                    // Which of them a token means can't be known, and one may have been slipped in.
                    ambiguous.insert(kid.to_owned());
                    ("has the name of another one".to_owned(), true)
                }
                (Ok(_), None) => ("can't be named by a token".to_owned(), true),
                (Err(Unused::OtherUse), _) => ("is not for verifying signatures".to_owned(), false),
                (Err(Unused::Leaked(why)), _) => (
                    format!(
                        "{why}. Consider it leaked: make a new key pair, and publish only its public key"
                    ),
                    true,
                ),
                (Err(Unused::Unfit(why)), _) => (why, true),
            };
            let sentence = format!("{of} {why}.");
            if is_fault {
                faults.push(sentence.clone());
            }
            set.left_out.push(sentence);
        }
        set.keys.retain(|kid, _| !ambiguous.contains(kid));
        Ok((set, faults))
    }

    /// The key with this name.
    pub(super) fn get(&self, kid: &str) -> Option<&Arc<SetKey>> {
        self.keys.get(kid)
    }

    /// Names of the keys that verify tokens.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Sentences about keys that are not used.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether the other set has each key of this one.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.keys.iter().all(|(kid, key)| {
            other
                .get(kid)
                .is_some_and(|it| it.parts == key.parts && it.algorithms == key.algorithms)
        })
    }
}

/// Reads one key, with all algorithms that fit it, or the only one that it names.
fn read_key(jwk: &Value) -> Result<SetKey, Unused> {
    let unfit = |why: &str| Unused::Unfit(why.to_owned());
    let members: &Map<String, Value> = jwk.as_object().ok_or_else(|| unfit("is no object"))?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if text("kty") == Some("oct") {
        return Err(Unused::Leaked("is a shared secret".to_owned()));
    }
    let holds = |name: &&&str| members.get(**name).is_some_and(|value| !value.is_null());
    if let Some(name) = PRIVATE.iter().find(holds) {
        return Err(Unused::Leaked(format!(
            "contains its private part (`{name}`)"
        )));
    }
    if members.get("use").is_some_and(|usage| usage != "sig") {
        return Err(Unused::OtherUse);
    }
    let verifies = members.get("key_ops").is_none_or(|operations| {
        let mut operations = operations.as_array().into_iter().flatten();
        operations.any(|operation| operation == "verify")
    });
    if !verifies {
        return Err(Unused::OtherUse);
    }
    let (of, algorithms, names): (_, &[Jwt], &[&str]) = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => (Algorithm::Rs256, &OF_RSA, &["kty", "n", "e"]),
        (Some("EC"), Some("P-256")) => (Algorithm::Es256, &[Jwt::ES256], &["kty", "crv", "x", "y"]),
        (Some("EC"), Some("P-384")) => (Algorithm::Es384, &[Jwt::ES384], &["kty", "crv", "x", "y"]),
        (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDsa, &[Jwt::EdDSA], &["kty", "crv", "x"]),
        _ => return Err(unfit("is of a kind that is not supported")),
    };
    let algorithms = match members.get("alg") {
        None => algorithms.to_vec(),
        // RFC 9864 calls EdDSA by its curve.
        Some(name) if name == "Ed25519" && of == Algorithm::EdDsa => algorithms.to_vec(),
        Some(name) => {
            let mut fitting = algorithms.to_vec();
            fitting.retain(|one| name == &json!(one));
            fitting
        }
    };
    if algorithms.is_empty() {
        return Err(unfit("is for an algorithm that does not fit it"));
    }
    let parts = names.iter().filter_map(|name| {
        let value = members.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    let parts = Value::Object(parts.collect());
    let key = PublicKey::from_jwk(of, &parts).and_then(|key| key.decoding_key());
    let key = key.map_err(|why| {
        let why = why.to_string();
        Unused::Unfit(format!("can't be used: {}", why.trim_end_matches('.')))
    })?;
    Ok(SetKey {
        parts,
        algorithms,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key::new_key_pair;

    fn public(algorithm: Algorithm, kid: &str) -> Value {
        new_key_pair(algorithm).unwrap().0.to_jwk(kid).unwrap()
    }

    fn set(keys: &[Value]) -> Vec<u8> {
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn with(key: &Value, name: &str, value: Value) -> Value {
        let mut key = key.clone();
        key[name] = value;
        key
    }

    #[test]
    fn each_kind_of_key_fits_its_algorithms_only() {
        let mut rsa = public(Algorithm::Rs256, "rsa");
        rsa.as_object_mut().unwrap().remove("alg");
        let only = with(&with(&rsa, "kid", json!("only")), "alg", json!("PS512"));
        let keys = [
            rsa,
            only,
            public(Algorithm::Es256, "p256"),
            public(Algorithm::Es384, "p384"),
            public(Algorithm::EdDsa, "ed"),
        ];
        let set = KeySet::given(&set(&keys)).unwrap();
        let fitting = |kid: &str| {
            let all = [
                &OF_RSA[..],
                &[Jwt::ES256, Jwt::ES384, Jwt::EdDSA, Jwt::HS256],
            ]
            .concat();
            let key = set.get(kid).unwrap();
            all.into_iter()
                .filter(|it| key.fits(*it))
                .collect::<Vec<_>>()
        };
        assert_eq!(fitting("rsa"), OF_RSA);
        assert_eq!(fitting("only"), [Jwt::PS512]);
        assert_eq!(fitting("p256"), [Jwt::ES256]);
        assert_eq!(fitting("p384"), [Jwt::ES384]);
        assert_eq!(fitting("ed"), [Jwt::EdDSA]);
    }

    #[test]
    fn keys_that_must_not_verify_are_left_out_of_what_was_fetched_and_refused_if_given() {
        let good = public(Algorithm::Es256, "good");
        let rsa = public(Algorithm::Rs256, "bad");
        let bad = with(&good, "kid", json!("bad"));
        let short = json!({"kty": "RSA", "kid": "bad", "e": "AQAB", "n": "0123456789abcdefghijklmnopqrstuvwxyz"});
        for key in [
            json!({"kty": "oct", "kid": "bad", "k": "AAAA"}),
            with(&bad, "d", json!("AAAA")),
            with(&rsa, "p", json!(["AAAA"])),
            with(&bad, "alg", json!("HS256")),
            with(&bad, "alg", json!("ES384")),
            with(&bad, "alg", json!("none")),
            with(&rsa, "alg", json!("ES256")),
            with(&bad, "crv", json!("secp256k1")),
            with(&bad, "x", json!("AAAA")),
            short,
            json!("bad"),
            json!(null),
        ] {
            let both = set(&[good.clone(), key.clone()]);
            let kept = KeySet::fetched(&both).unwrap();
            assert_eq!(kept.kids().collect::<Vec<_>>(), ["good"], "{key}");
            assert_eq!(kept.left_out().len(), 1, "{key}");
            assert!(KeySet::given(&both).is_err(), "{key}");
            let alone = KeySet::fetched(&set(&[key])).unwrap();
            assert_eq!(alone.kids().count(), 0);
            assert!(alone.lack().unwrap().contains("no key that can be used"));
            assert_eq!(kept.lack(), None);
        }
        for other_use in [
            with(&bad, "use", json!("enc")),
            with(&bad, "key_ops", json!(["encrypt"])),
        ] {
            let both = set(&[good.clone(), other_use]);
            let kept = KeySet::given(&both).unwrap();
            assert_eq!(kept.kids().collect::<Vec<_>>(), ["good"]);
        }
        let leaked = KeySet::given(&set(&[with(&bad, "d", json!("AAAA"))])).unwrap_err();
        assert!(leaked.contains("Consider it leaked"), "{leaked}");
    }

    #[test]
    fn two_keys_of_one_name_are_both_left_out_unless_they_are_the_same() {
        let (one, other) = (public(Algorithm::Es256, "k"), public(Algorithm::Es256, "k"));
        let good = public(Algorithm::EdDsa, "good");
        let many = KeySet::fetched(&set(&[
            one.clone(),
            good.clone(),
            other.clone(),
            one.clone(),
        ]));
        assert_eq!(many.unwrap().kids().collect::<Vec<_>>(), ["good"]);
        assert!(KeySet::given(&set(&[one.clone(), other])).is_err());
        let same = KeySet::given(&set(&[one.clone(), good, one])).unwrap();
        assert_eq!(same.kids().count(), 2);
    }

    #[test]
    fn what_is_no_set_or_too_large_is_refused() {
        let key = public(Algorithm::Es256, "k");
        for text in ["", "<html>", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(KeySet::fetched(text.as_bytes()).is_err(), "{text}");
        }
        // A provider may have withdrawn all keys. Nobody enters none.
        let none = KeySet::fetched(&set(&[])).unwrap();
        assert!(none.kids().next().is_none() && none.lack().is_some());
        assert!(KeySet::given(&set(&[])).is_err());
        let many: Vec<_> = (0..65)
            .map(|number| with(&key, "kid", json!(number.to_string())))
            .collect();
        assert!(KeySet::fetched(&set(&many)).is_err());
        assert!(KeySet::fetched(&set(&many[..64])).is_ok());
        let long = with(&key, "x5c", json!(["A".repeat(MAX_SET_BYTES)]));
        assert!(KeySet::fetched(&set(&[long])).is_err());
    }
}
