//! Whether a request is sent again, and when.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::error::Refusal;
use crate::transport::{Lost, TransportError};

/// Longest pause after failures without a word from the server.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How long and how often a client tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How often a request is sent at most.
    pub(crate) attempts: u32,
    /// The longest pause that the server may ask for.
    pub(crate) longest_wait: Duration,
}

impl Patience {
    /// The pause after a request without an answer, so that nobody knows whether it was done; none to give up.
    pub(crate) fn after_silence(
        self,
        sent: u32,
        is_repeatable: bool,
        error: &TransportError,
    ) -> Option<Duration> {
        let was_not_sent = error.lost == Lost::NotSent;
        let helps = error.lost != Lost::NotTrusted;
        let may = helps && (is_repeatable || was_not_sent) && sent < self.attempts;
        may.then(|| backoff(sent))
    }

    /// The pause after a refusal; none if waiting does not help.
    pub(crate) fn after_refusal(
        self,
        sent: u32,
        is_repeatable: bool,
        refusal: &Refusal,
    ) -> Option<Duration> {
        // Nothing was done, except perhaps if the database went away in the middle.
        let may_repeat = is_repeatable || refusal.code != "database_unavailable";
        let pause = match (refusal.status, refusal.retry_after) {
            (429 | 503, Some(pause)) => Some(pause).filter(|_| may_repeat),
            // Something in between lost the server; whether the request was done is not known.
            _ if is_repeatable && is_of_proxy(&refusal.code) => Some(backoff(sent)),
            _ => None,
        };
        pause.filter(|pause| *pause <= self.longest_wait && sent < self.attempts)
    }
}

fn is_of_proxy(code: &str) -> bool {
    matches!(code, "http_502" | "http_503" | "http_504")
}

/// The pause after so many failures. Clients that failed together do not come back together.
pub(crate) fn backoff(failures: u32) -> Duration {
    let pause = Duration::from_millis(200).saturating_mul(1 << failures.min(16));
    // The seed of a hash map is random enough for this.
    let random = RandomState::new().hash_one(failures) % 1000;
    let half = pause.min(LONGEST_BACKOFF) / 2;
    half + half.mul_f64(random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        for (failures, most) in [(1, 400), (2, 800), (3, 1600), (10, 30_000), (99, 30_000)] {
            for _ in 0..100 {
                let pause = backoff(failures).as_millis();
                assert!((most / 2..=most).contains(&pause), "{failures}: {pause}");
            }
        }
    }
}
