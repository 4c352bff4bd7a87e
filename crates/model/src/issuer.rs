//! Identity providers that tenants trust: what their tokens must claim, and which scopes the claims stand for. Plain values:
//! `auth` verifies tokens by them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::context::{Scope, Tenancy};
use crate::error::{Error, Result};

/// Longest `iss`, in bytes.
pub const MAX_ISSUER_BYTES: usize = 512;
/// Lifetime of a provider's tokens if none is set, in seconds.
pub const DEFAULT_LIFETIME_S: u64 = 24 * 3_600;
/// Longest text of a rule: an audience, the name of a claim, or a value, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// Maximum number of audiences, and of claims that are required.
const MAX_EXPECTED: usize = 16;
/// Maximum number of grants.
const MAX_GRANTS: usize = 100;
/// Maximum number of dots in the path of a claim, each of which may separate two names.
const MAX_DOTS: usize = 8;
/// Claims whose text is a list, with spaces in between (RFC 8693 section 4.2; Entra calls it `scp`).
const LISTS: [&str; 2] = ["scope", "scp"];

/// An identity provider that a tenant trusts.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer {
    /// The tenant whose callers it vouches for.
    pub tenancy: Tenancy,
    /// Whether the tenant is suspended.
    pub tenant_suspended: bool,
    /// Its name, for people.
    pub name: String,
    /// The `iss` of its tokens, compared character by character.
    pub issuer: String,
    /// The origin of its keys.
    pub keys: KeySource,
    /// What its tokens must claim, and what that gives.
    pub rules: IssuerRules,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Keys that were fetched before a server knew of this time are fetched again.
    pub refreshed_at: Option<DateTime<Utc>>,
}

/// The origin of a provider's keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// OpenID Connect Discovery 1.0: the issuer's configuration names their URL.
    Discovery,
    /// The URL of a JSON Web Key Set.
    Url(String),
    /// A JSON Web Key Set, as its text.
    Given(String),
}

/// The rules for a provider's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerRules {
    /// Audiences, of which a token must have one in `aud`.
    #[schema(example = json!(["https://sigpersist.example.com"]), min_items = 1, max_items = 16)]
    pub audiences: Vec<String>,
    /// Claims that a token must have, with their values. A claim within another is named with a dot: `realm_access.roles`.
    #[serde(default)]
    #[schema(example = json!({"azp": "crm"}))]
    pub required: BTreeMap<String, String>,
    /// Scopes that values of claims stand for. If it is empty, the names of scopes in `scope` and `scp` count as they are.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub grants: Vec<Grant>,
    /// Maximum time until a token expires, in seconds. A day if it is left out.
    #[serde(default)]
    #[schema(example = 3600)]
    pub max_lifetime_s: Option<u64>,
}

/// Scopes that a value of a claim stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The claim. A claim within another is named with a dot.
    #[schema(example = "realm_access.roles")]
    pub claim: String,
    /// The value, or one of the values.
    #[schema(example = "signer")]
    pub value: String,
    /// The scopes.
    #[schema(example = json!(["signatures:read", "signatures:write"]))]
    pub scopes: Vec<Scope>,
}

impl IssuerRules {
    /// Checks the form of the rules.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] with the field at fault.
    pub fn check(&self) -> Result<()> {
        let is_text = |text: &String| {
            (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        let is_claim = |text: &String| {
            is_text(text) && text.bytes().filter(|b| *b == b'.').count() <= MAX_DOTS
        };
        let wrong = |field: &str, message: &str| Err(Error::invalid(field, message));
        if self.audiences.is_empty() {
            return wrong(
                "audiences",
                "`audiences` is required: a token must say that it is for this server, in its `aud`.",
            );
        }
        if self.audiences.len() > MAX_EXPECTED || !self.audiences.iter().all(is_text) {
            return wrong(
                "audiences",
                "`audiences` has at most 16 texts of 1 to 256 bytes without control characters.",
            );
        }
        let is_fine = |(claim, value): (&String, &String)| is_claim(claim) && is_text(value);
        if self.required.len() > MAX_EXPECTED || !self.required.iter().all(is_fine) {
            return wrong(
                "required",
                "`required` has at most 16 claims, each with a name and a value of 1 to 256 bytes without control characters, and at most 8 dots in the name.",
            );
        }
        let is_fine = |grant: &Grant| {
            is_claim(&grant.claim) && is_text(&grant.value) && !grant.scopes.is_empty()
        };
        if self.grants.len() > MAX_GRANTS || !self.grants.iter().all(is_fine) {
            return wrong(
                "grants",
                "`grants` has at most 100 entries, each with a claim and a value of 1 to 256 bytes without control characters, at most 8 dots in the claim, and at least one scope.",
            );
        }
        if self.max_lifetime_s == Some(0) {
            return wrong("max_lifetime_s", "`max_lifetime_s` must be at least 1.");
        }
        Ok(())
    }

    /// Whether a token with these claims is one of those that the rules are about.
    pub fn match_claims(&self, claims: &Map<String, Value>) -> bool {
        let audiences: Vec<_> = claims.get("aud").into_iter().flat_map(texts).collect();
        self.audiences
            .iter()
            .any(|it| audiences.contains(&it.as_str()))
            && self
                .required
                .iter()
                .all(|(claim, value)| has(claims, claim, value))
    }

    /// Whether tokens for these rules can be told from tokens for the others: they have no audience in common, or both
    /// require a claim, and with different values.
    pub fn are_apart_from(&self, others: &Self) -> bool {
        !self
            .audiences
            .iter()
            .any(|it| others.audiences.contains(it))
            || self.required.iter().any(|(claim, value)| {
                others
                    .required
                    .get(claim)
                    .is_some_and(|other| other != value)
            })
    }

    /// The scopes that these claims stand for, in the order of [`Scope::ALL`].
    pub fn scopes(&self, claims: &Map<String, Value>) -> Vec<Scope> {
        let granted: BTreeSet<&str> = if self.grants.is_empty() {
            LISTS
                .iter()
                .filter_map(|claim| Some(values(claim, claims.get(*claim)?)))
                .flatten()
                .collect()
        } else {
            self.grants
                .iter()
                .filter(|grant| has(claims, &grant.claim, &grant.value))
                .flat_map(|grant| grant.scopes.iter().map(|scope| scope.as_str()))
                .collect()
        };
        let mut scopes = Scope::ALL.to_vec();
        scopes.retain(|scope| granted.contains(scope.as_str()));
        scopes
    }
}

/// The text of a claim, or each text of its list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The values of a claim.
fn values<'a>(claim: &str, value: &'a Value) -> Vec<&'a str> {
    match value {
        Value::String(text) if LISTS.contains(&claim) => {
            text.split(' ').filter(|part| !part.is_empty()).collect()
        }
        value => texts(value),
    }
}

/// Whether a claim has a value, or has it among others.
fn has(claims: &Map<String, Value>, claim: &str, value: &str) -> bool {
    match at(claims, claim) {
        Some(Value::Bool(given)) => given.to_string() == value,
        Some(Value::Number(given)) => given.to_string() == value,
        Some(given) => values(claim, given).contains(&value),
        None => false,
    }
}

/// The claim at a path. A name with dots, as in `https://example.com/roles`, comes before names that are separated by them.
fn at<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        at(claims.get(name)?.as_object()?, rest)
    })
}

/// Checks the form of an `iss`.
///
/// # Errors
///
/// [`Error::InvalidParameter`] with the field `issuer`.
pub fn check_issuer(issuer: &str) -> Result<()> {
    if (1..=MAX_ISSUER_BYTES).contains(&issuer.len())
        && issuer.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(());
    }
    Err(Error::invalid(
        "issuer",
        format!(
            "`issuer` is the `iss` of the provider's tokens, character by character: 1 to {MAX_ISSUER_BYTES} printable ASCII characters without spaces."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(claims: Value) -> Map<String, Value> {
        claims.as_object().cloned().unwrap()
    }

    fn rules(audiences: &[&str], required: &[(&str, &str)]) -> IssuerRules {
        IssuerRules {
            audiences: audiences.iter().map(ToString::to_string).collect(),
            required: required
                .iter()
                .map(|(claim, value)| ((*claim).to_owned(), (*value).to_owned()))
                .collect(),
            ..IssuerRules::default()
        }
    }

    #[test]
    fn rules_match_by_audience_and_required_claims() {
        let rules = rules(
            &["api", "other"],
            &[("tid", "7"), ("a.b", "x"), ("on", "true")],
        );
        let good = json!({"aud": "api", "tid": "7", "a": {"b": ["w", "x"]}, "on": true});
        assert!(rules.match_claims(&claims(good.clone())));
        for (name, value) in [
            ("aud", json!("apis")),
            ("aud", json!("api other")),
            ("aud", json!(["x"])),
            ("aud", json!({"api": "api"})),
            ("aud", json!(null)),
            ("tid", json!("77")),
            ("tid", json!(["8"])),
            ("a", json!({"b": "w x"})),
            ("a", json!("x")),
            ("on", json!(false)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(!rules.match_claims(&claims(bad.clone())), "{bad}");
        }
        let mut many = good;
        many["aud"] = json!(["x", "other"]);
        assert!(rules.match_claims(&claims(many)));
    }

    #[test]
    fn rules_are_apart_only_if_no_token_of_one_value_each_matches_both() {
        let apart = [
            (rules(&["a"], &[]), rules(&["b"], &[])),
            (
                rules(&["a"], &[("tid", "1")]),
                rules(&["a"], &[("tid", "2")]),
            ),
        ];
        let together = [
            (rules(&["a"], &[]), rules(&["a"], &[])),
            (rules(&["a", "b"], &[]), rules(&["b", "c"], &[])),
            (rules(&["a"], &[("tid", "1")]), rules(&["a"], &[])),
            (
                rules(&["a"], &[("tid", "1")]),
                rules(&["a"], &[("azp", "1")]),
            ),
        ];
        for (one, other) in apart {
            assert!(one.are_apart_from(&other) && other.are_apart_from(&one));
        }
        for (one, other) in together {
            assert!(!one.are_apart_from(&other) && !other.are_apart_from(&one));
        }
    }

    #[test]
    fn scopes_come_from_grants_or_else_from_the_claims_themselves() {
        let mut rules = rules(&["a"], &[]);
        let given = claims(json!({
            "scope": "signatures:read openid", "scp": ["events:read"],
            "roles": ["signatures:delete", "Signer"],
            "resource_access": {"my.app": {"roles": ["reader"]}},
            "https://example.com/roles": "boss",
        }));
        assert_eq!(
            rules.scopes(&given),
            [Scope::SignaturesRead, Scope::EventsRead]
        );
        let grant = |claim: &str, value: &str, scope| Grant {
            claim: claim.to_owned(),
            value: value.to_owned(),
            scopes: vec![scope],
        };
        rules.grants = vec![
            grant("roles", "Signer", Scope::SignaturesWrite),
            grant("resource_access.my.app.roles", "reader", Scope::HooksRead),
            grant("https://example.com/roles", "boss", Scope::PolicyRead),
            grant("scope", "openid", Scope::LogRead),
            grant("scope", "Signer", Scope::SignaturesDelete),
            grant("roles", "openid", Scope::SignaturesDelete),
            grant("roles", "sign", Scope::SignaturesDelete),
        ];
        let granted = rules.scopes(&given);
        assert_eq!(
            granted,
            [
                Scope::SignaturesWrite,
                Scope::HooksRead,
                Scope::PolicyRead,
                Scope::LogRead
            ]
        );
    }

    #[test]
    fn rules_without_an_audience_or_with_odd_texts_are_refused() {
        assert!(rules(&["a"], &[("tid", "7")]).check().is_ok());
        let long = "a".repeat(257);
        for bad in [
            rules(&[], &[]),
            rules(&[""], &[]),
            rules(&[&long], &[]),
            rules(&["a\n"], &[]),
            rules(&["a"; 17], &[]),
            rules(&["a"], &[("", "x")]),
            rules(&["a"], &[("x", "")]),
            rules(&["a"], &[("a.b.c.d.e.f.g.h.i.j", "x")]),
        ] {
            assert_eq!(bad.check().unwrap_err().code(), "invalid_parameter");
        }
        assert!(check_issuer("https://id.example.com/realms/a").is_ok());
        for bad in ["", "a b", "ä", "a\n"] {
            assert!(check_issuer(bad).is_err());
        }
    }
}
