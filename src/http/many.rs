//! Many signatures in one request. Each is saved or read as by a request of its own, and has an outcome of its own.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{Draft, Preconditions, ThreadKey};
use sigpersist_runtime::blocking;
use utoipa::ToSchema;

use super::error::{FailureOfOne, failure_of_one};
use super::events::Waiting;
use super::parameter;
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use super::signatures::{SignatureContent, draft, max_signature_bytes, read_and_shown, thread_key};
use super::verdicts::attachments;
use crate::signatures::{self, Saved};

/// The most signatures in one request.
pub(super) const MAX_MANY: usize = 100;
/// The most threads of one request that are saved at a time: as many as one statement creates.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManyForm<'a> {
    #[serde(borrow)]
    signatures: Vec<&'a RawValue>,
}

#[derive(Serialize, ToSchema)]
struct ManyContent {
    /// The outcomes, in the order of the request.
    results: Vec<OutcomeContent>,
}

/// The outcome for one of many signatures.
#[derive(Serialize, ToSchema)]
struct OutcomeContent {
    /// The status that a request of its own would have.
    #[schema(example = 201)]
    status: u16,
    /// The version; null if it failed. After a save it comes without the signature, which the caller has.
    signature: Option<SignatureContent>,
    /// The reason why it failed; null otherwise.
    error: Option<FailureOfOne>,
}

impl OutcomeContent {
    fn new(outcome: Result<(StatusCode, SignatureContent)>) -> Self {
        match outcome {
            Ok((status, signature)) => Self {
                status: status.as_u16(),
                signature: Some(signature),
                error: None,
            },
            Err(error) => {
                let (status, failure) = failure_of_one(&error);
                Self {
                    status: status.as_u16(),
                    signature: None,
                    error: Some(failure),
                }
            }
        }
    }
}

/// Saves up to 100 signatures.
///
/// Each is saved, refused or found saved already as by `POST /signature`, whatever becomes of the others: its `status` and
/// `error` say so. Those of one thread are saved in their order, and threads beside each other. Each counts as a request. If you
/// lose the answer, send all of them again.
///
/// If one of them is not as described here, the request is refused as a whole, and nothing is saved.
#[utoipa::path(
    post,
    path = "/signatures",
    operation_id = "save_signatures",
    tag = "signatures",
    responses(
        (status = 200, description = "The outcome for each", body = Envelope<ManyContent>),
    )
)]
pub(super) fn save(call: Call) -> Waiting {
    Box::pin(async move {
        call.context.tenant()?;
        let call = Arc::new(call);
        let under_way = call.app.meters.begin(&call.context.caller)?;
        let reading = Arc::clone(&call);
        let drafts = blocking::run(under_way, move || read_drafts(&reading)).await??;
        let under_way = call.app.meters.begin(&call.context.caller)?;
        let (mut outcomes, mut threads) = (Vec::new(), Vec::<Vec<(usize, Sent)>>::new());
        let mut known: HashMap<ThreadKey, usize> = HashMap::new();
        for (place, sent) in drafts.into_iter().enumerate() {
            match sent {
                Ok(sent) => {
                    let next = threads.len();
                    let thread = *known.entry(sent.draft.key.clone()).or_insert(next);
                    match threads.get_mut(thread) {
                        Some(thread) => thread.push((place, sent)),
                        None => threads.push(vec![(place, sent)]),
                    }
                }
                Err(error) => outcomes.push((place, Err(error))),
            }
        }
        let saving = threads
            .into_iter()
            .map(|thread| save_in_order(&call, thread));
        let mut saving = stream::iter(saving).buffer_unordered(AT_ONCE);
        while let Some(saved) = saving.next().await {
            outcomes.extend(saved);
        }
        drop(under_way);
        outcomes.sort_by_key(|(place, _)| *place);
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome);
        let results = outcomes.map(OutcomeContent::new).collect();
        // What was done must be told, also over budget.
        Reply::content(&ManyContent { results })
    })
}

/// A draft as it was sent.
struct Sent {
    draft: Draft,
    attachments: Attachments,
}

/// The drafts of a request. One that is well formed and too large is refused by itself.
fn read_drafts(call: &Call) -> Result<Vec<Result<Sent>>> {
    let max_bytes = max_signature_bytes(call);
    let read = |parameters: &Parameters<'_>| {
        Ok(Sent {
            draft: draft(parameters, max_bytes)?,
            attachments: attachments(parameters)?,
        })
    };
    read_each(call, read)?
        .into_iter()
        .map(|read| match read {
            Err(error) if !matches!(error, Error::PayloadTooLarge { .. }) => Err(error),
            read => Ok(read),
        })
        .collect()
}

/// Reads each element of `signatures`. An error names its place.
fn read_each<T>(
    call: &Call,
    read: impl Fn(&Parameters<'_>) -> Result<T>,
) -> Result<Vec<Result<T>>> {
    let each = |(place, object): (usize, &RawValue)| {
        let object = call.part(object.get());
        let read = call
            .parameters_in(&object)
            .and_then(|parameters| read(&parameters));
        read.map_err(|error| match error {
            Error::InvalidParameter { field, message } => Error::InvalidParameter {
                field: format!("/signatures/{place}{field}"),
                message,
            },
            other => other,
        })
    };
    let form = read_form(call)?;
    Ok(form.signatures.into_iter().enumerate().map(each).collect())
}

fn read_form(call: &Call) -> Result<ManyForm<'_>> {
    let form: ManyForm<'_> = call.json()?;
    if !(1..=MAX_MANY).contains(&form.signatures.len()) {
        let message = format!("`signatures` must have 1 to {MAX_MANY} elements.");
        return Err(Error::invalid("signatures", message));
    }
    Ok(form)
}

/// Saves the drafts of one thread, one after another.
async fn save_in_order(
    call: &Arc<Call>,
    thread: Vec<(usize, Sent)>,
) -> Vec<(usize, Result<(StatusCode, SignatureContent)>)> {
    let mut outcomes = Vec::with_capacity(thread.len());
    for (place, sent) in thread {
        let saved = save_one(call, sent, place == 0).await;
        outcomes.push((place, saved));
    }
    outcomes
}

async fn save_one(
    call: &Arc<Call>,
    sent: Sent,
    is_counted: bool,
) -> Result<(StatusCode, SignatureContent)> {
    if !is_counted {
        call.app.meters.pace(&call.context.caller)?;
    }
    let (permits, chain) = call.permits_to_save().await?;
    let call = Arc::clone(call);
    let work = move || {
        let Sent { draft, attachments } = sent;
        let any = Preconditions::default();
        signatures::save(&call.app, &call.context, chain, &draft, attachments, &any)
    };
    let (status, mut signature) = match blocking::run(permits, work).await?? {
        Saved::New(signature) => (StatusCode::CREATED, signature),
        Saved::Before(signature) => (StatusCode::OK, signature),
    };
    signature.body = None;
    Ok((status, signature.into()))
}

/// Reads up to 100 signatures: of each the current version, or an earlier one.
///
/// Each is read as by `GET /signature`; its `status` is 404 if it does not exist.
#[utoipa::path(
    post,
    path = "/signatures/get",
    operation_id = "get_signatures",
    tag = "signatures",
    responses(
        (status = 200, description = "The outcome for each", body = Envelope<ManyContent>),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let name = |parameters: &Parameters<'_>| {
        let version = parameters.integer(&parameter::VERSION)?;
        Ok((thread_key(parameters)?, version))
    };
    let names: Vec<_> = read_each(&call, name)?.into_iter().collect::<Result<_>>()?;
    let (mut bytes, mut results) = (0_usize, Vec::with_capacity(names.len()));
    for (place, (key, version)) in names.into_iter().enumerate() {
        let read = || {
            if place > 0 {
                call.app.meters.pace(&call.context.caller)?;
            }
            signatures::get(&call.app, &call.context, &key, version)
        };
        let signature = read();
        if let Ok(signature) = &signature {
            let body = signature.body.as_ref();
            bytes += body.map_or(0, |body| read_and_shown(body.bytes.len()));
            call.reserve(bytes)?;
        }
        let outcome = signature.map(|signature| (StatusCode::OK, signature.into()));
        results.push(OutcomeContent::new(outcome));
    }
    Reply::content(&ManyContent { results })
}
