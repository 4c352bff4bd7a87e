//! Handlers for the identity providers that tenants trust.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::{Grant, Issuer, IssuerRules, KeySource};
use sigpersist_model::view::IssuerView;
use utoipa::ToSchema;

use super::openapi::{KeysUrl, Location, Slug};
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::issuers::{self, NewIssuer};

#[derive(Serialize, ToSchema)]
struct IssuersContent {
    /// The tenant's issuers, by name.
    issuers: Vec<IssuerView>,
}

#[derive(Serialize, ToSchema)]
struct OneIssuer {
    /// The issuer.
    issuer: IssuerView,
}

fn view(call: &Call, issuer: Issuer) -> IssuerView {
    let known = issuers::known(&call.app, &issuer);
    IssuerView::new(issuer, known)
}

/// Lists the identity providers that the tenant trusts.
#[utoipa::path(
    get,
    path = "/issuers",
    operation_id = "list_issuers",
    responses((status = 200, description = "The issuers", body = Envelope<IssuersContent>))
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters()?;
    let issuers = issuers::list(&call.app, call.context.tenancy()?)?;
    let issuers = issuers.into_iter().map(|issuer| view(&call, issuer));
    Reply::content(&IssuersContent {
        issuers: issuers.collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssuerForm {
    /// Its name.
    #[schema(value_type = Slug, example = "keycloak")]
    name: String,
    /// The `iss` of its tokens, character by character. Without `jwks_url` and `jwks`, its keys are found by OpenID Connect
    /// Discovery.
    #[schema(example = "https://id.example.com/realms/acme", max_length = 512)]
    issuer: String,
    /// The URL of its JSON Web Key Set: `https`, at a host that the operator of the server listed.
    #[schema(value_type = Option<KeysUrl>, example = json!(null))]
    jwks_url: Option<String>,
    /// Its JSON Web Key Set, if it is not to be fetched.
    #[schema(value_type = Option<Object>, example = json!(null))]
    jwks: Option<Value>,
    /// Audiences, of which a token must have one in `aud`.
    #[schema(example = json!(["https://sigpersist.example.com"]), min_items = 1, max_items = 16)]
    audiences: Vec<String>,
    /// Claims that a token must have, with their values. A claim within another is named with a dot: `realm_access.roles`.
    #[serde(default)]
    #[schema(example = json!({"azp": "crm"}))]
    required: BTreeMap<String, String>,
    /// Scopes that values of claims stand for. If it is empty, the names of scopes in `scope` and `scp` count as they are.
    #[serde(default)]
    #[schema(max_items = 100)]
    grants: Vec<Grant>,
    /// Maximum time until a token expires, in seconds. A day if it is left out.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 3600, minimum = 1)]
    max_lifetime_s: Option<u64>,
}

/// Adds an identity provider, whose tokens authenticate callers of the tenant.
///
/// Nothing is fetched yet: `POST /tenants/{tenant}/issuers/{name}/refresh` fetches its keys and says which.
#[utoipa::path(
    post,
    path = "/issuers",
    operation_id = "add_issuer",
    request_body = IssuerForm,
    responses(
        (status = 201, description = "The issuer was added", body = Envelope<OneIssuer>, headers(("location" = Location))),
        (status = 200, description = "The issuer already exists", body = Envelope<OneIssuer>),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn add(call: Call) -> Result<Reply> {
    let form: IssuerForm = call.json()?;
    let keys = match (form.jwks_url, form.jwks) {
        (None, None) => KeySource::Discovery,
        (Some(url), None) => KeySource::Url(url),
        (None, Some(set @ Value::Object(_))) => KeySource::Given(set.to_string()),
        (None, Some(_)) => {
            let message = "`jwks` must be a JSON Web Key Set: an object with the list `keys`.";
            return Err(Error::invalid("jwks", message));
        }
        (Some(_), Some(_)) => {
            let message =
                "Give either `jwks_url` or `jwks`, or neither for OpenID Connect Discovery.";
            return Err(Error::invalid("jwks", message));
        }
    };
    let new = NewIssuer {
        name: form.name,
        issuer: form.issuer,
        keys,
        rules: IssuerRules {
            audiences: form.audiences,
            required: form.required,
            grants: form.grants,
            max_lifetime_s: form.max_lifetime_s,
        },
    };
    let actor = call.context.actor();
    let added = issuers::add(&call.app, &actor, call.context.tenancy()?, new)?;
    let location = call.location(&["issuers", &added.issuer.name]);
    let reply = Reply::content(&OneIssuer {
        issuer: view(&call, added.issuer),
    })?;
    Ok(match added.is_new {
        true => reply.created_at(&location),
        false => reply,
    })
}

/// Reads an issuer, with the keys that this server has of it.
#[utoipa::path(
    get,
    path = "/issuers/{name}",
    operation_id = "get_issuer",
    responses(
        (status = 200, description = "The issuer", body = Envelope<OneIssuer>),
        (status = 404, description = "issuer_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let issuer = issuers::get(&call.app, call.context.tenancy()?, call.name())?;
    Reply::content(&OneIssuer {
        issuer: view(&call, issuer),
    })
}

/// Removes an issuer: its tokens are refused from now on.
#[utoipa::path(
    delete,
    path = "/issuers/{name}",
    operation_id = "remove_issuer",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "issuer_not_found"),
    )
)]
pub(super) fn remove(call: Call) -> Result<Reply> {
    call.parameters()?;
    let actor = call.context.actor();
    issuers::remove(&call.app, &actor, call.context.tenancy()?, call.name())?;
    Reply::done()
}

/// Fetches an issuer's keys now. The other servers fetch them again before they verify its next token.
///
/// `known` in the answer says which keys there are, or why they could not be fetched. Keys that were fetched before stay in use
/// then.
#[utoipa::path(
    post,
    path = "/issuers/{name}/refresh",
    operation_id = "refresh_issuer",
    responses(
        (status = 200, description = "The issuer, with the keys that were fetched", body = Envelope<OneIssuer>),
        (status = 404, description = "issuer_not_found"),
    )
)]
pub(super) fn refresh(call: Call) -> Result<Reply> {
    call.parameters()?;
    let actor = call.context.actor();
    let issuer = issuers::refresh(&call.app, &actor, call.context.tenancy()?, call.name())?;
    Reply::content(&OneIssuer {
        issuer: view(&call, issuer),
    })
}
