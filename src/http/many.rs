//! Many signatures in one request. Each is saved or read as by a request of its own, and has an outcome of its own.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde::Serialize;
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
/// After one that is not saved, later ones of its thread are not tried (424 `earlier_failed`). If one of them is not as described
/// here, or is too large, the request is refused as a whole, and nothing is saved.
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
        let (permits, reading) = (call.permits().await?, Arc::clone(&call));
        let drafts = blocking::run(permits, move || read_drafts(&reading)).await??;
        let mut threads: Vec<Vec<(usize, Sent)>> = Vec::new();
        let mut known: HashMap<ThreadKey, usize> = HashMap::new();
        for (place, sent) in drafts.into_iter().enumerate() {
            let next = threads.len();
            let thread = *known.entry(sent.draft.key.clone()).or_insert(next);
            match threads.get_mut(thread) {
                Some(thread) => thread.push((place, sent)),
                None => threads.push(vec![(place, sent)]),
            }
        }
        let saving = threads
            .into_iter()
            .map(|thread| save_in_order(&call, thread));
        let mut saving = stream::iter(saving).buffer_unordered(at_once(&call));
        let mut outcomes = Vec::new();
        while let Some(saved) = saving.next().await {
            outcomes.extend(saved);
        }
        drop((saving, under_way));
        outcomes.sort_by_key(|(place, _)| *place);
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome);
        let results = outcomes.map(OutcomeContent::new).collect();
        Ok(call.done(Reply::content(&ManyContent { results })?))
    })
}

/// The number of threads that are saved at a time: no more than the tenant may have requests.
fn at_once(call: &Call) -> usize {
    let quotas = call.app.meters.in_force(call.context.caller.quotas);
    match usize::try_from(quotas.max_concurrent_requests) {
        Ok(most @ 1..) => most.min(AT_ONCE),
        _ => AT_ONCE,
    }
}

/// A draft as it was sent.
struct Sent {
    draft: Draft,
    attachments: Attachments,
}

fn read_drafts(call: &Call) -> Result<Vec<Sent>> {
    let max_bytes = max_signature_bytes(call);
    read_each(call, |parameters| {
        Ok(Sent {
            draft: draft(parameters, max_bytes)?,
            attachments: attachments(parameters)?,
        })
    })
}

/// Reads each element of `signatures`. An error names the place of the first that can't be read.
fn read_each<T>(call: &Call, read: impl Fn(&Parameters<'_>) -> Result<T>) -> Result<Vec<T>> {
    let known = [&parameter::SIGNATURES];
    let parameters = call.parameters_of(&known)?;
    let objects = parameters.objects(&parameter::SIGNATURES)?;
    if !(1..=MAX_MANY).contains(&objects.len()) {
        let message = format!("`signatures` must have 1 to {MAX_MANY} elements.");
        return Err(Error::invalid("signatures", message));
    }
    let each = |(place, object): (usize, &RawValue)| {
        let object = call.part(object.get());
        let parameters = call.parameters_in(&object);
        let read = parameters.and_then(|parameters| read(&parameters));
        read.map_err(|error| {
            let (field, message) = match error {
                Error::InvalidParameter { field, message } => (field, message),
                // The body as a whole is JSON.
                error @ Error::MalformedJson(_) => (String::new(), error.to_string()),
                other => return other,
            };
            let field = format!("/signatures/{place}{field}");
            Error::InvalidParameter { field, message }
        })
    };
    objects.into_iter().enumerate().map(each).collect()
}

/// Saves the drafts of one thread, one after another. After one that was not saved, none is tried: the next could take its place,
/// since `version` 1 may mean a first version.
async fn save_in_order(
    call: &Arc<Call>,
    thread: Vec<(usize, Sent)>,
) -> Vec<(usize, Result<(StatusCode, SignatureContent)>)> {
    let mut outcomes = Vec::with_capacity(thread.len());
    let mut has_failed = false;
    for (place, sent) in thread {
        let saved = match has_failed {
            true => Err(Error::EarlierFailed),
            false => save_one(call, sent, place == 0).await,
        };
        has_failed = saved.is_err();
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
    // The key may have been revoked, or the tenant suspended, since the request began.
    call.check_again().await?;
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
/// Each is read as by `GET /signature`; its `status` is 404 if it does not exist. Together they may have as many bytes as a page of
/// a list.
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
    let names = read_each(&call, name)?;
    let most = call.app.config.http.max_list_bytes;
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
            bytes = bytes.saturating_add(body.map_or(0, |body| body.bytes.len()));
            if bytes > most {
                let message = format!(
                    "The signatures have more than {most} bytes together: ask for fewer at once."
                );
                return Err(Error::invalid("signatures", message));
            }
            call.reserve(read_and_shown(bytes))?;
        }
        let outcome = signature.map(|signature| (StatusCode::OK, signature.into()));
        results.push(OutcomeContent::new(outcome));
    }
    Reply::content(&ManyContent { results })
}
