//! One exchange with a witness: the request `add-checkpoint`, and what the answer means.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::Epoch;
use sigpersist_model::witness::WitnessState;
use sigpersist_outbound::{Answer, Failure, Limits, Outbound, Request};
use sigpersist_store::{Asking, NewCosignature};
use sigpersist_tlog::{AddCheckpoint, Invalid, Note, VerifierKey, read_answer, read_size};

use super::super::proof::opened;
use crate::app::App;

/// Two requests and the queries around them take less than a lease.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    whole: Duration::from_secs(10),
    max_answer: 16 * 1024,
};

/// The result of asking a witness.
#[derive(Debug)]
pub(super) struct Outcome {
    /// One word for metrics.
    pub(super) word: &'static str,
    /// The state of the witness.
    pub(super) state: WitnessState,
    /// Why it did not sign.
    pub(super) why: Option<String>,
    /// Its signature.
    pub(super) cosigned: Option<NewCosignature>,
    /// The time for which it asks to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Outcome {
    fn new(word: &'static str, state: WitnessState, why: impl Into<String>) -> Self {
        Self {
            word,
            state,
            why: Some(why.into()),
            cosigned: None,
            retry_after: None,
        }
    }

    fn failing(word: &'static str, why: impl Into<String>) -> Self {
        Self::new(word, WitnessState::Failing, why)
    }

    fn refused(why: impl Into<String>) -> Self {
        Self::new("refused", WitnessState::Refused, why)
    }

    fn unknown_log(why: impl Into<String>) -> Self {
        Self::new("unknown_log", WitnessState::UnknownLog, why)
    }
}

/// Asks a witness to sign a checkpoint. Blocks for as long as two requests may take; holds no connection meanwhile.
///
/// # Errors
///
/// The errors of the store. Whatever the witness does is an outcome.
pub(super) fn ask(app: &App, outbound: &Outbound, asking: &Asking) -> Result<Outcome> {
    let (witness, epoch) = (&asking.witness, &asking.epoch);
    let size = opened(&asking.checkpoint)?.size;
    let signed = witness
        .signed
        .filter(|signed| signed.epoch == epoch.epoch)
        .and_then(|signed| u64::try_from(signed.size).ok());
    let mut question = Question {
        key: witness.verifier()?,
        text: Note::parse(&asking.checkpoint)
            .map_err(Error::internal)?
            .text,
        epoch: epoch.epoch,
        size,
        old: signed.unwrap_or(0).min(size),
    };
    let mut is_first = true;
    loop {
        let body = AddCheckpoint {
            old_size: question.old,
            proof: app.store.log_consistency(epoch, question.old, size)?,
            checkpoint: asking.checkpoint.clone(),
        };
        let answer = match send(outbound, &witness.url, &body) {
            Ok(answer) => answer,
            Err(failure) => return Ok(Outcome::failing(failure.class(), failure.to_string())),
        };
        let mut outcome = match (answer.status, told_size(&answer)) {
            (409, Some(told)) if told > size => ahead(app, asking, told, size)?,
            // It signed a checkpoint of which we do not know.
            (409, Some(told)) if told != question.old && is_first => {
                (question.old, is_first) = (told, false);
                continue;
            }
            _ => question.judged(&answer),
        };
        outcome.retry_after = answer.retry_after;
        return Ok(outcome);
    }
}

fn send(outbound: &Outbound, url: &str, body: &AddCheckpoint) -> Result<Answer, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("sigpersist/", env!("CARGO_PKG_VERSION"))),
    );
    let body = body.to_string();
    let request = Request {
        method: http::Method::POST,
        url: &format!("{url}/add-checkpoint"),
        headers,
        body: body.as_bytes(),
    };
    outbound.send(request, LIMITS)
}

/// The size in an answer with the status 409.
fn told_size(answer: &Answer) -> Option<u64> {
    let text = std::str::from_utf8(&answer.body).ok();
    text.filter(|_| !answer.is_cut)
        .and_then(|text| read_size(text).ok())
        // No log has more.
        .filter(|size| i64::try_from(*size).is_ok())
}

/// The witness has signed more entries than the checkpoint has that it was asked to sign.
fn ahead(app: &App, asking: &Asking, told: u64, size: u64) -> Result<Outcome> {
    // Another server may have asked it meanwhile, if this one was stopped for longer than its lease.
    let epochs = app.store.log_epochs(asking.epoch.tenant)?;
    let is_other_tree = |epoch: &Epoch| epoch.epoch != asking.epoch.epoch;
    let has_grown = epochs
        .last()
        .is_some_and(|now| is_other_tree(now) || now.size.unsigned_abs() >= told);
    if has_grown {
        return Ok(Outcome::failing(
            "conflict",
            "It has signed a newer checkpoint meanwhile.",
        ));
    }
    Ok(Outcome::refused(format!(
        "It signed the log with {told} entries, and the log has {size} now: the database went back in time."
    )))
}

/// A checkpoint that a witness is asked to sign.
struct Question {
    key: VerifierKey,
    /// The text of the checkpoint.
    text: String,
    epoch: i16,
    /// The number of entries that it is about.
    size: u64,
    /// The number of those that the witness signed before.
    old: u64,
}

impl Question {
    /// Judges the last answer.
    fn judged(&self, answer: &Answer) -> Outcome {
        let Self { size, old, .. } = self;
        match answer.status {
            200 => self.signed(answer),
            403 => Outcome::unknown_log(
                "It knows this log, but not the key that signs it now (status 403). Give its operator the log's keys, as `sigpersist log keys` prints them.",
            ),
            404 => Outcome::unknown_log(
                "It does not know this log (status 404). Give its operator the log's name and key, as `sigpersist log keys` prints them. If it has them, check the URL.",
            ),
            409 if old == size => Outcome::refused(format!(
                "It signed another log of {size} entries (status 409): the database went back in time, or somebody changed the log."
            )),
            409 => Outcome::failing(
                "conflict",
                "It answered with the status 409, and not with the size that it signed last.",
            ),
            // There is nothing that could contradict an empty log.
            422 if *old > 0 => Outcome::refused(format!(
                "The log does not continue what it signed (status 422): the first {old} entries are not those that it saw. The database went back in time, or somebody changed the log."
            )),
            300..=399 => Outcome::failing(
                "redirect",
                "It answered with a redirect, which is not followed. Add the witness with the URL that it leads to.",
            ),
            status => Outcome::failing("failed", format!("It answered with the status {status}.")),
        }
    }

    /// Verifies the signature in an answer.
    fn signed(&self, answer: &Answer) -> Outcome {
        if answer.is_cut {
            return Outcome::failing("too_long", "Its answer was too long.");
        }
        let Ok(lines) = std::str::from_utf8(&answer.body) else {
            return Outcome::failing("invalid", "Its answer was not a signature.");
        };
        let found = read_answer(lines, &self.text, std::slice::from_ref(&self.key));
        match found.map(|mut found| found.pop()) {
            Ok(Some(cosignature)) => Outcome {
                word: "signed",
                state: WitnessState::Signing,
                why: None,
                cosigned: Some(NewCosignature {
                    epoch: self.epoch,
                    size: i64::try_from(self.size).unwrap_or(i64::MAX),
                    line: cosignature.line,
                }),
                retry_after: None,
            },
            Ok(None) | Err(Invalid::Unsigned) => Outcome::failing(
                "invalid",
                "Its answer has no signature of its key. Compare the key with that of its operator.",
            ),
            Err(Invalid::Signature { .. }) => {
                Outcome::failing("invalid", "Its signature does not match the checkpoint.")
            }
            Err(_) => Outcome::failing("invalid", "Its answer was not a signature."),
        }
    }
}
