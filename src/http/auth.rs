//! Authentication of requests by their headers (RFC 6750).

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sigpersist_model::context::Caller;
use sigpersist_model::error::{Error, Result};

use crate::app::App;
use crate::auth::{Loaded, Step};
use crate::issuers;
use crate::tenants;

/// Verifies the bearer token. Loads its key or issuer from the database only if that is not cached. With `may_wait`, it waits
/// for a fetch of its issuer's keys if they are not known well enough; whoever asks must hold nothing then that others wait
/// for.
pub(super) async fn authenticate(
    app: &Arc<App>,
    headers: &HeaderMap,
    may_wait: bool,
) -> Result<Arc<Caller>> {
    let token = bearer(headers)?;
    let mut step = step(app, token, may_wait).await?;
    if let Step::Fetch(fetch) = step {
        issuers::fetch(app, fetch).await;
        // What is known now has to do.
        step = self::step(app, token, false).await?;
    }
    match step {
        Step::Caller(caller) => Ok(caller),
        Step::Load | Step::Fetch(_) => Err(Error::internal("a token was loaded and is not ready")),
    }
}

/// Verifies a token with what is cached, or else with what the database has.
async fn step(app: &Arc<App>, token: &str, may_wait: bool) -> Result<Step> {
    let authenticator = &app.caches.authenticator;
    match authenticator.authenticate_ready(token, may_wait)? {
        Step::Load => {}
        step => return Ok(step),
    }
    let token = token.to_owned();
    app.load(move |app| {
        let load = Loaded {
            key: &|kid| tenants::key_and_quotas(app, kid),
            issuers: &|issuer| issuers::trusted(app, issuer),
        };
        let authenticator = &app.caches.authenticator;
        authenticator.authenticate(&token, may_wait, &load)
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
