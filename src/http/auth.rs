//! Authentication of requests by their headers (RFC 6750).

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sigpersist_model::context::Caller;
use sigpersist_model::error::{Error, Result};

use crate::app::App;
use crate::tenants;

/// Verifies the bearer token; loads its key from the database only if the key is not cached.
pub(super) async fn authenticate(app: &Arc<App>, headers: &HeaderMap) -> Result<Arc<Caller>> {
    let token = bearer(headers)?;
    if let Some(caller) = app.caches.authenticator.authenticate_ready(token)? {
        return Ok(caller);
    }
    let token = token.to_owned();
    app.load(move |app| {
        app.caches
            .authenticator
            .authenticate(&token, |kid| tenants::key_and_quotas(app, kid))
    })
    .await
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::MissingToken)?;
    if values.next().is_some() {
        return Err(Error::InvalidToken(
            "there is more than one `Authorization` header",
        ));
    }
    let text = value
        .to_str()
        .map_err(|_| Error::InvalidToken("the `Authorization` header is not readable"))?;
    match text.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty() =>
        {
            Ok(token.trim())
        }
        _ => Err(Error::MissingToken),
    }
}
