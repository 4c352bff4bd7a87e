//! Many signatures in one request. Each is saved or read as by a request of its own, and has an outcome of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{Draft, Preconditions, Signature, ThreadKey};
use sigpersist_runtime::blocking;
use utoipa::ToSchema;

use super::error::{FailureOfOne, failure_of_one};
use super::events::Waiting;
use super::parameter;
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use super::signatures::{SignatureContent, draft, max_signature_bytes, read_and_shown, thread_key};
use super::streamed::{self, LineOutcome, Work};
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
pub(super) struct OutcomeContent {
    /// The status that a request of its own would have.
    #[schema(example = 201)]
    status: u16,
    /// The version; null if it failed. After a save it comes without the signature, which the caller has.
    signature: Option<SignatureContent>,
    /// The reason why it failed; null otherwise.
    error: Option<FailureOfOne>,
}

impl OutcomeContent {
    pub(super) fn new(outcome: Outcome) -> Self {
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

/// Saves up to 100 signatures, or any number as a stream.
///
/// Each is saved, refused or found saved already as by `POST /signature`, whatever becomes of the others: its `status` and
/// `error` say so. Those of one thread are saved in their order, and threads beside each other. Each counts as a request. If you
/// lose the answer, send all of them again.
///
/// After one that is not saved, later ones of its thread are not tried (424 `earlier_failed`). If one of them is not as described
/// here, or is too large, the request is refused as a whole, and nothing is saved.
///
/// With `Content-Type: application/x-ndjson`, each line of the body is a signature. Each is answered with a line as soon as it was
/// saved or refused, and the server goes on reading. A line that can't be read has an error of its own; later ones of the thread
/// that it names are not tried. Read answers while you send: if many wait for you, the server stops reading. If a stream ends early, its
/// last line says why, and its `line` is the first that was not handled.
#[utoipa::path(
    post,
    path = "/signatures",
    operation_id = "save_signatures",
    tag = "signatures",
    responses(
        (
            status = 200,
            description = "The outcome for each",
            content(
                (Envelope<ManyContent> = "application/json"),
                (LineOutcome = "application/x-ndjson"),
            ),
        ),
    )
)]
pub(super) fn save(call: Call) -> Waiting {
    Box::pin(async move {
        call.context.tenant()?;
        let may_be_sent = refuse_preconditions(&call.headers);
        if let Some(body) = call.take_lines() {
            let begun = may_be_sent.and_then(|()| streamed::begin(&call));
            return streamed::answer(call, body, begun, Work::Save).await;
        }
        may_be_sent?;
        let call = Arc::new(call);
        let under_way = call.app.meters.begin(&call.context.caller)?;
        let (permits, reading) = (call.permits().await?, Arc::clone(&call));
        let drafts = blocking::run(permits, move || read_drafts(&reading)).await??;
        let drafts = drafts.into_iter().map(Ok).enumerate().collect();
        let outcomes = save_all(&call, drafts, &mut Failed::default(), Pacing::Refuses).await;
        drop(under_way);
        let results = outcomes.into_iter().map(OutcomeContent::new).collect();
        Ok(call.done(Reply::content(&ManyContent { results })?))
    })
}

/// Refuses preconditions: they are about one version, and would have to hold for each draft.
fn refuse_preconditions(headers: &HeaderMap) -> Result<()> {
    for (name, is_there) in [
        ("if-match", headers.contains_key(IF_MATCH)),
        ("if-none-match", headers.contains_key(IF_NONE_MATCH)),
    ] {
        if is_there {
            let message = format!(
                "`{name}` is not for many signatures at once: give each its `version`, which is the one that you signed over."
            );
            return Err(Error::invalid(name, message));
        }
    }
    Ok(())
}

/// What is done if the tenant's rate does not allow a draft now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pacing {
    /// It is refused.
    Refuses,
    /// It waits, and so does the client.
    Waits,
}

impl Pacing {
    /// Takes a request from the tenant's rate.
    async fn pace(self, call: &Call) -> Result<()> {
        loop {
            match call.app.meters.pace(&call.context.caller) {
                Err(Error::QuotaExceeded {
                    retry_after: Some(wait),
                    ..
                }) if self == Self::Waits => tokio::time::sleep(wait).await,
                paced => return paced,
            }
        }
    }
}

/// Threads with a draft that was not saved, by a digest of their names.
#[derive(Debug, Default)]
pub(super) struct Failed(HashSet<[u8; 32]>);

impl Failed {
    fn digest(thread: &ThreadKey) -> [u8; 32] {
        let ThreadKey { document, thread } = thread;
        // No label has a control character.
        sha256(format!("{document}\0{thread}").as_bytes())
    }

    fn has(&self, thread: &ThreadKey) -> bool {
        self.0.contains(&Self::digest(thread))
    }

    fn add(&mut self, thread: &ThreadKey) {
        self.0.insert(Self::digest(thread));
    }

    /// How many there are.
    pub(super) fn number(&self) -> usize {
        self.0.len()
    }
}

/// A draft that can't be read, with the thread that it names, if that can be read.
pub(super) struct Unread {
    pub(super) error: Error,
    pub(super) thread: Option<ThreadKey>,
}

pub(super) type Outcome = Result<(StatusCode, SignatureContent)>;
/// Drafts with their places in the request.
type Drafts = Vec<(usize, Result<Sent, Unread>)>;

/// Saves drafts: those of one thread in their order, and threads beside each other. Gives the outcomes in the order of the drafts.
///
/// Drafts of threads in `failed` are not tried, and threads with a draft that is not saved are added to them.
pub(super) async fn save_all(
    call: &Arc<Call>,
    drafts: Drafts,
    failed: &mut Failed,
    pacing: Pacing,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(drafts.len());
    let mut threads: Vec<(Option<ThreadKey>, Drafts)> = Vec::new();
    let mut known: HashMap<ThreadKey, usize> = HashMap::new();
    for (place, draft) in drafts {
        let key = match &draft {
            Ok(sent) => Some(sent.draft.key.clone()),
            Err(unread) => unread.thread.clone(),
        };
        let next = threads.len();
        let thread = match &key {
            Some(key) => *known.entry(key.clone()).or_insert(next),
            None => next,
        };
        match threads.get_mut(thread) {
            Some((_, thread)) => thread.push((place, draft)),
            None => threads.push((key, vec![(place, draft)])),
        }
    }
    let saving = threads.into_iter().map(|(key, drafts)| {
        let has_failed = key.as_ref().is_some_and(|key| failed.has(key));
        async move { (key, save_in_order(call, drafts, has_failed, pacing).await) }
    });
    // Collected, since the threads that fail are added to those that are looked up here.
    let saving: Vec<_> = saving.collect();
    let mut saving = stream::iter(saving).buffer_unordered(at_once(call));
    while let Some((key, saved)) = saving.next().await {
        if let Some(key) = key.filter(|_| saved.iter().any(|(_, outcome)| outcome.is_err())) {
            failed.add(&key);
        }
        outcomes.extend(saved);
    }
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
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
pub(super) struct Sent {
    draft: Draft,
    attachments: Attachments,
}

impl Sent {
    /// Reads a draft from its parameters. Blocks.
    pub(super) fn read(call: &Call, parameters: &Parameters<'_>) -> Result<Self> {
        Ok(Self {
            draft: draft(parameters, max_signature_bytes(call))?,
            attachments: attachments(parameters)?,
        })
    }
}

fn read_drafts(call: &Call) -> Result<Vec<Sent>> {
    read_each(call, |parameters| Sent::read(call, parameters))
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
    drafts: Drafts,
    mut has_failed: bool,
    pacing: Pacing,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(drafts.len());
    for (place, draft) in drafts {
        let saved = match draft {
            Ok(_) if has_failed => Err(Error::EarlierFailed),
            Ok(sent) => save_one(call, sent, place, pacing).await,
            Err(unread) => count(call, place, pacing).await.and(Err(unread.error)),
        };
        has_failed |= saved.is_err();
        outcomes.push((place, saved));
    }
    outcomes
}

/// Counts one of many, by its place, as a request of its own. The whole request was counted for the first.
pub(super) async fn count(call: &Call, place: usize, pacing: Pacing) -> Result<()> {
    match place {
        0 => Ok(()),
        _ => pacing.pace(call).await,
    }
}

async fn save_one(call: &Arc<Call>, sent: Sent, place: usize, pacing: Pacing) -> Outcome {
    count(call, place, pacing).await?;
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

/// Reads up to 100 signatures, or any number as a stream: of each the current version, or an earlier one.
///
/// Each is read as by `GET /signature`; its `status` is 404 if it does not exist. Each counts as a request. Together they may have as
/// many bytes as a page of a list.
///
/// With `Content-Type: application/x-ndjson`, each line of the body names a signature. Each is answered with a line, in their order, and
/// all together may have any number of bytes. Read answers while you send: if many wait for you, the server stops reading. If a stream
/// ends early, its last line says why, and its `line` is the first that was not handled.
#[utoipa::path(
    post,
    path = "/signatures/get",
    operation_id = "get_signatures",
    tag = "signatures",
    responses(
        (
            status = 200,
            description = "The outcome for each",
            content(
                (Envelope<ManyContent> = "application/json"),
                (LineOutcome = "application/x-ndjson"),
            ),
        ),
    )
)]
pub(super) fn get(call: Call) -> Waiting {
    Box::pin(async move {
        call.context.tenant()?;
        if let Some(body) = call.take_lines() {
            let begun = streamed::begin(&call);
            return streamed::answer(call, body, begun, Work::Get).await;
        }
        let call = Arc::new(call);
        let under_way = call.app.meters.begin(&call.context.caller)?;
        let (permits, reading) = (call.permits().await?, Arc::clone(&call));
        let results = blocking::run(permits, move || get_each(&reading)).await??;
        drop(under_way);
        call.answered(Reply::content(&ManyContent { results })?)
    })
}

/// The name of a version: the current one if it has no number.
fn name(parameters: &Parameters<'_>) -> Result<(ThreadKey, Option<u32>)> {
    let version = parameters.integer(&parameter::VERSION)?;
    Ok((thread_key(parameters)?, version))
}

/// Reads the version that a line names. Blocks.
pub(super) fn get_line(call: &Call, text: &Bytes) -> Result<Signature> {
    let (key, version) = name(&call.parameters_in(text)?)?;
    signatures::get(&call.app, &call.context, &key, version)
}

/// Reads all versions that the body names. Blocks.
fn get_each(call: &Call) -> Result<Vec<OutcomeContent>> {
    let names = read_each(call, name)?;
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
    Ok(results)
}
