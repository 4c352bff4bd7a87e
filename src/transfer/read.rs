//! Reads a tenant's file line by line, and checks each line.

use std::fmt::Display;
use std::io::{BufRead, Read as _};
use std::mem;

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::Value;
use sigpersist_model::audit::Recorded;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Decision, Input, Outcome};
use sigpersist_model::digest::{RunningSha256, sha256};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::{Epoch, Numbered, Queued};
use sigpersist_model::plugin::Operation;
use sigpersist_model::quotas::Quotas;
use sigpersist_model::signature::{
    SignatureBody, ThreadKey, check_comment, check_label, fold_tags,
};
use sigpersist_model::tenant::check_name;
use sigpersist_model::transfer::{
    AuditChain, Counts, End, FORMAT, FORMAT_VERSION, Header, Hook, HookBinding, ImportedKey,
    Issuer, Judgement, Key, Line, MAX_THREAD_ID, Policy, Revision, StoredVersion, TenantFacts,
    Thread, VerdictLine, Version,
};

use super::log::Walk;
use crate::config::Config;
use crate::signatures::MAX_VERDICTS;
use crate::signatures::summary::{self, Summary};

/// Bytes that the test cases of a component may take as JSON.
const MAX_CASES_BYTES: usize = 4 * 1024 * 1024;

/// The part of the first line that every version of the format has.
#[derive(serde::Deserialize)]
struct FirstLine {
    header: Format,
}

#[derive(serde::Deserialize)]
struct Format {
    format: String,
    format_version: u32,
}

/// The content of a line other than header and end.
#[derive(Debug)]
pub(super) enum Item {
    Tenant(TenantFacts),
    Key(Key),
    Issuer(Issuer),
    AuditChain(AuditChain),
    AuditEvent(Recorded),
    LogEpoch(Box<Epoch>, Vec<ImportedKey>),
    LogEntry(Numbered),
    LogQueued(Queued),
    Thread(Thread),
    Version(StoredVersion),
    Policy(Policy),
    Revision(Revision),
    Hook(Hook),
    Binding(HookBinding),
    Judgement(Judgement),
    Input(DateTime<Utc>, SignatureBody),
}

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    max_bytes: usize,
    line: Vec<u8>,
    number: u64,
    digest: RunningSha256,
    counts: Counts,
    follows: Follows,
    log: Walk,
    /// The thread whose versions come, and its id.
    thread: Option<(Option<i64>, ThreadKey)>,
}

/// The kind of the next line, with its expected number and the last number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Anything,
    Version {
        next: u32,
        last: u32,
    },
    Binding {
        next: u32,
        last: u32,
    },
    /// An event with a number above `after`. `chain` is the number of the tenant where the events happened; `left`
    /// events are still to come.
    AuditEvent {
        chain: TenantId,
        after: i64,
        left: u64,
    },
    /// So many entries of a tree of the log.
    LogEntry {
        left: i64,
    },
}

impl Follows {
    fn after(next: u32, last: u32, follows: impl FnOnce(u32, u32) -> Self) -> Self {
        if next > last {
            Self::Anything
        } else {
            follows(next, last)
        }
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads the header.
    pub(super) fn open(source: R, config: &Config) -> Result<(Header, Self)> {
        let component = config.hooks.max_component_bytes.div_ceil(3) * 4 + MAX_CASES_BYTES;
        let mut lines = Self {
            source,
            max_bytes: config.http.max_body_bytes().max(component),
            line: Vec::new(),
            number: 0,
            digest: RunningSha256::new(),
            counts: Counts::default(),
            follows: Follows::Anything,
            log: Walk::new(),
            thread: None,
        };
        lines.read_line()?;
        // The header of a newer format may have unknown fields, so look at its version first.
        if let Ok(FirstLine { header }) = serde_json::from_slice(&lines.line)
            && (header.format != FORMAT || !(1..=FORMAT_VERSION).contains(&header.format_version))
        {
            return Err(lines.fault(format!(
                "the file is of the format `{}`, version {}; this program reads `{FORMAT}`, versions 1 to {FORMAT_VERSION}: import it with a program at least as new as the one that wrote it",
                header.format, header.format_version
            )));
        }
        match lines.parse()? {
            Line::Header(header) => Ok((header, lines)),
            _ => Err(lines.fault("it is not the header that the file of a tenant begins with")),
        }
    }

    /// SHA-256 of the line that was read last.
    pub(super) fn line_sha256(&self) -> [u8; 32] {
        sha256(&self.line)
    }

    /// Reads the next item; none at the end of a complete file.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        self.read_line()?;
        let line = self.parse()?;
        if let Line::End(end) = line {
            return self.end(&end).map(|()| None);
        }
        self.digest.update(&self.line);
        self.counts.add(&line);
        let before = self.follows;
        self.follow(&line)?;
        self.item(line, before).map(Some)
    }

    /// An error about the current line.
    fn fault(&self, what: impl Display) -> Error {
        Error::refused(format!("Line {} of the file: {what}.", self.number))
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        let most = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        let mut bounded = (&mut self.source).take(most);
        if let Err(error) = bounded.read_until(b'\n', &mut self.line) {
            return Err(Error::refused(format!("The file can't be read: {error}.")));
        }
        if self.line.is_empty() {
            return Err(Error::refused(format!(
                "The file ends after line {} without its last line: it was cut off. Get the complete file, then import it again.",
                self.number
            )));
        }
        self.number += 1;
        if self.line.last() != Some(&b'\n') {
            return Err(if self.line.len() == self.max_bytes {
                self.fault(format!(
                    "it has more than {} bytes, the maximum by http.max_signature_bytes and hooks.max_component_bytes here",
                    self.max_bytes
                ))
            } else {
                self.fault("it is incomplete: the file was cut off. Get the complete file, then import it again")
            });
        }
        Ok(())
    }

    fn parse(&self) -> Result<Line> {
        serde_json::from_slice(&self.line).map_err(|error| {
            // `serde_json` always says line 1, since each line of the file is parsed by itself.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            self.fault(format!(
                "it is not valid, at column {}: {words}",
                error.column()
            ))
        })
    }

    fn end(&mut self, end: &End) -> Result<()> {
        if self.follows != Follows::Anything {
            return Err(self.fault("it comes too early"));
        }
        if end.counts != self.counts || end.sha256.0 != self.digest.clone().finish() {
            return Err(self.fault(
                "the lines before it are not those that were exported: some were changed, added or removed",
            ));
        }
        let mut rest = [0];
        match self.source.read(&mut rest) {
            Ok(0) => Ok(()),
            _ => Err(self.fault("the file goes on after it")),
        }
    }

    /// Checks that the line may come here.
    fn follow(&mut self, line: &Line) -> Result<()> {
        let version = |next, last| Follows::Version { next, last };
        let binding = |next, last| Follows::Binding { next, last };
        self.follows = match (self.follows, line) {
            (Follows::Anything, Line::Thread(thread)) if thread.versions > 0 => {
                version(1, thread.versions)
            }
            (Follows::Anything, Line::AuditChain(chain)) if chain.events > 0 => {
                Follows::AuditEvent {
                    chain: TenantId(chain.tenant_id),
                    after: i64::MIN,
                    left: chain.events,
                }
            }
            (Follows::Anything, Line::LogEpoch(epoch)) if epoch.size > 0 => {
                Follows::LogEntry { left: epoch.size }
            }
            (Follows::LogEntry { left }, Line::LogEntry(_)) => match left - 1 {
                0 => Follows::Anything,
                left => Follows::LogEntry { left },
            },
            (Follows::Anything, Line::Hook(hook)) if hook.bindings > 0 => binding(1, hook.bindings),
            (
                Follows::Anything,
                Line::Tenant(_)
                | Line::Key(_)
                | Line::Issuer(_)
                | Line::AuditChain(_)
                | Line::LogEpoch(_)
                | Line::LogQueued(_)
                | Line::Policy(_)
                | Line::Revision(_)
                | Line::Judgement(_)
                | Line::Input(_),
            ) => Follows::Anything,
            (Follows::Version { next, last }, Line::Version(line)) if line.version == next => {
                Follows::after(next + 1, last, version)
            }
            (Follows::Binding { next, last }, Line::Binding(line)) if line.number == next => {
                Follows::after(next + 1, last, binding)
            }
            (Follows::AuditEvent { chain, after, left }, Line::AuditEvent(line))
                if line.number > after =>
            {
                match left - 1 {
                    0 => Follows::Anything,
                    left => Follows::AuditEvent {
                        chain,
                        after: line.number,
                        left,
                    },
                }
            }
            (Follows::Version { next, last }, _) => {
                return Err(self.fault(format!("it must be version {next} of {last}")));
            }
            (Follows::Binding { next, last }, _) => {
                return Err(self.fault(format!("it must be binding {next} of {last}")));
            }
            (Follows::LogEntry { left }, _) => {
                return Err(self.fault(format!(
                    "it must be an entry of the log: {left} of its tree are still to come"
                )));
            }
            (Follows::AuditEvent { after, left, .. }, _) => {
                return Err(self.fault(match after {
                    i64::MIN => format!("it must be the first of {left} events of the audit trail"),
                    _ => format!("it must be an event of the audit trail after number {after}"),
                }));
            }
            (Follows::Anything, _) => return Err(self.fault("it is in the wrong place")),
        };
        Ok(())
    }

    fn item(&mut self, line: Line, place: Follows) -> Result<Item> {
        Ok(match line {
            Line::Tenant(facts) => {
                self.facts(&facts)?;
                Item::Tenant(facts)
            }
            Line::Key(key) => Item::Key(key),
            Line::Issuer(issuer) => Item::Issuer(issuer),
            Line::AuditChain(chain) => {
                chain.check().map_err(|error| self.fault(error))?;
                Item::AuditChain(chain)
            }
            Line::AuditEvent(event) => {
                let Follows::AuditEvent { chain, .. } = place else {
                    return Err(self.fault("it is in the wrong place"));
                };
                let event = event.into_recorded(chain);
                Item::AuditEvent(event.map_err(|error| self.fault(error))?)
            }
            Line::LogEpoch(epoch) => {
                let (epoch, keys) = self.log.epoch(epoch).map_err(|error| self.fault(error))?;
                Item::LogEpoch(Box::new(epoch), keys)
            }
            Line::LogEntry(entry) => {
                Item::LogEntry(self.log.entry(entry).map_err(|error| self.fault(error))?)
            }
            Line::LogQueued(queued) => {
                Item::LogQueued(self.log.queued(queued).map_err(|error| self.fault(error))?)
            }
            Line::Thread(thread) => {
                if thread
                    .id
                    .is_some_and(|id| !(1..=MAX_THREAD_ID).contains(&id))
                {
                    return Err(self.fault(format!("a thread's id is from 1 to {MAX_THREAD_ID}")));
                }
                self.label("document", Some(&thread.document))?;
                self.label("thread", Some(&thread.thread))?;
                self.log.end();
                let key = ThreadKey {
                    document: thread.document.clone(),
                    thread: thread.thread.clone(),
                };
                self.thread = Some((thread.id, key));
                Item::Thread(thread)
            }
            Line::Version(version) => Item::Version(self.version(version)?),
            Line::Policy(policy) => Item::Policy(policy),
            Line::Revision(revision) => Item::Revision(revision),
            Line::Hook(hook) => Item::Hook(hook),
            Line::Binding(binding) => Item::Binding(binding),
            Line::Judgement(judgement) => {
                self.label("document", Some(&judgement.document))?;
                self.label("thread", Some(&judgement.thread))?;
                self.judgement(&judgement)?;
                Item::Judgement(judgement)
            }
            Line::Input(input) => Item::Input(input.at, SignatureBody::from_text(&input.signature)),
            Line::Header(_) | Line::End(_) => return Err(self.fault("it is in the wrong place")),
        })
    }

    fn facts(&self, facts: &TenantFacts) -> Result<()> {
        if let Some(name) = &facts.name {
            check_name(name).map_err(|error| self.broken(&error))?;
        }
        let is_too_high =
            |quota: Option<u64>| quota.is_some_and(|quota| i64::try_from(quota).is_err());
        if facts.quotas.map(is_too_high) != Quotas::default() {
            return Err(self.fault(format!("a quota is above {}", i64::MAX)));
        }
        Ok(())
    }

    fn version(&self, mut version: Version) -> Result<StoredVersion> {
        self.label("stage", version.stage.as_deref())?;
        self.label("created_by", version.created_by.as_deref())?;
        if let Some(comment) = &version.comment {
            check_comment("comment", comment).map_err(|error| self.broken(&error))?;
        }
        let tags =
            fold_tags("tags", mem::take(&mut version.tags)).map_err(|error| self.broken(&error))?;
        let body = SignatureBody::from_text(&version.signature);
        if body.sha256 != version.sha256.0 {
            return Err(
                self.fault("the signature was changed: its SHA-256 is not the exported one")
            );
        }
        self.verdicts(&version.verdicts)?;
        let Some((id, key)) = &self.thread else {
            return Err(self.fault("it is in the wrong place"));
        };
        let encoding = body.encoding.as_str();
        let salt = self
            .log
            .version(*id, key, &version, &tags, encoding)
            .map_err(|error| self.fault(error))?;
        Ok(StoredVersion {
            version: version.version,
            created_at: version.created_at,
            stage: version.stage,
            created_by: version.created_by,
            comment: version.comment,
            tags,
            body,
            salt,
            verdicts: version.verdicts,
        })
    }

    /// Checks that the verdicts are like those that this program records.
    fn verdicts(&self, verdicts: &[VerdictLine]) -> Result<()> {
        if verdicts.len() > MAX_VERDICTS as usize {
            return Err(self.fault(format!("it has more than {MAX_VERDICTS} verdicts")));
        }
        for VerdictLine { verdict, .. } in verdicts {
            self.storable(verdict)?;
            let members = verdict.as_object().map(|it| it.keys().map(String::as_str));
            let known = members
                .is_some_and(|mut members| members.all(|name| Summary::MEMBERS.contains(&name)));
            if !known || verdict.to_string().len() > summary::MAX_BYTES {
                return Err(self.fault("it has an invalid verdict"));
            }
        }
        Ok(())
    }

    /// Checks that Postgres can store some JSON, which must not contain U+0000.
    fn storable(&self, json: &Value) -> Result<()> {
        let has = |text: &str| text.contains('\0');
        let found = match json {
            Value::String(text) => has(text),
            Value::Array(all) => return all.iter().try_for_each(|one| self.storable(one)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.storable(value)?;
                    if has(name) {
                        return self.storable(&Value::String(name.clone()));
                    }
                }
                false
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        if found {
            return Err(self.fault("it contains the character U+0000"));
        }
        Ok(())
    }

    /// Checks that a judgement can be read again.
    fn judgement(&self, judgement: &Judgement) -> Result<()> {
        let words = judgement
            .operation
            .parse::<Operation>()
            .map(drop)
            .and_then(|()| judgement.outcome.parse::<Outcome>().map(drop));
        words.map_err(|message| self.fault(message))?;
        let unread = |error: serde_json::Error| self.fault(error.to_string());
        let input = Input::deserialize(&judgement.input).map_err(unread)?;
        Vec::<Decision>::deserialize(&judgement.decisions).map_err(unread)?;
        if input.verdicts.is_some_and(|told| !told.fits()) {
            return Err(self.fault("its `verdicts` are larger than the server records"));
        }
        self.storable(&judgement.input)?;
        self.storable(&judgement.decisions)
    }

    fn label(&self, name: &str, text: Option<&str>) -> Result<()> {
        match text {
            Some(text) => check_label(name, text).map_err(|error| self.broken(&error)),
            None => Ok(()),
        }
    }

    /// An error about a rule of the domain that the current line breaks.
    fn broken(&self, rule: &Error) -> Error {
        self.fault(rule.to_string().trim_end_matches('.'))
    }
}
