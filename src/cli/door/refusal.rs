//! The errors of requests, with what to do next.

use std::io::Read;
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use sigpersist_model::error::Error;
use sigpersist_model::view::FailureView;

use super::Streamed;
use crate::cli::output::shown;

/// Longest answer to a request that failed, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A request that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(in crate::cli) struct Refusal {
    /// The error code of the API; none if something else answered.
    pub(in crate::cli) code: Option<String>,
    /// Whether the same request may succeed later.
    pub(in crate::cli) is_for_now: bool,
    /// Further facts, as the API tells them.
    pub(in crate::cli) details: Value,
    sentence: String,
}

/// The server could not be asked, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct Unreachable(pub(super) String);

/// What a request was about.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The tenant that the path names.
    pub(super) tenant: Option<String>,
    /// Whether it is about something that the tenant has, and not about the tenant itself.
    pub(super) is_within: bool,
    /// Whether it is about a proof.
    pub(super) is_proof: bool,
    /// Whether it is about stored signatures.
    pub(super) is_stored: bool,
}

impl Refusal {
    /// Reads a response to a request that failed.
    pub(super) fn read(response: Streamed, asked: &Asked) -> Self {
        let status = response.status();
        let error = response.extensions().get::<Arc<Error>>().cloned();
        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        // What can't be read is no answer of the API.
        drop(body.take(MAX_BYTES).read_to_end(&mut text));
        let failure = sigpersist_client::Refusal::read(status, &head.headers, &text);
        if failure.is_of_something_else() {
            return Self {
                code: None,
                is_for_now: matches!(status.as_u16(), 502..=504),
                details: Value::Null,
                sentence: not_the_api(status),
            };
        }
        let message = match error {
            Some(error) => format!("{:#}", anyhow::Error::new(error)),
            None if status.is_server_error() => format!(
                "{} The server's log says more about the request {}",
                failure.message,
                failure.request_id.unwrap_or_default()
            ),
            None => failure.message,
        };
        // Somebody else may have chosen parts of it.
        let message = shown(&message);
        let sentence = advised(message, &failure.code, &failure.details, asked);
        Self {
            is_for_now: is_for_now(&failure.code),
            code: Some(failure.code),
            details: failure.details,
            sentence,
        }
    }

    /// The failure of work in the background.
    pub(in crate::cli) fn of_work(failure: FailureView) -> Self {
        let sentence = advised(
            failure.message,
            &failure.code,
            &Value::Null,
            &Asked::default(),
        );
        Self {
            is_for_now: is_for_now(&failure.code),
            code: Some(failure.code),
            details: Value::Null,
            sentence,
        }
    }

    /// The reason why nobody can act as a tenant.
    pub(super) fn of_tenant(error: Error, slug: &str) -> Self {
        let code = error.code();
        let asked = Asked {
            tenant: Some(slug.to_owned()),
            is_within: true,
            ..Asked::default()
        };
        Self {
            is_for_now: is_for_now(code),
            code: Some(code.to_owned()),
            details: Value::Null,
            sentence: advised(
                format!("{:#}", anyhow::Error::new(error)),
                code,
                &Value::Null,
                &asked,
            ),
        }
    }

    /// The same refusal in other words.
    pub(in crate::cli) fn saying(mut self, sentence: String) -> Self {
        self.sentence = sentence;
        self
    }
}

/// Whether the same request may succeed later, by the code of its error.
fn is_for_now(code: &str) -> bool {
    let codes = [
        "database_unavailable",
        "export_not_found",
        "import_not_found",
        "not_ready",
        "overloaded",
        "rate_limited",
    ];
    codes.contains(&code)
}

fn not_the_api(status: StatusCode) -> String {
    if status.is_redirection() {
        return format!(
            "The server answered {status}: it is elsewhere. Give --server the URL that it redirects to."
        );
    }
    if status.is_server_error() {
        return format!(
            "A proxy on the way answered {status}: the server may be down; try again later."
        );
    }
    format!(
        "The answer {status} is not one of Sigpersist: check the URL of --server, and proxies on the way."
    )
}

/// A message with what to do next, if it does not say so itself. Without a tenant, it is about the platform's plugins.
fn advised(message: String, code: &str, details: &Value, asked: &Asked) -> String {
    let tenant = asked.tenant.as_deref();
    let of_tenant = tenant.map(|slug| format!(" --tenant {slug}"));
    let of_tenant = of_tenant.unwrap_or_default();
    let slug = tenant.unwrap_or("TENANT");
    let advice = match code {
        "tenant_not_found" if asked.is_within => {
            return format!(
                "There is no tenant `{slug}`. Create it with `sigpersist tenant create {slug}`."
            );
        }
        "tenant_not_found" => "`sigpersist tenant list` shows all tenants".to_owned(),
        "plugin_not_found" => format!("`sigpersist plugin list{of_tenant}` shows all plugins"),
        "revision_not_found" => {
            format!("`sigpersist plugin show NAME{of_tenant}` shows all revisions")
        }
        "hook_not_found" => format!("`sigpersist hook list {slug}` shows all hooks"),
        "binding_not_found" => format!(
            "`sigpersist hook history {slug} NAME` shows all bindings; the first one has no previous one"
        ),
        "key_not_found" => format!("`sigpersist key list {slug}` shows all keys"),
        "issuer_not_found" => format!("`sigpersist issuer list {slug}` shows all issuers"),
        "trust_anchor_not_found" => {
            format!("`sigpersist policy show {slug}` shows all trusted certificates")
        }
        "decision_not_found" => {
            format!("`sigpersist decision list {slug}` shows the recorded ones")
        }
        "precondition_failed" if asked.is_stored => {
            let number = &details["current_version"];
            return format!(
                "Nothing was changed: the current version is now {number}. Look at it with `sigpersist signature list {slug}`, then decide again."
            );
        }
        "precondition_failed" if details["current_version"] == 0 => {
            return format!(
                "Nothing was changed: the hook does not exist. `sigpersist hook list {slug}` shows all hooks."
            );
        }
        "precondition_failed" => {
            let number = &details["current_version"];
            return format!(
                "Nothing was changed: the hook's number is now {number}. Look at it with `sigpersist hook show {slug} NAME`, then decide again."
            );
        }
        "webhook_not_found" => format!("`sigpersist webhook list {slug}` shows all webhooks"),
        "witness_not_found" => format!("`sigpersist witness list{of_tenant}` shows all witnesses"),
        "export_not_found" | "import_not_found" => {
            "the server was restarted, or forgot it: run the command again".to_owned()
        }
        "settings_refused" => "fix the settings and try again".to_owned(),
        "signature_not_found" if asked.is_proof => {
            return "There is no such version: it was never stored, or it was deleted. A proof that you got before still verifies.".to_owned();
        }
        "signature_not_found" if asked.is_stored => {
            format!("`sigpersist signature list {slug}` shows all signatures")
        }
        "signature_not_found" => {
            "to try a delete, give the `document` and `thread` of a stored signature, or its `cms`"
                .to_owned()
        }
        "missing_token" | "invalid_token" | "expired_token" => {
            "`sigpersist login URL` asks for a new one and keeps it".to_owned()
        }
        "insufficient_scope" => "`sigpersist whoami` shows what the token allows".to_owned(),
        "route_not_found" => {
            "check the names that you gave, and whether the server is older than this program"
                .to_owned()
        }
        _ => return message,
    };
    format!("{}; {advice}.", message.trim_end_matches('.'))
}
