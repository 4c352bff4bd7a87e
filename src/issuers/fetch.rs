//! Fetches the keys of identity providers. An answer is believed only if it comes from a host that the operators listed, by
//! https, and in time; nothing of it is logged or shown.

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use sigpersist_outbound::{Answer, Limits, Outbound, Request};
use sigpersist_runtime::{blocking, metrics};
use tracing::{info, warn};

use crate::app::App;
use crate::auth::key_set::{KeySet, MAX_SET_BYTES};
use crate::auth::key_sets::{Fetch, Fetched, Flight, Place, TakeOff};
use crate::config::entries;

/// The path of an issuer's configuration (OpenID Connect Discovery 1.0 section 4).
const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// A reason for which there are no keys: a class for metrics, and a sentence for people.
pub(super) struct Failed {
    class: &'static str,
    sentence: String,
}

impl Failed {
    fn new(class: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            class,
            sentence: sentence.into(),
        }
    }
}

/// Makes the fetch that a token needs, or waits for the one that somebody makes. Waits at most as long as requests wait for
/// permits; the fetch goes on.
pub async fn fetch(app: &Arc<App>, fetch: Fetch) {
    let sets = app.caches.authenticator.key_sets();
    let mut landings = sets.landings(&fetch.place);
    match sets.take_off(&fetch) {
        // On a task of its own: others wait for it, too, and it must land if the request is cancelled.
        TakeOff::Begun(flight) => drop(tokio::spawn(fly(Arc::clone(app), fetch, flight))),
        TakeOff::Underway => {}
        TakeOff::NotDue => return,
    }
    let patience = Duration::from_millis(app.config.http.queue_timeout_ms);
    // Whether it landed in time makes no difference: what is known then has to do.
    drop(tokio::time::timeout(patience, landings.changed()).await);
}

async fn fly(app: Arc<App>, fetch: Fetch, flight: Flight) {
    let permit = match app.fetches.acquire(Some(fetch.tenant)).await {
        Ok(permit) => permit,
        Err(error) => {
            warn!(cause = %error, "Keys could not be fetched now: too many fetches are under way");
            metrics::issuer_fetched("overloaded");
            return flight.give_up();
        }
    };
    let done = blocking::run(permit, move || {
        let fetched = fetch_now(&app, &fetch.place);
        land(&app, &fetch.place, flight, fetched);
    });
    if let Err(cause) = done.await {
        warn!(%cause, "A fetch of keys was interrupted");
    }
}

/// Fetches the keys at a place, unless somebody fetches them or did a moment ago. Blocks for at most the time of two requests.
pub(super) fn fetch_blocking(app: &App, fetch: &Fetch) {
    let sets = app.caches.authenticator.key_sets();
    if let TakeOff::Begun(flight) = sets.take_off(fetch) {
        let fetched = fetch_now(app, &fetch.place);
        land(app, &fetch.place, flight, fetched);
    }
}

fn land(app: &App, place: &Place, flight: Flight, fetched: Result<Fetched, Failed>) {
    let of = match place {
        Place::Discovery(issuer) => issuer,
        Place::Url(url) => url,
    };
    let outcome = match &fetched {
        Ok(fetched) => {
            let keys = fetched.set.kids().count();
            info!(keys, "Fetched the keys of `{of}`");
            for why in fetched.set.left_out() {
                info!("Of the keys of `{of}` one is left out: {why}");
            }
            match fetched.set.lack() {
                Some(why) => {
                    warn!("No token of `{of}` is taken any more: {why}");
                    "no_keys"
                }
                None => "fetched",
            }
        }
        Err(failed) => {
            warn!(
                class = failed.class,
                "The keys of `{of}` could not be fetched: {}", failed.sentence
            );
            failed.class
        }
    };
    metrics::issuer_fetched(outcome);
    let fetched = fetched.map_err(|failed| failed.sentence);
    app.caches.authenticator.land(place, flight, fetched);
}

fn fetch_now(app: &App, place: &Place) -> Result<Fetched, Failed> {
    let url = match place {
        Place::Url(url) => url.to_string(),
        Place::Discovery(issuer) => discover(app, issuer)?,
    };
    let answer = ask(app, &url)?;
    // Without a key that can be used it is an answer, too: what was known is withdrawn.
    let set = KeySet::fetched(&answer.body);
    let set = set.map_err(|why| Failed::new("no_keys", why))?;
    Ok(Fetched {
        set,
        max_age: answer.max_age,
    })
}

/// The URL of the keys, from the configuration of the issuer.
fn discover(app: &App, issuer: &str) -> Result<String, Failed> {
    let answer = ask(app, &configuration_url(issuer))?;
    let configuration: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let member = |name: &str| configuration.as_ref()?.get(name)?.as_str();
    // Section 4.3: otherwise one issuer could speak for another.
    if member("issuer") != Some(issuer) {
        return Err(Failed::new(
            "other_issuer",
            "The configuration at its address is not that of this issuer: its `issuer` must be the same, character by character.",
        ));
    }
    let url = member("jwks_uri").map(ToOwned::to_owned);
    url.ok_or_else(|| {
        Failed::new(
            "no_keys",
            "The configuration of the issuer has no `jwks_uri`.",
        )
    })
}

/// The URL of an issuer's configuration. A slash at its end is not doubled.
pub(super) fn configuration_url(issuer: &str) -> String {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    format!("{issuer}{CONFIGURATION}")
}

/// Asks for JSON at an address, if its host is listed.
fn ask(app: &App, url: &str) -> Result<Answer, Failed> {
    let outbound = app.outbound_to_issuers();
    let outbound = outbound.map_err(|cause| Failed::new("settings", format!("{cause:#}.")))?;
    check_url(app, outbound, url).map_err(|why| Failed::new("refused", why))?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let whole = Duration::from_millis(app.config.auth.jwks_timeout_ms);
    let limits = Limits {
        connect: whole,
        whole,
        max_answer: MAX_SET_BYTES,
    };
    let request = Request {
        method: Method::GET,
        url,
        headers,
        body: &[],
    };
    let answer = outbound.send(request, limits);
    let answer = answer.map_err(|failure| Failed::new(failure.class(), failure.to_string()))?;
    match answer.status {
        200 if answer.is_cut => Err(Failed::new(
            "too_long",
            format!("The answer has more than {MAX_SET_BYTES} bytes."),
        )),
        200 => Ok(answer),
        300..=399 => Err(Failed::new(
            "status",
            "The answer is a redirect, and none is followed: give the URL to which it leads.",
        )),
        status => Err(Failed::new(
            "status",
            format!("The answer has the status {status}."),
        )),
    }
}

/// Checks that keys may be fetched from a URL, without asking DNS. Returns its usual spelling.
///
/// # Errors
///
/// A sentence.
pub(super) fn check_url(app: &App, outbound: &Outbound, url: &str) -> Result<String, String> {
    let target = outbound.check(url).map_err(|refused| refused.to_string())?;
    if !target.is_https() {
        return Err("Keys are fetched by https only.".to_owned());
    }
    let host = target.authority();
    let mut listed = entries(&app.config.auth.jwks_hosts);
    if !listed.any(|listed| listed.eq_ignore_ascii_case(host)) {
        return Err(format!(
            "Keys may not be fetched from `{host}`: the operator of the server must list it in the setting auth.jwks_hosts."
        ));
    }
    Ok(target.url())
}
