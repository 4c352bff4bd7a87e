//! The OpenAPI document: descriptions from the handlers, completed from the data that the server itself uses.
//!
//! Attributes of the handlers give summaries, bodies and the peculiarities of a route. The table of routes gives paths,
//! parameters, scopes and the properties common to all routes of a kind. `parameters` has the schemas of parameters,
//! `problems` renders each error as the server does, and `examples` builds whole examples from those of single values.

mod examples;
mod parameters;
mod problems;
mod shapes;
mod texts;

use http::Method;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::ROUTES;
use super::audit;
use super::bindings;
use super::decisions;
use super::docs;
use super::error::Failure;
use super::events;
use super::health;
use super::hooks;
use super::issuers;
use super::keys;
use super::list;
use super::log;
use super::many;
use super::plugins;
use super::policy;
use super::proof;
use super::public_log;
use super::route::{Audience, BodyKind, DocumentTokens, NamesTenant, Route, Waits};
use super::signatures;
use super::tenants;
use super::transfers;
use super::trials;
use super::verdicts;
use super::webhooks;
use super::whoami;
use super::witnesses;
use crate::config::Config;
use problems::Problems;

pub(super) use examples::certificate;
pub(super) use shapes::{KeySet, Live, Ready};
pub(super) use sigpersist_verify::Time;
pub(super) use texts::{
    Binary, BindingTag, CalledUrl, Code, Component, EventTypes, FileTag, GivenPublicKey, GivenTime,
    KeysUrl, Location, PageOrigin, RevisionTag, SignatureTag, Slug, TenantFile, VersionTag,
    WitnessUrl,
};

/// Path under which callers of the platform act for a tenant.
const OF_TENANT: &str = "/tenants/{tenant}";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sigpersist",
        description = include_str!("introduction.md"),
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "signatures", description = "Signatures of documents, with all their versions"),
        (name = "verdicts", description = "Who signed, and whether the signatures are valid"),
        (name = "policy", description = "Which signatures a tenant accepts, and which certificates it trusts"),
        (name = "plugins", description = "WebAssembly components that accept or reject saves and deletes"),
        (name = "hooks", description = "Plugins bound to a tenant"),
        (name = "trials", description = "Trying hooks without storing anything"),
        (name = "decisions", description = "Decisions of hooks"),
        (name = "audit", description = "Who changed what"),
        (name = "log", description = "The log of a tenant: proofs of what was stored, for anybody to verify"),
        (name = "events", description = "What happens to a tenant, in order and without gaps"),
        (name = "webhooks", description = "URLs that are called with what happens to a tenant"),
        (name = "tenants", description = "Tenants, their quotas and their usage"),
        (name = "transfers", description = "Exports and imports of whole tenants"),
        (name = "keys", description = "Keys that verify tokens"),
        (name = "issuers", description = "Identity providers whose tokens a tenant trusts"),
        (name = "health", description = "Health and metrics, for monitoring"),
        (name = "docs", description = "This document"),
    ),
    paths(
        signatures::get, signatures::post, signatures::delete, signatures::versions, list::list, many::save, many::get,
        verdicts::record, verdicts::list, verdicts::inspect, verdicts::verify,
        policy::get, policy::update, policy::anchors, policy::add_anchors, policy::anchor, policy::remove_anchor,
        plugins::list, plugins::get, plugins::put, plugins::delete, plugins::revisions, plugins::revision,
        hooks::list, hooks::reorder, hooks::get, hooks::put, hooks::delete, hooks::rollback, hooks::release,
        bindings::list, bindings::get, bindings::diff, trials::evaluate, trials::backtest, trials::shadow,
        decisions::list, decisions::get, decisions::replay,
        audit::list, audit::verify, events::list, events::stream,
        proof::prove, log::show, log::keys, log::checkpoint, log::checkpoint_of_epoch, log::tile, log::tile_of_epoch, log::consistency,
        log::verify, log::rotate_key, log::reopen, log::update, witnesses::list, witnesses::add, witnesses::remove,
        public_log::checkpoint, public_log::tile, public_log::keys, public_log::consistency,
        webhooks::list, webhooks::create, webhooks::get, webhooks::update, webhooks::delete, webhooks::rotate_secret,
        webhooks::test, webhooks::replay, webhooks::attempts,
        tenants::list, tenants::create, tenants::get, tenants::update, tenants::delete, tenants::suspend,
        tenants::resume, tenants::usage,
        transfers::exports, transfers::imports, transfers::begin_export, transfers::export, transfers::file, transfers::delete_export,
        transfers::send, transfers::import, transfers::begin_import, transfers::delete_import,
        keys::list, keys::add, keys::get, keys::revoke, keys::issue, keys::published, whoami::get,
        issuers::list, issuers::add, issuers::get, issuers::remove, issuers::refresh,
        health::metrics, health::live, health::ready,
        docs::document, docs::page, docs::file, docs::book, docs::book_file,
    ),
    components(schemas(Failure<'_>, Time, GivenTime, Slug, CalledUrl, WitnessUrl, PageOrigin, KeysUrl, EventTypes, VersionTag, SignatureTag, BindingTag, RevisionTag, FileTag, Location, Code))
)]
struct Described;

/// The OpenAPI document of a server with this configuration.
pub fn document(config: &Config) -> Value {
    let mut document = serde_json::to_value(Described::openapi()).unwrap_or_default();
    let described = document["paths"].take();
    let mut problems = Problems::new(config);
    let mut paths = Map::new();
    for route in ROUTES {
        let method = route.method.as_str().to_lowercase();
        // A tenant's JWKS route has no description of its own; it uses the platform's.
        let said = described
            .get(route.path)
            .or_else(|| described.get(route.path.strip_prefix("/tenants/{name}")?));
        let said = said.map(|said| said[&method].clone()).unwrap_or_default();
        let mut operations = Vec::new();
        if route.names_tenant != NamesTenant::Always {
            operations.push((
                route.path.to_owned(),
                operation(route, &said, false, &mut problems),
            ));
        }
        if route.names_tenant != NamesTenant::Never {
            let path = format!("{OF_TENANT}{}", route.path);
            operations.push((path, operation(route, &said, true, &mut problems)));
        }
        for (path, operation) in operations {
            paths.entry(path).or_insert_with(|| json!({}))[&method] = operation;
        }
    }
    document["paths"] = Value::Object(paths);
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A JSON Web Token with `exp` and `scope`. Its header names the key that signed it, as `kid`.",
        },
    });
    problems.give(&mut document["components"]);
    limit(&mut document, config);
    bound_unsigned(&mut document);
    examples::give_files(&mut document["components"]["schemas"]);
    examples::complete(&mut document);
    document
}

/// Gives unsigned 32-bit numbers their range: utoipa describes them by the format `int32`, which is signed. Unsigned
/// 64-bit numbers are read only up to the maximum of `int64`.
fn bound_unsigned(part: &mut Value) {
    match part {
        Value::Array(items) => items.iter_mut().for_each(bound_unsigned),
        Value::Object(members) => {
            let is_unsigned = members.get("minimum").and_then(Value::as_u64).is_some();
            if is_unsigned
                && members
                    .get("format")
                    .is_some_and(|format| format == "int32")
            {
                members.shift_remove("format");
                members.entry("maximum").or_insert(json!(u32::MAX));
            }
            members.values_mut().for_each(bound_unsigned);
        }
        _ => {}
    }
}

/// Adds the maxima that the configuration sets.
fn limit(document: &mut Value, config: &Config) {
    let ceiling = config.hooks.ceiling();
    let hook = &mut document["components"]["schemas"]["HookRequest"]["properties"];
    for (name, maximum) in [
        ("timeout_ms", u64::from(ceiling.timeout_ms)),
        ("memory_bytes", ceiling.memory_bytes),
        ("fuel", ceiling.fuel),
    ] {
        hook[name]["minimum"] = json!(1);
        hook[name]["maximum"] = json!(maximum);
    }
}

/// The operation of a route at one of its paths, based on its handler's description.
fn operation(route: &Route, said: &Value, of_tenant: bool, problems: &mut Problems) -> Value {
    let mut operation = said.clone();
    let own = named(said["parameters"].as_array());
    let mut parameters = Vec::new();
    if of_tenant {
        parameters.push(parameters::in_path("tenant", OF_TENANT));
    }
    for name in route.path.split(['{', '}']).skip(1).step_by(2) {
        parameters.push(parameters::in_path(name, route.path));
    }
    if route.method == Method::PUT && route.path == "/plugins/{name}" {
        // The name fits the component in the example body.
        parameters[usize::from(of_tenant)]["example"] = "retention".into();
    }
    let in_headers = own.values().filter(|own| own["in"] == "header");
    parameters.extend(in_headers.cloned().map(parameters::in_header));
    if route.is_conditional {
        parameters.extend(parameters::preconditions());
    }
    if route.method == Method::GET || route.method == Method::DELETE {
        let required = route.required.iter().map(|it| (it, true));
        let optional = route.optional.iter().map(|it| (it, false));
        for (parameter, required) in required.chain(optional) {
            parameters.push(parameters::in_query(parameter, required));
        }
    } else if !(route.required.is_empty() && route.optional.is_empty()) {
        operation["requestBody"] = json!({
            "required": !route.required.is_empty(),
            "content": parameters::bodies(route),
        });
    }
    operation["parameters"] = parameters.into();
    if of_tenant && route.names_tenant == NamesTenant::Maybe
        || route.path.starts_with("/tenants/{name}/")
    {
        let id = operation["operationId"].as_str().unwrap_or_default();
        operation["operationId"] = format!("{id}_of_tenant").into();
    }
    operation["security"] = match route.scope {
        Some(scope) => json!([{ "token": [scope.as_str()] }]),
        None if route.audience == Audience::Callers => json!([{ "token": [] }]),
        None => json!([]),
    };
    problems.add(&mut operation, &codes(route, of_tenant));
    for response in operation["responses"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        let headers = response.get_mut("headers").and_then(Value::as_object_mut);
        for header in headers.into_iter().flat_map(Map::values_mut) {
            header["required"] = true.into();
        }
        if response.get("$ref").is_none() {
            response["headers"]["x-request-id"] = json!({ "$ref": problems::REQUEST_ID_HEADER });
        }
    }
    operation
}

/// Parameters, keyed by name.
fn named(parameters: Option<&Vec<Value>>) -> Map<String, Value> {
    let parameters = parameters.into_iter().flatten();
    parameters
        .filter_map(|parameter| Some((parameter["name"].as_str()?.to_owned(), parameter.clone())))
        .collect()
}

/// Codes of the errors that any route of this kind may answer with.
fn codes(route: &Route, of_tenant: bool) -> Vec<&'static str> {
    let mut codes = vec![
        "invalid_parameter",
        "malformed_json",
        "body_timeout",
        "payload_too_large",
        "unsupported_media_type",
        "malformed_request",
        "unsupported_content_encoding",
        "unsupported_transfer_encoding",
        "internal",
    ];
    if route.audience != Audience::Anybody {
        codes.extend([
            "missing_token",
            "invalid_token",
            "expired_token",
            "issuer_unavailable",
        ]);
        if route.scope.is_some() {
            codes.push("insufficient_scope");
        }
        if route.document_tokens != DocumentTokens::Free {
            codes.push("token_bound");
        }
        codes.extend(["origin_not_allowed", "tenant_suspended", "quota_exceeded"]);
        if !of_tenant && matches!(route.audience, Audience::Tenant | Audience::Operators) {
            codes.push("tenant_required");
        }
    }
    if of_tenant {
        codes.push("tenant_not_found");
    }
    if route.is_conditional {
        codes.push("precondition_failed");
    }
    if route.body == BodyKind::Signature {
        codes.push("malformed_form");
    }
    codes.extend(match route.waits {
        Waits::Never => &[][..],
        Waits::No
        | Waits::Publication
        | Waits::PublicLog
        | Waits::SetUp
        | Waits::Check
        | Waits::List
        | Waits::Trial => &["overloaded", "database_unavailable"],
        Waits::ReadyChain(_) => &[
            "overloaded",
            "database_unavailable",
            "hook_rejected",
            "hook_failed",
        ],
    });
    // Each tenant has limits of its own on shared resources.
    if route.waits != Waits::Never && route.audience != Audience::Anybody {
        codes.push("rate_limited");
    }
    codes
}
