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

/// Signatures of a request that saves many.
pub(crate) const MANY: usize = 50;

/// Like [`saves_per_second`] for one tenant, with [`MANY`] signatures in each request.
pub(crate) fn saves_of_many_per_second(
    address: &str,
    token: &str,
    name: &str,
    tags: &str,
    seconds: u64,
) -> f64 {
    let cms = SIGNATURE.trim();
    let drafts = (0..MANY).map(|place| {
        format!(
            r#"{{"document":"{name}-{NUMBER}-{place}","thread":"bench","version":0,"cms":"{cms}"{tags}}}"#
        )
    });
    let drafts: Vec<_> = drafts.collect();
    let json = format!(r#"{{"signatures":[{}]}}"#, drafts.join(","));
    let load = Load {
        targets: vec![Target {
            address: address.to_owned(),
            request: request("POST", "/signatures", token, &json),
            numbers: Numbers::From(0),
        }],
        connections: CONNECTIONS,
        pace: Pace::Closed,
        seconds: seconds as f64,
        hangs_up: false,
    };
    load.run().all_succeeded().successes_per_second() * MANY as f64
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
    let json = format!(
        r#"{{"document":"{name}-{NUMBER}","thread":"bench","version":0,"cms":"{cms}"{tags}}}"#
    );
    let targets = tokens.iter().map(|token| Target {
        address: address.to_owned(),
        request: request("POST", "/signature", token, &json),
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
