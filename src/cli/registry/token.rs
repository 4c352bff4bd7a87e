//! Tokens of registries (<https://distribution.github.io/distribution/spec/auth/token/>), or the name and password themselves.

use anyhow::{Context as _, bail, ensure};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response};
use http_auth::ChallengeParser;
use serde::Deserialize;
use ureq::{Agent, Body};
use url::Url;
use zeroize::Zeroizing;

use super::Right;
use super::client::{is_here, read};
use crate::cli::output::shown;

/// Longest answer with a token, in bytes.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
}

/// The value of `Authorization` that a registry asks for with its 401; none if there is nothing to give.
pub(super) fn authorization(
    agent: &Agent,
    base: &Url,
    response: &Response<Body>,
    (repository, right): (&str, Right),
    basic: Option<&HeaderValue>,
) -> anyhow::Result<Option<HeaderValue>> {
    let values = response.headers().get_all(WWW_AUTHENTICATE);
    for value in values.iter().filter_map(|value| value.to_str().ok()) {
        for challenge in ChallengeParser::new(value).flatten() {
            let parameter = |name: &str| {
                let mut all = challenge.params.iter();
                let found = all.find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").context("The registry names no place for tokens")?;
                let mut url = place(base, &realm)?;
                if let Some(service) = parameter("service") {
                    url.query_pairs_mut().append_pair("service", &service);
                }
                // Not the scope that the registry asks for: the token is for this repository only.
                let actions = match right {
                    Right::Pull => "pull",
                    Right::Push => "pull,push",
                };
                let scope = format!("repository:{repository}:{actions}");
                url.query_pairs_mut().append_pair("scope", &scope);
                return token(agent, &url, basic).map(Some);
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                return Ok(basic.cloned());
            }
        }
    }
    bail!("The registry asks for a kind of login that is not known here.")
}

/// The URL that makes tokens. It may be at another host, but must be as well encrypted as the registry is.
fn place(base: &Url, realm: &str) -> anyhow::Result<Url> {
    let url: Option<Url> = realm.parse().ok();
    let url = url.filter(|url| url.has_host() && url.username().is_empty());
    let url = url.with_context(|| {
        format!(
            "The registry has its tokens made at {}, which is no URL",
            shown(realm)
        )
    })?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => base.scheme() == "http" && (is_here(&url) || url.host() == base.host()),
        _ => false,
    };
    ensure!(
        is_safe,
        "The registry has its tokens made at {}, which is not encrypted; nothing was sent there.",
        shown(url.as_str())
    );
    Ok(url)
}

fn token(agent: &Agent, url: &Url, basic: Option<&HeaderValue>) -> anyhow::Result<HeaderValue> {
    let host = url.host_str().unwrap_or_default();
    let mut request = Request::get(url.as_str());
    if let Some(basic) = basic {
        request = request.header(AUTHORIZATION, basic);
    }
    let answered = agent.run(request.body(())?);
    let response = answered.map_err(|error| {
        anyhow::anyhow!("{host}, which makes the registry's tokens, did not answer: {error}.")
    })?;
    if !response.status().is_success() {
        let status = response.status();
        match basic {
            Some(_) => bail!(
                "{host} makes no token with your name and password: it answered {status}. Check them, and whether they may do this."
            ),
            None => bail!(
                "{host} makes no token for somebody without a name: it answered {status}. Log in with `docker login`, or give --registry-username."
            ),
        }
    }
    let text = read(response, MAX_TOKEN_BYTES)?
        .with_context(|| format!("{host} sent a token that is too long"))?;
    let text = Zeroizing::new(text);
    let answer: Option<Answer> = serde_json::from_slice(&text).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    let token = token.with_context(|| format!("{host} sent no token"))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", *token))
        .ok()
        .with_context(|| format!("{host} sent a token that can't be one"))?;
    value.set_sensitive(true);
    Ok(value)
}
