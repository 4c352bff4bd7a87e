//! Many signatures in few requests: which are sent together, and which again.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Inner;
use crate::draft::Draft;
use crate::error::{Error, Refusal};
use crate::request::Request;
use crate::types::{Saved, Signature};

/// The most that the server takes in one request.
const MAX_MANY: usize = 100;

#[derive(Deserialize)]
struct Outcomes {
    results: Vec<Outcome>,
}

/// What became of one.
#[derive(Deserialize)]
struct Outcome {
    status: u16,
    #[serde(default)]
    signature: Option<Signature>,
    #[serde(default)]
    error: Value,
}

type Thread<'d> = (&'d str, &'d str);
type Done = Result<(Signature, u16), Box<Refusal>>;

pub(crate) async fn save(
    client: &Inner,
    drafts: &[Draft],
) -> Result<Vec<Result<Saved, Box<Refusal>>>, Error> {
    let mut all = Vec::with_capacity(drafts.len());
    // Threads of which one was not saved: later ones of theirs were made over a version that is not there.
    let mut failed = HashSet::new();
    for batch in drafts.chunks(MAX_MANY) {
        let threads: Vec<_> = batch
            .iter()
            .map(|draft| (&*draft.document, &*draft.thread))
            .collect();
        let bodies = batch.iter().map(serde_json::to_value);
        let bodies = bodies.collect::<Result<Vec<_>, _>>();
        let bodies = bodies.map_err(|error| Error::Invalid(error.to_string()))?;
        let done = batch_of(client, "/signatures", &bodies, &threads, Some(&mut failed)).await?;
        all.extend(done.into_iter().map(|one| {
            one.map(|(signature, status)| Saved {
                signature,
                is_new: status == 201,
                evidence: None,
            })
        }));
    }
    Ok(all)
}

pub(crate) async fn get(
    client: &Inner,
    threads: &[Thread<'_>],
) -> Result<Vec<Result<Signature, Box<Refusal>>>, Error> {
    let mut all = Vec::with_capacity(threads.len());
    for batch in threads.chunks(MAX_MANY) {
        let bodies = batch.iter();
        let bodies: Vec<_> = bodies
            .map(|(document, thread)| json!({ "document": document, "thread": thread }))
            .collect();
        let done = batch_of(client, "/signatures/get", &bodies, batch, None).await?;
        all.extend(
            done.into_iter()
                .map(|one| one.map(|(signature, _)| signature)),
        );
    }
    Ok(all)
}

/// Sends those of one request until each has its outcome. `failed` has the threads of which one was not saved, in this request
/// or an earlier one; none for reading.
async fn batch_of<'d>(
    client: &Inner,
    path: &str,
    bodies: &[Value],
    threads: &[Thread<'d>],
    mut failed: Option<&mut HashSet<Thread<'d>>>,
) -> Result<Vec<Done>, Error> {
    let is_failed = |thread| {
        failed
            .as_ref()
            .is_some_and(|failed| failed.contains(thread))
    };
    let mut outcomes: Vec<Done> = bodies.iter().map(|_| Err(earlier_failed())).collect();
    let mut left: Vec<_> = (0..bodies.len())
        .filter(|place| !threads.get(*place).is_some_and(is_failed))
        .collect();
    let mut sent = 0;
    while !left.is_empty() {
        let body: Vec<_> = left.iter().filter_map(|place| bodies.get(*place)).collect();
        let request = Request::new(Method::POST, path).json(&json!({ "signatures": body }))?;
        let done = exchange(client, &request, left.len()).await?;
        sent += 1;
        let (mut again, mut waiting, mut pause) = (Vec::new(), HashSet::new(), Duration::ZERO);
        for (place, outcome) in left.into_iter().zip(done) {
            if let (Err(refusal), Some(thread)) = (&outcome, threads.get(place)) {
                let wait = refusal.retry_after.filter(|wait| {
                    matches!(refusal.status, 429 | 503) && *wait <= client.patience.longest_wait
                });
                // One that came after another that has to wait was not tried.
                let follows = refusal.code == "earlier_failed" && waiting.contains(thread);
                if wait.is_some() || follows {
                    again.push(place);
                    waiting.insert(*thread);
                    pause = pause.max(wait.unwrap_or_default());
                }
            }
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        }
        if again.is_empty() || sent >= client.patience.attempts {
            break;
        }
        left = again;
        tokio::time::sleep(pause).await;
    }
    if let Some(failed) = &mut failed {
        let not_done = threads
            .iter()
            .zip(&outcomes)
            .filter(|(_, one)| one.is_err());
        failed.extend(not_done.map(|(thread, _)| *thread));
    }
    Ok(outcomes)
}

async fn exchange(client: &Inner, request: &Request, expected: usize) -> Result<Vec<Done>, Error> {
    let answer = client.send(request).await?;
    let Outcomes { results } = answer.content()?;
    if results.len() != expected {
        let why = format!("it has {} outcomes of {expected}", results.len());
        return Err(answer.unreadable(why));
    }
    let one = |outcome: Outcome| match (outcome.signature, outcome.error) {
        (Some(signature), Value::Null) => Ok(Ok((signature, outcome.status))),
        (_, error) => Refusal::of_one(outcome.status, error, &answer.request_id)
            .map(|refusal| Err(Box::new(refusal)))
            .map_err(|error| answer.unreadable(error.to_string())),
    };
    results.into_iter().map(one).collect()
}

/// What the server says of those that come after one of their thread that was not saved, in the same request.
fn earlier_failed() -> Box<Refusal> {
    Box::new(Refusal {
        code: "earlier_failed".to_owned(),
        status: 424,
        message: "An earlier signature of this thread was not saved, so this one was not tried."
            .to_owned(),
        details: Value::Null,
        request_id: None,
        retry_after: None,
    })
}
