//! Host functions that a plugin can call while it runs, counted against the limits of the call.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{LogLine, RecordedReport, Verdicts, clean};
use sigpersist_model::signature::SignatureBody;
use sigpersist_runtime::examinations::Examinations;
use sigpersist_verify::pki::Budget;
use tracing::{debug, error, info, warn};
use wasmtime::Result;

use super::bindings::sigpersist::hooks::{
    cms, config, log, payload, previous, previous_verdicts, types, verdicts,
};
use super::convert::inspect;
use super::limits::{LimitBroken, MemoryLimits};
use super::verdicts::Source;
use crate::HooksConfig;

/// Data that the hooks of one request share.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) payload: Document,
    pub(super) previous: Option<(types::Signature, Document)>,
    /// The tenant whose permits are taken to parse signatures, and the source of permits.
    pub(super) examinations: Option<(TenantId, Arc<Examinations>)>,
}

impl Subject {
    /// Verification results that hooks read; none if no hook asked.
    pub(super) fn told(&self) -> Option<Verdicts> {
        let verdicts = Verdicts {
            signature: self.payload.told(),
            previous: self.previous.as_ref().and_then(|(_, it)| it.told()),
            left_out: false,
        };
        (verdicts != Verdicts::default()).then(|| verdicts.bounded())
    }

    /// Whether a hook asked for verification results that were not recorded.
    pub(super) fn lacks_verdicts(&self) -> bool {
        let previous = self.previous.as_ref().map(|(_, document)| document);
        let mut documents = [Some(&self.payload), previous].into_iter().flatten();
        documents.any(|document| matches!(document.judged.get(), Some(None)))
    }

    /// Parses or verifies a signature, after waiting for the tenant's permit.
    fn look<T>(&self, body: &SignatureBody, look: impl Fn(&Budget) -> T) -> T {
        match &self.examinations {
            Some((tenant, examinations)) => examinations.look_at_last(*tenant, body, look),
            None => look(&Budget::new()),
        }
    }
}

/// A signature's bytes, parsed at most once and verified at most once.
#[derive(Debug)]
pub(super) struct Document {
    body: SignatureBody,
    verdicts: Source,
    inspection: OnceLock<Result<cms::Inspection, cms::InspectError>>,
    /// The inner value is none if its verification results were not recorded.
    judged: OnceLock<Option<(RecordedReport, verdicts::Judgement)>>,
}

impl Document {
    pub(super) fn new(body: SignatureBody, verdicts: Source) -> Self {
        Self {
            body,
            verdicts,
            inspection: OnceLock::new(),
            judged: OnceLock::new(),
        }
    }

    fn inspect(&self, subject: &Subject) -> Result<cms::Inspection, cms::InspectError> {
        let look = || subject.look(&self.body, |budget| inspect(&self.body, budget));
        let inspection = self.inspection.get_or_init(look);
        inspection.clone()
    }

    /// Verification results of its signatures; none if they were not recorded.
    fn judge(&self, subject: &Subject) -> Option<Result<verdicts::Judgement, cms::InspectError>> {
        let judged = self
            .judged
            .get_or_init(|| self.verdicts.tell(|body, look| subject.look(body, look)));
        let (told, judgement) = judged.as_ref()?;
        if told.signers.is_empty()
            && let Err(unread) = self.inspect(subject)
        {
            return Some(Err(unread));
        }
        Some(match &told.problem {
            Some(problem) => Err(cms::InspectError::Malformed(problem.clone())),
            None => Ok(judgement.clone()),
        })
    }

    fn told(&self) -> Option<RecordedReport> {
        let judged = self.judged.get()?.as_ref();
        judged.map(|(told, _)| told.clone())
    }
}

/// Told of each line of a plugin's log as it comes.
pub type Listener = Arc<dyn Fn(&LogLine) + Send + Sync>;

/// State of one call.
pub(super) struct HostState {
    pub(super) limits: MemoryLimits,
    log: Vec<LogLine>,
    /// The last error that the guest logged, even if it was over the limit of the log.
    last_error: Option<String>,
    /// Told of each line as it comes, in place of the server's log.
    listener: Option<Listener>,
    hook: Arc<str>,
    settings: Arc<str>,
    /// Absent while a plugin describes itself or checks settings.
    subject: Option<Arc<Subject>>,
    hostcalls_left: u32,
    read_bytes_left: u64,
    log_bytes_left: usize,
    max_hostcalls: u32,
    max_read_bytes: u64,
    /// Time that the server spent reading signatures for the guest. It does not count against the guest's deadline.
    host_time: Duration,
}

impl HostState {
    pub(super) fn new(
        config: &HooksConfig,
        hook: &Arc<str>,
        settings: &Arc<str>,
        memory_bytes: u64,
        subject: Option<Arc<Subject>>,
    ) -> Self {
        Self {
            limits: MemoryLimits::new(memory_bytes, config.max_table_elements),
            hook: Arc::clone(hook),
            settings: Arc::clone(settings),
            subject,
            log: Vec::new(),
            last_error: None,
            listener: None,
            hostcalls_left: config.max_hostcalls,
            read_bytes_left: config.max_read_bytes,
            log_bytes_left: config.max_log_bytes,
            max_hostcalls: config.max_hostcalls,
            max_read_bytes: config.max_read_bytes,
            host_time: Duration::ZERO,
        }
    }

    /// Makes the call tell each line of the guest's log as it comes.
    pub(super) fn telling(self, listener: Option<Listener>) -> Self {
        Self { listener, ..self }
    }

    /// The last error that the guest logged.
    pub(super) fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Keeps a line of the guest's log.
    fn keep(&mut self, line: LogLine) {
        if let Some(listener) = &self.listener {
            listener(&line);
        }
        self.log.push(line);
    }

    /// Time that the server spent reading signatures for the guest.
    pub(super) fn host_time(&self) -> Duration {
        self.host_time
    }

    /// Parses a signature, waiting for a permit first.
    fn inspect(
        &mut self,
        document: &Document,
        subject: &Subject,
    ) -> Result<cms::Inspection, cms::InspectError> {
        let since = Instant::now();
        let inspection = document.inspect(subject);
        self.host_time += since.elapsed();
        inspection
    }

    /// Verifies a signature, waiting for a permit first.
    fn judge(
        &mut self,
        document: &Document,
        subject: &Subject,
    ) -> Result<Result<verdicts::Judgement, cms::InspectError>> {
        let since = Instant::now();
        let judgement = document.judge(subject);
        self.host_time += since.elapsed();
        judgement.ok_or_else(|| {
            wasmtime::format_err!("it asked for verdicts on signatures, which were not recorded")
        })
    }

    /// Lines that the guest logged.
    pub(super) fn into_log(self) -> Vec<LogLine> {
        self.log
    }

    fn count_hostcall(&mut self) -> Result<()> {
        self.hostcalls_left = self.hostcalls_left.checked_sub(1).ok_or(LimitBroken {
            setting: "hooks.max_hostcalls",
            value: self.max_hostcalls.into(),
            unit: "host calls",
        })?;
        Ok(())
    }

    fn subject(&mut self) -> Result<Arc<Subject>> {
        self.count_hostcall()?;
        self.subject.clone().ok_or_else(|| {
            wasmtime::format_err!("there is no signature to read while a plugin is set up")
        })
    }

    fn read(&mut self, bytes: &[u8], offset: u64, len: u32) -> Result<Vec<u8>> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get(offset..))
            .unwrap_or_default();
        let read = rest.get(..usize::try_from(len)?).unwrap_or(rest);
        self.read_bytes_left =
            self.read_bytes_left
                .checked_sub(read.len() as u64)
                .ok_or(LimitBroken {
                    setting: "hooks.max_read_bytes",
                    value: self.max_read_bytes,
                    unit: "bytes read",
                })?;
        Ok(read.to_vec())
    }
}

/// Minimum number of bytes that a line counts against the log limit, so that a guest can't write a million empty lines.
const MIN_LOG_BYTES: usize = 16;

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        self.count_hostcall()?;
        let cost = message.len().max(MIN_LOG_BYTES);
        let message = clean(&message);
        if matches!(level, log::Level::Error) {
            self.last_error = Some(message.clone());
        }
        let hook = &self.hook;
        let is_quiet = self.listener.is_some();
        let Some(left) = self.log_bytes_left.checked_sub(cost) else {
            if self.log_bytes_left > 0 {
                self.log_bytes_left = 0;
                if !is_quiet {
                    warn!(%hook, "The hook exceeded its log limit (hooks.max_log_bytes); the rest is dropped");
                }
                self.keep(LogLine {
                    level: "warn".to_owned(),
                    message:
                        "The hook exceeded its log limit (hooks.max_log_bytes); the rest is dropped."
                            .to_owned(),
                });
            }
            return Ok(());
        };
        self.log_bytes_left = left;
        match level {
            _ if is_quiet => {}
            log::Level::Debug => debug!(%hook, "{message}"),
            log::Level::Info => info!(%hook, "{message}"),
            log::Level::Warn => warn!(%hook, "{message}"),
            log::Level::Error => error!(%hook, "{message}"),
        }
        self.keep(LogLine {
            level: word(level).to_owned(),
            message,
        });
        Ok(())
    }
}

fn word(level: log::Level) -> &'static str {
    match level {
        log::Level::Debug => "debug",
        log::Level::Info => "info",
        log::Level::Warn => "warn",
        log::Level::Error => "error",
    }
}

impl config::Host for HostState {
    fn json(&mut self) -> Result<String> {
        self.count_hostcall()?;
        Ok(self.settings.to_string())
    }
}

impl payload::Host for HostState {
    fn read(&mut self, offset: u64, len: u32) -> Result<Vec<u8>> {
        let subject = self.subject()?;
        Self::read(self, &subject.payload.body.bytes, offset, len)
    }
}

impl cms::Host for HostState {
    fn inspect(&mut self) -> Result<Result<cms::Inspection, cms::InspectError>> {
        let subject = self.subject()?;
        Ok(self.inspect(&subject.payload, &subject))
    }
}

impl previous::Host for HostState {
    fn metadata(&mut self) -> Result<Option<types::Signature>> {
        Ok(self
            .subject()?
            .previous
            .as_ref()
            .map(|(metadata, _)| metadata.clone()))
    }

    fn read(&mut self, offset: u64, len: u32) -> Result<Vec<u8>> {
        let subject = self.subject()?;
        match &subject.previous {
            Some((_, document)) => Self::read(self, &document.body.bytes, offset, len),
            None => Ok(Vec::new()),
        }
    }

    fn inspect(&mut self) -> Result<Result<cms::Inspection, cms::InspectError>> {
        let subject = self.subject()?;
        Ok(match &subject.previous {
            Some((_, document)) => self.inspect(document, &subject),
            None => Err(cms::InspectError::NotCms),
        })
    }
}

impl verdicts::Host for HostState {
    fn judge(&mut self) -> Result<Result<verdicts::Judgement, cms::InspectError>> {
        let subject = self.subject()?;
        self.judge(&subject.payload, &subject)
    }
}

impl previous_verdicts::Host for HostState {
    fn judge(&mut self) -> Result<Result<verdicts::Judgement, cms::InspectError>> {
        let subject = self.subject()?;
        match &subject.previous {
            Some((_, document)) => self.judge(document, &subject),
            None => Ok(Err(cms::InspectError::NotCms)),
        }
    }
}
