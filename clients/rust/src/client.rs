//! The client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, HeaderName, IF_MATCH};
use serde_json::Value;

use crate::draft::Draft;
use crate::error::{Details, Error, Refusal};
use crate::events::Events;
use crate::file::StoredFile;
use crate::many;
use crate::pages::Pages;
use crate::request::Request;
use crate::retry::Patience;
use crate::token::Token;
use crate::transport::{Transport, TransportBuilder};
use crate::types::{OneContent, Saved, Signature, SignaturePage};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Versions that are asked to be countersigned before a lost race is an error.
const ROUNDS: u32 = 5;
/// Room for the server's own timeouts before a connection counts as dead.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What an application asks of Sigpersist, for one tenant. Clones share their connections, so keep one client.
///
/// Requests without an answer are sent again unchanged, and those answered 429 or 503 after as long as `Retry-After` says.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) token: Token,
    pub(crate) timeout: Duration,
    pub(crate) patience: Patience,
    pub(crate) traceparent: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
    request_id: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl Inner {
    pub(crate) fn next_request_id(&self) -> String {
        if let Some(next) = &self.request_id {
            return next();
        }
        let mut bytes = [0; 16];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            // Without random numbers, an id of zeros is as good as none.
            bytes = [0; 16];
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client")
            .field(self.0.transport.url())
            .finish()
    }
}

/// Settings of a [`Client`].
#[must_use]
pub struct ClientBuilder {
    transport: TransportBuilder,
    token: Token,
    timeout: Duration,
    patience: Patience,
    traceparent: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
    request_id: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl ClientBuilder {
    /// Sets the longest time to wait for an answer; 60 seconds if it is not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest time to wait for a connection; 5 seconds if it is not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport = self.transport.connect_timeout(timeout);
        self
    }

    /// Sets how often a request is sent at most; 5 if it is not set, 1 to never send it again.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.patience.attempts = attempts.max(1);
        self
    }

    /// Sets the longest wait that `Retry-After` may ask for; 30 seconds if it is not set. If it is longer, the error is returned
    /// at once.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.patience.longest_wait = wait;
        self
    }

    /// Trusts only these authorities, in DER, instead of those of the operating system.
    pub fn trust(mut self, authorities: Vec<Vec<u8>>) -> Self {
        self.transport = self.transport.trust(authorities);
        self
    }

    /// Sets a function that returns the current trace in the words of W3C Trace Context, so that the server's spans belong to it.
    pub fn traceparent(
        mut self,
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.traceparent = Some(Arc::new(current));
        self
    }

    /// Sets a function that returns an id for the next request, up to 128 letters, digits and `-_.:`; random if it is not set.
    pub fn request_id(mut self, next: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.request_id = Some(Arc::new(next));
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the authorities can't be used, or the proxy that the environment names.
    pub fn build(self) -> Result<Client, Error> {
        // The client has a timeout for the whole, which may be longer while the server waits.
        let transport = self.transport.idle_timeout(self.timeout + DEFAULT_TIMEOUT);
        Ok(Client(Arc::new(Inner {
            transport: transport.build()?,
            token: self.token,
            timeout: self.timeout,
            patience: self.patience,
            traceparent: self.traceparent,
            request_id: self.request_id,
        })))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientBuilder")
            .field(&self.transport)
            .finish()
    }
}

/// Signatures to list. The default is all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this document.
    pub document: Option<String>,
    /// Only this thread.
    pub thread: Option<String>,
    /// Only this stage.
    pub stage: Option<String>,
    /// Only with one of these tags, or with all of them if `all_tags` is set.
    pub tags: Vec<String>,
    /// Whether all tags must match.
    pub all_tags: bool,
    /// Only signatures that one of these signed in any version: `iin:`, `bin:` or `sha256:` and a value, or `serial:` and a
    /// serial number, a comma and the issuer.
    pub signer: Vec<String>,
    /// Only signatures that none of these signed.
    pub not_signed_by: Vec<String>,
    /// Only with one of these verdicts on the current version: `passed`, `indeterminate`, `failed`.
    pub verdict: Vec<String>,
    /// Only if the first version was saved at this time or later. Times are as the API writes them.
    pub created_since: Option<String>,
    /// Only if the first version was saved before this time.
    pub created_until: Option<String>,
    /// Only if the current version was saved at this time or later, in the order of these times.
    pub updated_since: Option<String>,
    /// Only if the current version was saved before this time, in the order of these times.
    pub updated_until: Option<String>,
    /// Whether the time of the current version orders the list.
    pub by_last_change: bool,
    /// Whether the oldest come first.
    pub ascending: bool,
    /// Whether the signatures themselves are included.
    pub include_signature: bool,
}

impl Filter {
    fn request(&self, limit: u32) -> Request {
        let mut request = Request::get("/signatures")
            .with_given("document", self.document.as_ref())
            .with_given("thread", self.thread.as_ref())
            .with_given("stage", self.stage.as_ref())
            .with_given("tags_match", self.all_tags.then_some("all"))
            .with_given("created_since", self.created_since.as_ref())
            .with_given("created_until", self.created_until.as_ref())
            .with_given("updated_since", self.updated_since.as_ref())
            .with_given("updated_until", self.updated_until.as_ref())
            .with_given("order", self.by_last_change.then_some("updated"))
            .with_given("direction", self.ascending.then_some("asc"))
            .with_given("omit", (!self.include_signature).then_some("signature"))
            .with("limit", limit);
        for (name, values) in [
            ("tags", &self.tags),
            ("signer", &self.signer),
            ("not_signed_by", &self.not_signed_by),
            ("verdict", &self.verdict),
        ] {
            for value in values {
                request = request.with(name, value);
            }
        }
        request
    }
}

impl Client {
    /// A client of the server at `url`, with default settings.
    ///
    /// # Errors
    ///
    /// As [`Self::builder`] and [`ClientBuilder::build`].
    pub fn new(url: &str, token: impl Into<Token>) -> Result<Self, Error> {
        Self::builder(url, token)?.build()
    }

    /// Settings of a client of the server at `url`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `url` is no URL of a server.
    pub fn builder(url: &str, token: impl Into<Token>) -> Result<ClientBuilder, Error> {
        Ok(ClientBuilder {
            transport: Transport::builder(url.parse().map_err(Error::Invalid)?),
            token: token.into(),
            timeout: DEFAULT_TIMEOUT,
            patience: Patience {
                attempts: 5,
                longest_wait: Duration::from_secs(30),
            },
            traceparent: None,
            request_id: None,
        })
    }

    /// Saves a signature. An identical request that was done before is answered as then.
    ///
    /// # Errors
    ///
    /// `version_conflict` if the version that was signed is not the current one, and everything that the server refuses.
    pub async fn save(&self, draft: &Draft) -> Result<Saved, Error> {
        let mut request = Request::new(Method::POST, "/signature").json(draft)?;
        if draft.wait_s > 0 {
            let prefer = HeaderName::from_static("prefer");
            request = request.header(prefer, &format!("wait={}", draft.wait_s));
            request.wait_s = draft.wait_s;
        }
        let answer = self.0.send(&request).await?;
        let content: OneContent = answer.content()?;
        Ok(Saved {
            signature: content.signature,
            is_new: answer.status == http::StatusCode::CREATED,
            evidence: content.evidence,
        })
    }

    /// Saves many signatures, 100 in a request, and returns what became of each, in their order.
    ///
    /// Those of one thread are saved in their order. Those that are told to wait (429, 503) are sent again after that time;
    /// what still has to wait in the end is a refusal with `retry_after`.
    ///
    /// # Errors
    ///
    /// An error of a whole request, perhaps after others were saved: call it again with all of them, since nothing is saved twice.
    pub async fn save_many(
        &self,
        drafts: &[Draft],
    ) -> Result<Vec<Result<Saved, Box<Refusal>>>, Error> {
        many::save(&self.0, drafts).await
    }

    /// Saves what `sign` makes of the current version, and returns what is stored then.
    ///
    /// If another writer was faster, `sign` is asked again, with what that one saved, five times at most. It makes a draft with
    /// [`Signature::countersigned`], or returns none to leave the current version as it is.
    ///
    /// # Errors
    ///
    /// `version_conflict` if others were always faster, [`Error::Signer`] if `sign` fails, and the errors of [`Self::get`] and
    /// [`Self::save`].
    pub async fn countersign<F, S>(
        &self,
        document: &str,
        thread: &str,
        mut sign: F,
    ) -> Result<Signature, Error>
    where
        F: FnMut(Signature) -> S,
        S: Future<Output = Result<Option<Draft>, BoxError>>,
    {
        let mut round = 0;
        loop {
            round += 1;
            let previous = self.get(document, thread, None).await?;
            let signed = sign(previous.clone()).await.map_err(Error::Signer)?;
            let Some(draft) = signed else {
                return Ok(previous);
            };
            match self.save(&draft).await {
                Ok(saved) => return Ok(saved.signature),
                Err(Error::Refused(refusal)) if refusal.is_conflict() && round < ROUNDS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the current version, or an earlier one.
    ///
    /// # Errors
    ///
    /// `signature_not_found` if there is none.
    pub async fn get(
        &self,
        document: &str,
        thread: &str,
        version: Option<u32>,
    ) -> Result<Signature, Error> {
        let request = of_thread(Request::get("/signature"), document, thread);
        let request = request.with_given("version", version);
        let content: OneContent = self.0.send(&request).await?.content()?;
        Ok(content.signature)
    }

    /// Reads the current versions of many threads, given as documents and threads, 100 in a request. Returns each in their
    /// order, or why it can't be read.
    ///
    /// # Errors
    ///
    /// An error of a whole request.
    pub async fn get_many<D: AsRef<str>, T: AsRef<str>>(
        &self,
        threads: &[(D, T)],
    ) -> Result<Vec<Result<Signature, Box<Refusal>>>, Error> {
        let threads = threads.iter();
        let threads: Vec<_> = threads.map(|(d, t)| (d.as_ref(), t.as_ref())).collect();
        many::get(&self.0, &threads).await
    }

    /// Reads the current version, or an earlier one, as a file: CMS as DER or BER, XML as it was saved.
    ///
    /// # Errors
    ///
    /// `signature_not_found` if there is none.
    pub async fn get_file(
        &self,
        document: &str,
        thread: &str,
        version: Option<u32>,
    ) -> Result<StoredFile, Error> {
        let request = of_thread(Request::get("/signature"), document, thread)
            .with_given("version", version)
            .header(ACCEPT, StoredFile::TYPES);
        StoredFile::read(self.0.send(&request).await?)
    }

    /// Deletes a thread with all its versions; if `version` is given, only if that is the current one. Returns false if there
    /// was none, as after an earlier delete.
    ///
    /// # Errors
    ///
    /// `precondition_failed` if the current version is another one.
    pub async fn delete(
        &self,
        document: &str,
        thread: &str,
        version: Option<u32>,
    ) -> Result<bool, Error> {
        let mut request = of_thread(Request::new(Method::DELETE, "/signature"), document, thread);
        if let Some(version) = version {
            request = request.header(IF_MATCH, &format!("\"{version}\""));
        }
        match self.0.send(&request).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == "signature_not_found" => Ok(false),
            Err(error) => match error.details() {
                Some(Details::PreconditionFailed { current_version: 0 }) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// The versions of a thread, newest first, page by page. Their signatures are left out unless you include them.
    pub fn versions(&self, document: &str, thread: &str, include_signature: bool) -> Pages {
        let request = of_thread(Request::get("/signature/versions"), document, thread)
            .with_given("omit", (!include_signature).then_some("signature"))
            .with("limit", 50);
        Pages::new(self.clone(), request)
    }

    /// The current versions of signatures, newest thread first, page by page.
    pub fn signatures(&self, filter: &Filter) -> Pages {
        Pages::new(self.clone(), filter.request(50))
    }

    /// A page of signatures, from a cursor on, with the number of all matches if `count` is set.
    ///
    /// # Errors
    ///
    /// `invalid_parameter` if the cursor is none of this list.
    pub async fn signature_page(
        &self,
        filter: &Filter,
        limit: u32,
        cursor: Option<&str>,
        count: bool,
    ) -> Result<SignaturePage, Error> {
        let request = filter
            .request(limit)
            .with_given("cursor", cursor)
            .with_given("count", count.then_some(true));
        self.0.send(&request).await?.content()
    }

    /// What happened to the tenant. Needs a token with the scope `events:read`.
    pub fn events(&self) -> Events {
        Events::new(self.clone())
    }

    /// Sends any other request, and returns the content of its answer. Say whether sending it twice does the same as sending it
    /// once: otherwise it is not sent again if there is no answer.
    ///
    /// # Errors
    ///
    /// Whatever the server refuses.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        is_repeatable: bool,
    ) -> Result<Value, Error> {
        let mut request = Request::new(method, path);
        for (name, value) in query {
            request = request.with(name, value);
        }
        if let Some(body) = body {
            request = request.json(body)?;
        }
        request.is_repeatable = is_repeatable;
        self.0.send(&request).await?.content()
    }
}

fn of_thread(request: Request, document: &str, thread: &str) -> Request {
    request.with("document", document).with("thread", thread)
}
