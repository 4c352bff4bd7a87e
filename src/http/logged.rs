//! Answers of saves that wait until the version is in the log (`Prefer: wait`, RFC 7240). They wait without a thread, and
//! after the save: whatever happens, the version is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::Serialize;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::SignatureId;
use sigpersist_model::view::ProofState;
use sigpersist_runtime::blocking;
use utoipa::ToSchema;

use super::events::MAX_WAIT_S;
use super::reply::Reply;
use super::server::Server;
use crate::waiters::Waiter;

/// Pause of the command line before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The place of a version in its tenant's log.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Evidence)]
pub(super) struct Evidence {
    /// `queued` if it will be in the log in a moment, `logged` if it is.
    state: ProofState,
    /// The number of its entry; null until it is logged.
    #[schema(example = json!(null))]
    number: Option<i64>,
}

impl Evidence {
    /// The version will be in the log in a moment.
    const QUEUED: Self = Self {
        state: ProofState::Queued,
        number: None,
    };
}

/// An answer that waits until a version is in the log.
pub(super) struct AwaitsLog {
    pub(super) tenant: TenantId,
    pub(super) signature: SignatureId,
    pub(super) version: u32,
    pub(super) patience: Duration,
    /// Makes the answer.
    pub(super) answer: Box<dyn FnOnce(Evidence) -> Result<Reply> + Send>,
}

impl std::fmt::Debug for AwaitsLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AwaitsLog for {:?}", self.patience)
    }
}

/// The time that the client is ready to wait, at most [`MAX_WAIT_S`]; none if it does not say.
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter();
    let preferences = preferences.filter_map(|value| value.to_str().ok());
    let mut tokens = preferences.flat_map(|value| value.split([',', ';']));
    let seconds = tokens.find_map(|token| {
        let (name, seconds) = token.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        let seconds = seconds.trim().trim_matches('"');
        let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
        // However many they are.
        (is_wait && is_number).then(|| seconds.parse().unwrap_or(MAX_WAIT_S))
    })?;
    Some(Duration::from_secs(seconds.min(MAX_WAIT_S).into()))
}

impl AwaitsLog {
    /// Waits, and answers.
    pub(super) async fn answered(self, server: Arc<Server>) -> Result<Reply> {
        let Self {
            tenant,
            signature,
            version,
            patience,
            answer,
        } = self;
        let Ok(waiter) = server.app.waiters.join(tenant) else {
            // Too many wait already.
            return answer(Evidence::QUEUED);
        };
        let number = wait(&server, &waiter, tenant, (signature, version), patience).await;
        let evidence = number.map_or(Evidence::QUEUED, |number| Evidence {
            state: ProofState::Logged,
            number: Some(number),
        });
        Ok(answer(evidence)?.having_waited(patience.as_secs()))
    }
}

/// The number of a version in the log; none if it is not there in time.
async fn wait(
    server: &Arc<Server>,
    waiter: &Waiter,
    tenant: TenantId,
    (signature, version): (SignatureId, u32),
    patience: Duration,
) -> Option<i64> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Servers hear of growing logs. Nobody tells the command line, so it looks again.
        let looks_again = server.command_line().is_some();
        let pause = if looks_again {
            left.min(LOOK_AGAIN)
        } else {
            left
        };
        // Listens before it looks, so that nothing is missed in between.
        let grown = waiter.listen(pause);
        let permit = server.requests.acquire(Some(tenant)).await.ok()?;
        let app = Arc::clone(&server.app);
        let look = move || app.store.log_number_of_version(tenant, signature, version);
        let number = blocking::run(permit, look).await.ok()?.ok()?;
        if number.is_some() {
            return number;
        }
        if left.is_zero() || server.app.waiters.are_dismissed() {
            return None;
        }
        if !grown.await && !looks_again {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_preference_is_read_in_all_its_spellings() {
        for (given, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, Wait = 10", Some(10)),
            ("return=minimal; wait=\"3\"", Some(3)),
            ("wait=9999", Some(25)),
            ("wait=99999999999999999999", Some(25)),
            ("wait=+5", None),
            ("wait", None),
            ("wait=-1", None),
            ("waiting=5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append("prefer", HeaderValue::from_str(given).unwrap());
            assert_eq!(
                patience(&headers),
                seconds.map(Duration::from_secs),
                "{given}"
            );
        }
    }
}
