//! The server's errors as it renders them: one example for each code.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sigpersist_model::digest::{sha256, to_hex};
use sigpersist_model::error::{
    CaseFailure, Error, HookRejection, NotAccepted, Noun, RefusedSigner, SettingsIssue,
    UnreadyReason,
};
use sigpersist_model::policy::Accept;
use sigpersist_model::publisher::{SignatureFault, SignatureRefusal};
use sigpersist_model::quotas::Quota;
use sigpersist_verify::Format;
use sigpersist_verify::pki::{Indication, SubIndication};

use super::super::bound::OTHER_DOCUMENT;
use super::super::error::{Failure, header, status};
use crate::config::Config;

/// Request id of the examples.
const REQUEST_ID: &str = "7f0c2f4e9d5a41b7";
/// Reference to the description of the header that all responses have.
pub(super) const REQUEST_ID_HEADER: &str = "#/components/headers/RequestId";

/// An error that a request may be answered with.
struct Problem {
    status: u16,
    message: String,
    header: Option<(String, String)>,
    /// Whether every error of this code has that header. If waiting does not help, there is no `Retry-After`.
    always_has_header: bool,
    example: Value,
}

/// All errors, and the responses that operations share.
pub(super) struct Problems {
    by_code: BTreeMap<&'static str, Problem>,
    answers: Map<String, Value>,
}

impl Problems {
    /// The errors of a server with this configuration.
    pub(super) fn new(config: &Config) -> Self {
        let problem = |error: Error| {
            let problem = Problem {
                status: status(&error).as_u16(),
                message: error.to_string(),
                header: header(&error).map(|(name, value)| {
                    (
                        name.to_string(),
                        value.to_str().unwrap_or_default().to_owned(),
                    )
                }),
                always_has_header: !matches!(error, Error::QuotaExceeded { .. }),
                example: json!(Failure::new(&error, REQUEST_ID)),
            };
            (error.code(), problem)
        };
        Self {
            by_code: samples(config).into_iter().map(problem).collect(),
            answers: Map::new(),
        }
    }

    /// Adds error responses to an operation: for `codes`, and for the codes that its handler names in place of a
    /// description.
    pub(super) fn add(&mut self, operation: &mut Value, codes: &[&'static str]) {
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        let said = operation["responses"].clone();
        let said = said.as_object().into_iter().flatten();
        let said = said.filter_map(|(_, response)| response["description"].as_str());
        let named = said.flat_map(|description| description.split(", "));
        for code in named.chain(codes.iter().copied()) {
            if let Some(problem) = self.by_code.get(code) {
                let codes = by_status.entry(problem.status).or_default();
                if !codes.contains(&code) {
                    codes.push(code);
                }
            }
        }
        for (status, codes) in by_status {
            let name = codes.join("-");
            let reference = format!("#/components/responses/{name}");
            if !self.answers.contains_key(&name) {
                let answer = self.answer(&codes);
                self.answers.insert(name, answer);
            }
            operation["responses"][status.to_string()] = json!({ "$ref": reference });
        }
    }

    /// Adds the shared responses, and their common parts, to the document's components.
    pub(super) fn give(self, components: &mut Value) {
        components["schemas"]["Code"]["enum"] = self.by_code.keys().copied().collect();
        // The details of one code may also fit the schema of another.
        if let Some(details) = components["schemas"]["Details"].as_object_mut()
            && let Some(kinds) = details.remove("oneOf")
        {
            details.insert("anyOf".to_owned(), kinds);
        }
        components["responses"] = self.answers.into();
        components["headers"]["RequestId"] = json!({
            "description": "The id of this request in the server's log; your own id, if you sent a valid one",
            "required": true,
            "schema": { "type": "string" },
            "example": REQUEST_ID,
        });
    }

    /// The response for one status, which may stand for several codes.
    fn answer(&self, codes: &[&str]) -> Value {
        let problems = || {
            codes
                .iter()
                .filter_map(|code| Some((*code, self.by_code.get(code)?)))
        };
        let sentences = problems().map(|(code, problem)| format!("`{code}`: {}", problem.message));
        let mut answer = json!({
            "headers": { "x-request-id": { "$ref": REQUEST_ID_HEADER } },
            "description": sentences.collect::<Vec<_>>().join("\n\n"),
            "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Failure" },
                "examples": problems()
                    .map(|(code, problem)| (code.to_owned(), json!({ "value": problem.example })))
                    .collect::<Map<_, _>>(),
            } },
        });
        // A header that not all of them have cannot be promised.
        let carried = problems().map(|(_, problem)| problem.header.as_ref());
        if let Some(Some((name, value))) = carried.reduce(|one, other| match (one, other) {
            (Some(one), Some(other)) if one.0 == other.0 => Some(one),
            _ => None,
        }) {
            let required = problems().all(|(_, problem)| problem.always_has_header);
            answer["headers"][name.to_lowercase()] =
                json!({ "required": required, "schema": { "type": "string" }, "example": value });
        }
        answer
    }
}

/// One error for each code.
fn samples(config: &Config) -> Vec<Error> {
    let nouns = [
        Noun::Tenant,
        Noun::Plugin,
        Noun::Revision,
        Noun::Hook,
        Noun::Binding,
        Noun::Decision,
        Noun::Key,
        Noun::Issuer,
        Noun::TrustAnchor,
        Noun::Export,
        Noun::Log,
        Noun::Tile,
        Noun::Webhook,
        Noun::Witness,
        Noun::Import,
    ];
    let mut samples: Vec<_> = nouns.into_iter().map(Error::NotFound).collect();
    samples.extend([
        Error::MalformedJson("EOF while parsing a value at line 1 column 0".to_owned()),
        Error::MalformedForm("it has no boundary".to_owned()),
        Error::invalid("document", "`document` is required."),
        Error::PayloadTooLarge {
            limit_bytes: config.http.max_body_bytes(),
        },
        Error::BodyTimeout {
            timeout_ms: config.http.body_timeout_ms,
        },
        Error::UnsupportedMediaType(vec!["application/json"]),
        Error::UnsupportedContentEncoding,
        Error::UnsupportedTransferEncoding,
        Error::EarlierFailed,
        Error::NotAcceptable(vec!["application/json", "application/xml"]),
        Error::RangeNotSatisfiable { size: 1_048_576 },
        Error::MalformedRequest("it has no `Host` header"),
        Error::RouteNotFound,
        Error::MethodNotAllowed {
            allowed: vec!["GET", "HEAD", "POST", "DELETE"],
        },
        Error::MissingToken,
        Error::InvalidToken(
            "no active key verifies it: check its `kid`, its `alg` and the key that signed it",
        ),
        Error::ExpiredToken,
        Error::IssuerUnavailable,
        Error::InsufficientScope("signatures:read"),
        Error::TokenBound(OTHER_DOCUMENT),
        Error::OriginNotAllowed,
        Error::TenantSuspended,
        Error::TenantExists {
            slug: "acme".to_owned(),
        },
        Error::KeyExists {
            kid: "acme-1".to_owned(),
        },
        Error::TenantDeleting("The tenant is being removed; this can't be undone.".to_owned()),
        Error::QuotaExceeded {
            quota: Quota::Requests,
            limit: 100,
            used: 100,
            retry_after: Some(Duration::from_secs(1)),
        },
        Error::TenantRequired,
        Error::PluginBound {
            hooks: vec!["signer-tags".to_owned()],
        },
        Error::SettingsRefused(vec![SettingsIssue {
            field: "/prefixes".to_owned(),
            message: "must be an object".to_owned(),
        }]),
        Error::CasesFailed(vec![CaseFailure {
            case: "two signers".to_owned(),
            differences: vec!["tags: expected [\"iin:1\"], got []".to_owned()],
        }]),
        Error::PluginSignatureRefused(Box::new(SignatureRefusal {
            fault: SignatureFault::KeyNotTrusted,
            sentence: "The key E7620F1842B4E81F signed it, which this server does not trust."
                .to_owned(),
            key_id: Some("E7620F1842B4E81F".to_owned()),
        })),
        Error::InputGone("the version was deleted"),
        Error::SignatureNotFound,
        Error::VersionConflict { current_version: 3 },
        Error::PreconditionFailed { current_version: 3 },
        Error::SignatureNotAccepted(Box::new(NotAccepted {
            accept: Accept::Intact,
            format: Format::Cms,
            problem: Some("The signature does not verify under the signer's key.".to_owned()),
            is_of_other_content: false,
            signers: vec![RefusedSigner {
                signer: "1".to_owned(),
                accepted: false,
                subject: Some("CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011".to_owned()),
                sha256: Some(to_hex(&sha256(b"a certificate"))),
                indication: Indication::TotalFailed,
                sub_indication: Some(SubIndication::SigCryptoFailure),
                explanation: "The signature does not verify under the signer's key.",
            }],
        })),
        Error::HookRejected(vec![HookRejection {
            hook: "require-countersignature".to_owned(),
            code: "signer-dropped".to_owned(),
            message: "The new version drops a signer".to_owned(),
            field: Some("/cms".to_owned()),
        }]),
        Error::HookFailed {
            hook: "signer-tags".to_owned(),
            reason: String::new(),
        },
        Error::refused("A tenant's name has 1 to 255 characters and no control characters."),
        Error::RateLimited,
        Error::NotReady(vec![UnreadyReason {
            name: "database",
            sentence: "The database does not answer.",
        }]),
        Error::Overloaded,
        Error::DatabaseUnavailable("".into()),
        Error::internal(""),
    ]);
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_example() {
        let source = include_str!("../../../crates/model/src/error.rs");
        let codes = source.split('"').filter(|text| {
            source.contains(&format!("=> \"{text}\","))
                && !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        let problems = Problems::new(&Config::default());
        let mut counted = 0;
        for code in codes {
            assert!(problems.by_code.contains_key(code), "{code}");
            counted += 1;
        }
        assert!(counted > 30, "{counted}");
    }
}
