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

/// Most steps until a token is verified: two loads, if something changes in between, and a fetch.
const MAX_STEPS: usize = 4;

/// Verifies the bearer token. Loads its key or issuer from the database only if that is not cached, and waits for a fetch of
/// its issuer's keys at most once. It holds nothing that others wait for meanwhile.
pub(super) async fn authenticate(app: &Arc<App>, headers: &HeaderMap) -> Result<Arc<Caller>> {
    let token = bearer(headers)?;
    let mut may_wait = true;
    for _ in 0..MAX_STEPS {
        let authenticator = &app.caches.authenticator;
        let mut step = authenticator.authenticate_ready(token, may_wait)?;
        if let Step::Load = step {
            let token = token.to_owned();
            step = app
                .load(move |app| {
                    let load = Loaded {
                        key: &|kid| tenants::key_and_quotas(app, kid),
                        issuers: &|issuer| issuers::trusted(app, issuer),
                    };
                    let authenticator = &app.caches.authenticator;
                    authenticator.authenticate(&token, may_wait, &load)
                })
                .await?;
        }
        match step {
            Step::Caller(caller) => return Ok(caller),
            Step::Load => {}
            Step::Fetch(fetch) => {
                issuers::fetch(app, fetch).await;
                may_wait = false;
            }
        }
    }
    Err(Error::internal("a token needs ever more steps"))
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
