//! Writes a tenant's file.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Utc;
use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::digest::RunningSha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::{Issuer, KeySource};
use sigpersist_model::key::StoredKey;
use sigpersist_model::plugin::Digest;
use sigpersist_model::tenant::Tenant;
use sigpersist_model::transfer::{
    self, Anchor, Counts, End, FORMAT, FORMAT_VERSION, Header, Input, Key, Line, Policy, Revision,
    TenantFacts, Written,
};
use sigpersist_store::{ExportedInput, InputPlace, Snapshot, VersionPlace};
use tracing::warn;
use zeroize::Zeroizing;

use super::{log, trail};
use crate::app::App;
use crate::audit::Keys;
use crate::auth::envelope::{self, Opener, Sealer};
use crate::auth::key::open_secret;
use crate::log::verifying_keys;

/// Bytes of signatures that are read at once. A single larger signature is read by itself.
const PAGE_BYTES: i64 = 8 * 1024 * 1024;

/// Parts of an export that are written only on demand.
#[derive(Debug, Default)]
pub struct Options {
    /// The record of hook decisions.
    pub decisions: bool,
    /// The tenant's keys, encrypted so that this opens them.
    pub keys: Option<Opener>,
}

/// Writes all of a tenant, in one snapshot. Its keys and the decisions of its hooks are written only on demand.
/// Blocks.
///
/// `progress` receives the number of steps done and of all steps. A version is one step; an event of the audit trail
/// and an entry of the log are two, since they are verified first and written later.
///
/// # Errors
///
/// [`Error::Refused`] if the file can't be written, and any error of the store.
pub fn export(
    app: &App,
    tenant: &Tenant,
    actor: &Actor,
    output: &mut dyn Write,
    options: &Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Written> {
    let mut file = File {
        output,
        digest: RunningSha256::new(),
        counts: Counts::default(),
    };
    let event = |action| Event::new(Some(tenant.id), actor.clone(), action, &*tenant.slug);
    // Recorded before any data leaves the database: if the process is killed later, nothing else records the export.
    app.store.audit_insert(&event("tenant.export_begin"))?;
    // Only queries for the platform may read these.
    let seal_keys = app.store.seal_keys()?;
    let log_keys = verifying_keys(app)?;
    let mut faults = Vec::new();
    let made = options.keys.as_ref().map(envelope::make).transpose()?;
    let (envelope, sealer) = made.unzip();
    let written = app.store.snapshot(tenant.id, |snapshot| {
        let mut counts = snapshot.export_counts()?;
        let mut keys = Vec::new();
        if let Some(sealer) = &sealer {
            for key in snapshot.export_keys()? {
                let secret = match key.encrypted() {
                    Some(_) => Some(open_secret(&key, app.vault.as_deref())?),
                    None => None,
                };
                keys.push(sealed(&key, secret.as_ref(), sealer)?);
            }
        }
        counts.keys = keys.len() as u64;
        if let Some(sealer) = &sealer {
            let issuers = snapshot.export_issuers()?;
            counts.issuers = issuers.len() as u64;
            for issuer in issuers {
                keys.push(sealed_issuer(issuer, sealer)?);
            }
        }
        let events = snapshot.audit_count(tenant.id)?;
        let entries = snapshot
            .log_epochs()?
            .iter()
            .map(|epoch| epoch.size)
            .sum::<i64>();
        let steps = counts.versions + 2 * (events + entries.unsigned_abs());
        let mut done = 0;
        let mut step = || {
            done += 1;
            progress(done, steps);
        };
        let opened = Keys::open(&seal_keys, app.vault.as_deref(), snapshot)?;
        let chains = trail::read(snapshot, tenant, &opened, &mut step)?;
        counts.audit_chains = chains.len() as u64;
        counts.audit_events = chains.iter().map(|chain| chain.events).sum();
        for chain in &chains {
            let of = match &chain.part {
                Some(part) => format!("part {} of its audit trail", part.number),
                None => "its audit trail".to_owned(),
            };
            faults.extend(chain.faults.iter().map(|fault| format!("{of}: {fault}")));
        }
        let log = match log::read(snapshot, log_keys, &mut counts, &mut step)? {
            Ok(log) => log,
            Err(fault) => {
                (counts.log_epochs, counts.log_entries) = (0, 0);
                faults.push(format!("its log is not in the file: {fault}"));
                None
            }
        };
        if !options.decisions {
            (counts.judgements, counts.inputs) = (0, 0);
        }
        file.write(&Line::Header(Header {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            tenant: tenant.slug.clone(),
            exported_at: Utc::now(),
            counts,
            keys: envelope.clone(),
        }))?;
        file.add(&Line::Tenant(TenantFacts {
            name: Some(tenant.name.clone()).filter(|name| *name != tenant.slug),
            quotas: tenant.quotas,
        }))?;
        for key in keys {
            file.add(&key)?;
        }
        for chain in &chains {
            trail::write(snapshot, chain, |line| {
                file.add(line)?;
                if matches!(line, Line::AuditEvent(_)) {
                    step();
                }
                Ok(())
            })?;
        }
        // Policy and hooks come before the threads, so that an import knows what is missing before it writes a
        // thread.
        policy(snapshot, &mut file)?;
        hooks(snapshot, &mut file)?;
        let has_log = log.is_some();
        if let Some(log) = log {
            log::write(snapshot, log, |line| {
                file.add(line)?;
                if matches!(line, Line::LogEntry(_)) {
                    step();
                }
                Ok(())
            })?;
        }
        threads(snapshot, &mut file, has_log, &mut step)?;
        if options.decisions {
            decisions(snapshot, &mut file)?;
        }
        let end = End {
            counts: file.counts,
            sha256: Digest(file.digest.clone().finish()),
        };
        file.write(&Line::End(end))?;
        file.output.flush().map_err(unwritable)
    });
    for fault in &faults {
        warn!(tenant.id = %tenant.id, "Exported `{}` with a fault: {fault}", tenant.slug);
    }
    let told = json!({ "counts": file.counts, "complete": written.is_ok() });
    app.store
        .audit_insert(&event("tenant.export").after(told))?;
    let counts = file.counts;
    written.map(|()| Written { counts, faults })
}

/// Makes the line of a key. Its secret is encrypted, and its other fields are authenticated.
fn sealed(key: &StoredKey, secret: Option<&Zeroizing<Vec<u8>>>, sealer: &Sealer) -> Result<Line> {
    let mut line = Key {
        kid: key.kid.clone(),
        algorithm: key.algorithm.as_str().to_owned(),
        created_at: key.created_at,
        not_before: key.not_before,
        expires_at: key.expires_at,
        public_key: key.public_key().map(ToOwned::to_owned),
        secret: String::new(),
    };
    let secret = secret.map(|secret| secret.as_slice()).unwrap_or_default();
    line.secret = sealer.seal(secret, &line.binding())?;
    Ok(Line::Key(line))
}

/// Makes the line of an issuer. All of it is authenticated.
fn sealed_issuer(issuer: Issuer, sealer: &Sealer) -> Result<Line> {
    let (jwks_url, jwks) = match issuer.keys {
        KeySource::Discovery => (None, None),
        KeySource::Url(url) => (Some(url), None),
        KeySource::Given(text) => (None, Some(text)),
    };
    let mut line = transfer::Issuer {
        name: issuer.name,
        issuer: issuer.issuer,
        created_at: issuer.created_at,
        jwks_url,
        jwks,
        rules: issuer.rules,
        seal: String::new(),
    };
    line.seal = sealer.seal(&[], &line.binding())?;
    Ok(Line::Issuer(line))
}

fn threads(
    snapshot: &mut Snapshot<'_>,
    file: &mut File<'_>,
    has_log: bool,
    mut progress: impl FnMut(),
) -> Result<()> {
    let mut after = VersionPlace::default();
    loop {
        let page = snapshot.export_versions(after, PAGE_BYTES, has_log)?;
        if page.is_empty() {
            return Ok(());
        }
        for exported in page {
            after = exported.place;
            if exported.version.version == 1 {
                file.add(&Line::Thread(exported.thread))?;
            }
            file.add(&exported.version.into_line())?;
            progress();
        }
    }
}

fn policy(snapshot: &mut Snapshot<'_>, file: &mut File<'_>) -> Result<()> {
    let Some((policy, anchors)) = snapshot.export_policy()? else {
        return Ok(());
    };
    let anchors = anchors.iter().map(|anchor| Anchor {
        created_at: anchor.created_at,
        pem: anchor.pem(),
    });
    file.add(&Line::Policy(Policy {
        policy,
        trust_anchors: anchors.collect(),
    }))
}

fn hooks(snapshot: &mut Snapshot<'_>, file: &mut File<'_>) -> Result<()> {
    for (plugin_id, plugin, sha256) in snapshot.export_revisions()? {
        let revision = snapshot.export_component(plugin_id, sha256)?;
        file.add(&Line::Revision(Revision {
            plugin,
            cases: revision.cases,
            origin: revision.origin,
            signature: revision.signature,
            component: BASE64.encode(revision.component),
        }))?;
    }
    for hook in snapshot.export_hooks()? {
        file.add(&Line::Hook(hook.clone()))?;
        let mut last = 0;
        while last < hook.bindings {
            for binding in snapshot.export_bindings(&hook.name, last)? {
                last = binding.number;
                file.add(&Line::Binding(binding))?;
            }
        }
    }
    Ok(())
}

fn decisions(snapshot: &mut Snapshot<'_>, file: &mut File<'_>) -> Result<()> {
    let mut after = None;
    loop {
        let (judgements, next) = snapshot.export_judgements(after)?;
        for judgement in judgements {
            file.add(&Line::Judgement(judgement))?;
        }
        if next.is_none() {
            break;
        }
        after = next;
    }
    let mut after = InputPlace::default();
    loop {
        let inputs = snapshot.export_inputs(&after)?;
        if inputs.is_empty() {
            return Ok(());
        }
        for ExportedInput { place, at, body } in inputs {
            after = place;
            let signature = body.to_text();
            file.add(&Line::Input(Input { at, signature }))?;
        }
    }
}

struct File<'a> {
    output: &'a mut dyn Write,
    digest: RunningSha256,
    counts: Counts,
}

impl File<'_> {
    /// Writes a line between header and end.
    fn add(&mut self, line: &Line) -> Result<()> {
        self.counts.add(line);
        let text = self.write(line)?;
        self.digest.update(&text);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(line).map_err(Error::internal)?;
        text.push(b'\n');
        self.output.write_all(&text).map_err(unwritable)?;
        Ok(text)
    }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::refused(format!("The export can't be written: {error}."))
}
