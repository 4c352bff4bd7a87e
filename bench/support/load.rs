//! Many connections that save without a pause.

#[path = "offer.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod offer;

pub(crate) use offer::was_the_load;
use offer::{Load, NUMBER, Numbers, Pace, Target, request};

use super::support::SIGNATURE;

/// Concurrent connections that save.
pub(crate) const CONNECTIONS: usize = 16;

/// The rate of first versions of new threads, over connections that are kept open. The tenants' tokens are used in
/// turn.
pub(crate) fn saves_per_second(
    address: &str,
    tokens: &[String],
    name: &str,
    tags: &str,
    seconds: u64,
) -> f64 {
    saves_of_per_second(SIGNATURE, address, tokens, name, tags, seconds)
}

/// Like [`saves_per_second`], with another signature.
pub(crate) fn saves_of_per_second(
    cms: &str,
    address: &str,
    tokens: &[String],
    name: &str,
    tags: &str,
    seconds: u64,
) -> f64 {
    let cms = cms.trim();
    let json = |number: &str| {
        format!(
            r#"{{"document":"{name}-{number}","thread":"bench","version":0,"cms":"{cms}"{tags}}}"#
        )
    };
    requests_per_second("/signature", json, address, tokens, seconds)
}

/// The rate of posts of a body that is made of a number.
pub(crate) fn requests_per_second(
    path: &str,
    json: impl Fn(&str) -> String,
    address: &str,
    tokens: &[String],
    seconds: u64,
) -> f64 {
    let json = json(NUMBER);
    let targets = tokens.iter().map(|token| Target {
        address: address.to_owned(),
        request: request("POST", path, token, &json),
        numbers: Numbers::From(0),
    });
    let load = Load {
        targets: targets.collect(),
        connections: CONNECTIONS,
        pace: Pace::Closed,
        seconds: seconds as f64,
        hangs_up: false,
    };
    load.run().all_succeeded().successes_per_second()
}
