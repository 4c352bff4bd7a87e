//! Imports a file into a tenant, which may have some of its content already.

use std::io::BufRead;
use std::mem;

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{Tenancy, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::KeySource;
use sigpersist_model::quotas::{QuotaPatch, Quotas};
use sigpersist_model::tenant::Tenant;
use sigpersist_model::transfer::Imported;
use sigpersist_model::transfer::{Header, Hook, HookBinding, Issuer, Judgement, Key, TenantFacts};
use sigpersist_store::Store;
use sigpersist_tlog::Kind;
use zeroize::Zeroizing;

use super::hooks::{self, Taken};
use super::log::Log;
use super::read::{Item, Lines};
use super::threads::Threads;
use super::trail::Trail;
use crate::app::App;
use crate::auth::envelope::{self, Passphrase, Sealer};
use crate::issuers::{self, NewIssuer};
use crate::policy;
use crate::tenants;

/// Judgements that are written in one transaction.
const BATCH_JUDGEMENTS: usize = 200;
/// Reads a file to its end without importing it, so that a truncated or changed file is found before anything is
/// written.
///
/// `progress` receives the number of versions and events read so far, and of all.
///
/// # Errors
///
/// [`Error::Refused`] with the number of the faulty line.
pub fn check(
    app: &App,
    slug: &str,
    arrival: Arrival<impl BufRead>,
    mut progress: impl FnMut(u64, u64),
) -> Result<()> {
    let Arrival {
        header,
        mut lines,
        sealer,
        ..
    } = arrival;
    let tenant = app.store.tenant_get(slug)?.map(|tenant| (tenant.id, slug));
    let mut trail = Trail::looked_at(app, tenant);
    let mut nothing = Imported::default();
    let mut done = 0;
    while let Some(item) = lines.next()? {
        match item {
            Item::Key(key) => {
                let Some(sealer) = &sealer else { continue };
                open_key(sealer, &key)?;
                if let Some(there) = app.store.key_get(&key.kid)?
                    && (there.public_key() != key.public_key.as_deref()
                        || there.owner.slug() != Some(slug))
                {
                    return Err(tenants::taken(&key.kid));
                }
            }
            Item::Issuer(issuer) => {
                if let Some(sealer) = &sealer {
                    open_issuer(sealer, &issuer)?;
                }
            }
            Item::AuditChain(chain) => trail.begin(chain, &mut nothing)?,
            Item::AuditEvent(event) => {
                trail.event(event, &mut nothing)?;
                done += 1;
            }
            Item::Version(_) | Item::LogEntry(_) => done += 1,
            _ => {}
        }
        progress(done, header.counts.steps());
    }
    Ok(())
}

/// A file whose header was read, and whose keys can be opened.
#[derive(Debug)]
pub struct Arrival<R> {
    header: Header,
    lines: Lines<R>,
    sealer: Option<Sealer>,
    /// SHA-256 of the header, which no other file has.
    sha256: [u8; 32],
}

impl<R: BufRead> Arrival<R> {
    /// Reads the header of a file, and derives the key that opens its keys, if they are wanted.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if this is not a tenant's file, or if the passphrase or master key is wrong.
    pub fn open(
        app: &App,
        source: R,
        passphrase: Option<&Passphrase>,
        with_keys: bool,
    ) -> Result<Self> {
        let (header, lines) = Lines::open(source, &app.config)?;
        let sealer = match with_keys {
            true => opener(app, &header, passphrase)?,
            false => None,
        };
        Ok(Self {
            sha256: lines.line_sha256(),
            header,
            lines,
            sealer,
        })
    }

    /// The slug that the tenant had where it was exported.
    pub fn tenant(&self) -> &str {
        &self.header.tenant
    }

    /// Whether the file has a log.
    pub fn has_log(&self) -> bool {
        self.header.counts.log_epochs > 0
    }
}

/// The sealer that opens the file's keys; none if there are none, or without a passphrase.
fn opener(app: &App, header: &Header, passphrase: Option<&Passphrase>) -> Result<Option<Sealer>> {
    match &header.keys {
        Some(envelope) => envelope::open(envelope, passphrase, app.vault.as_deref()),
        None => Ok(None),
    }
}

/// Decrypts a key's secret; none if only the public part of the key is known.
fn open_key(sealer: &Sealer, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let secret = sealer.open(&key.secret, &key.binding()).ok_or_else(|| {
        Error::refused(format!(
            "The key `{}` of the file was changed: export again.",
            key.kid
        ))
    })?;
    Ok(Some(secret).filter(|secret| !secret.is_empty()))
}

/// Checks that an issuer is the one that was exported.
fn open_issuer(sealer: &Sealer, issuer: &Issuer) -> Result<()> {
    match sealer.open(&issuer.seal, &issuer.binding()) {
        Some(_) => Ok(()),
        None => Err(Error::refused(format!(
            "The issuer `{}` of the file was changed: export again.",
            issuer.name
        ))),
    }
}

/// Options of an import.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Does not suspend the tenant if hooks that enforce are missing.
    pub without_hooks: bool,
}

/// Reads a file into a tenant. Blocks.
///
/// The tenant is suspended as soon as a hook that enforces turns out to be missing, before any version is imported
/// that the hook would have judged. An import at whose end nothing is missing resumes the tenant. With
/// `without_hooks`, the tenant is not suspended.
///
/// Rows that are stored identically are skipped. Rows that differ stay as they are and are reported. No hook judges
/// imported versions. `progress` receives the number of versions and events done so far, and of all.
///
/// # Errors
///
/// [`Error::Refused`] with the number of the faulty line, [`Error::TenantDeleting`] if the tenant is being deleted, also
/// if that began meanwhile, and any error of the store. Lines before that stay imported.
pub fn import(
    app: &App,
    tenant: &Tenant,
    actor: &Actor,
    arrival: Arrival<impl BufRead>,
    options: Options,
    progress: impl FnMut(u64, u64),
) -> Result<Imported> {
    let has_log = arrival.has_log();
    let Arrival {
        header,
        lines,
        sealer,
        sha256,
    } = arrival;
    let without_hooks = options.without_hooks;
    check_kept(app, tenant)?;
    // Explains whatever failed.
    let unless_deleted = |error| check_kept(app, tenant).err().unwrap_or(error);
    let event = |action| Event::new(Some(tenant.id), actor.clone(), action, &*tenant.slug);
    let from = json!({ "from": header.tenant, "exported_at": header.exported_at });
    app.store
        .audit_insert(&event("tenant.import_begin").after(from))
        .map_err(unless_deleted)?;
    let mut imported = Imported::default();
    let log =
        Log::begin(app, tenant.id, has_log, &sha256, &mut imported).map_err(unless_deleted)?;
    let mut import = Import {
        app,
        tenant: tenant.id,
        slug: &tenant.slug,
        without_hooks,
        sealer,
        actor,
        trail: Trail::into_tenant(app, tenant.id, &tenant.slug, actor),
        threads: Threads::new(app, tenant.id, actor),
        hook: None,
        judgements: Vec::new(),
        log,
        imported,
    };
    // In files of version 1 hooks come after the threads, so suspend the tenant from the start.
    let held = if header.format_version == 1 && header.counts.hooks > 0 && !without_hooks {
        import.lacks(&importing(&header.tenant))
    } else {
        Ok(())
    };
    let read = held
        .and_then(|()| import.read(lines, header.counts.steps(), progress))
        .and_then(|()| import.log.take(&mut import.imported))
        .and_then(|()| import.settle(&header.tenant))
        .and_then(|()| log_versions(app, tenant.id))
        .and_then(|()| check_kept(app, tenant))
        .map_err(unless_deleted);
    let imported = import.imported;
    let told = json!({
        "from": header.tenant,
        "exported_at": header.exported_at,
        "new_threads": imported.new_threads,
        "new_versions": imported.new_versions,
        "new_events": imported.new_events,
        "new_entries": imported.new_entries,
        "log": imported.log,
        "new_keys": imported.new_keys,
        "new_issuers": imported.new_issuers,
        "new_policies": imported.new_policies,
        "new_revisions": imported.new_revisions,
        "new_hooks": imported.new_hooks,
        "new_judgements": imported.new_judgements,
        "new_inputs": imported.new_inputs,
        "conflicts": imported.conflicts,
        "missing_hooks": imported.missing_hooks,
        "left_out": imported.left_out,
        "complete": read.is_ok() && imported.is_complete(),
    });
    app.store
        .audit_insert(&event("tenant.import").after(told))
        .map_err(unless_deleted)?;
    read.map(|()| imported)
}

/// Checks that a tenant is still there, and that nobody is deleting it.
fn check_kept(app: &App, tenant: &Tenant) -> Result<()> {
    let now = app.store.tenant_get(&tenant.slug)?;
    // Another one may have its name by now.
    let now = now.filter(|now| now.id == tenant.id);
    if now.is_some_and(|now| now.delete_after.is_none()) {
        return Ok(());
    }
    Err(Error::TenantDeleting(format!(
        "The tenant `{}` is being deleted, or was deleted during the import; import into another.",
        tenant.slug
    )))
}

/// Logs the imported versions.
fn log_versions(app: &App, tenant: TenantId) -> Result<()> {
    let log = || app.store.log_backfill(tenant, Kind::Imported);
    while app.config.evidence.log && log()? == Store::BACKFILLED_AT_ONCE {}
    Ok(())
}

/// A mark in the tenant's list of missing hooks, while a file of the tenant `from` is imported.
pub fn importing(from: &str) -> String {
    format!("import:{from}")
}

struct Import<'a> {
    app: &'a App,
    tenant: TenantId,
    slug: &'a str,
    without_hooks: bool,
    sealer: Option<Sealer>,
    actor: &'a Actor,
    trail: Trail<'a>,
    threads: Threads<'a>,
    hook: Option<(Hook, Vec<HookBinding>)>,
    judgements: Vec<Judgement>,
    log: Log<'a>,
    imported: Imported,
}

impl Import<'_> {
    fn read(
        &mut self,
        mut lines: Lines<impl BufRead>,
        steps: u64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        let mut done = 0;
        while let Some(item) = lines.next()? {
            match item {
                Item::Version(version) => {
                    done += 1;
                    self.threads.version(version, &mut self.imported)?;
                    progress(done, steps);
                }
                Item::AuditEvent(event) => {
                    done += 1;
                    self.trail.event(event, &mut self.imported)?;
                    progress(done, steps);
                }
                Item::LogEntry(entry) => {
                    done += 1;
                    self.log.entry(entry, &mut self.imported)?;
                    progress(done, steps);
                }
                Item::Thread(thread) => {
                    self.end_log()?;
                    self.threads.begin(thread);
                }
                other => {
                    // Other lines after the threads may need them.
                    self.threads.flush(&mut self.imported)?;
                    self.other(other)?;
                }
            }
        }
        self.threads.flush(&mut self.imported)?;
        self.flush_judgements()
    }

    /// Notes that the lines of the log are over. The versions that come next are in it, if it is taken.
    fn end_log(&mut self) -> Result<()> {
        self.log.end(&mut self.imported)?;
        self.threads.set_arrival(self.log.arrival());
        Ok(())
    }

    fn other(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Revision(revision) => {
                let name = format!("A revision of the plugin `{}`", revision.plugin);
                match hooks::take_revision(self.app, self.tenant, self.actor, &revision)? {
                    Taken::New => self.imported.new_revisions += 1,
                    Taken::Same => {}
                    Taken::LeftOut(why) => self.imported.leave_out(&name, &why),
                }
            }
            Item::Policy(policy) => {
                match policy::import(self.app, self.tenant, self.actor, &policy)? {
                    Ok(new) => self.imported.new_policies += new,
                    Err(why) => self.imported.leave_out("The policy", &why),
                }
            }
            Item::Hook(hook) => self.hook = Some((hook, Vec::new())),
            Item::Binding(binding) => {
                let Some((hook, bindings)) = &mut self.hook else {
                    return Err(Error::internal(
                        "a binding without its hook was let through",
                    ));
                };
                bindings.push(binding);
                if bindings.len() == hook.bindings as usize
                    && let Some((hook, bindings)) = self.hook.take()
                {
                    let taken =
                        hooks::take_hook(self.app, self.tenant, self.actor, &hook, &bindings)?;
                    if matches!(taken, Taken::LeftOut(_)) && hooks::enforces(&hook, &bindings) {
                        self.imported.missing_hooks.push(hook.name.clone());
                        self.lacks(&hook.name)?;
                    }
                    match taken {
                        Taken::New => self.imported.new_hooks += 1,
                        Taken::Same => {}
                        Taken::LeftOut(why) => {
                            let name = format!("The hook `{}`", hook.name);
                            self.imported.leave_out(&name, &why);
                        }
                    }
                }
            }
            Item::Judgement(judgement) => {
                self.judgements.push(judgement);
                if self.judgements.len() >= BATCH_JUDGEMENTS {
                    self.flush_judgements()?;
                }
            }
            Item::Input(at, body) => {
                let new = self.app.store.import_input(self.tenant, at, &body)?;
                self.imported.new_inputs += u64::from(new);
            }
            Item::Tenant(facts) => self.facts(&facts)?,
            Item::Key(key) => self.key(&key)?,
            Item::Issuer(issuer) => self.issuer(issuer)?,
            Item::AuditChain(chain) => self.trail.begin(chain, &mut self.imported)?,
            Item::LogEpoch(epoch, keys) => {
                self.log.epoch(*epoch, keys, &mut self.imported)?;
            }
            Item::LogQueued(queued) => {
                self.log.queued(queued, &mut self.imported)?;
            }
            Item::AuditEvent(_) | Item::LogEntry(_) | Item::Thread(_) | Item::Version(_) => {}
        }
        Ok(())
    }

    fn key(&mut self, key: &Key) -> Result<()> {
        let Some(sealer) = &self.sealer else {
            let name = format!("The key `{}`", key.kid);
            let why = "the file's keys are encrypted, and no passphrase was given";
            self.imported.leave_out(&name, why);
            return Ok(());
        };
        let secret = open_key(sealer, key)?;
        let tenancy = Tenancy {
            id: self.tenant,
            slug: self.slug.into(),
        };
        let new = tenants::import_key(self.app, self.actor, tenancy, key, secret)?;
        self.imported.new_keys += u64::from(new);
        Ok(())
    }

    /// Adds an issuer, or leaves it out if this server may not ask it, or another tenant here has its tokens.
    fn issuer(&mut self, issuer: Issuer) -> Result<()> {
        let what = format!("The issuer `{}`", issuer.name);
        let Some(sealer) = &self.sealer else {
            let why = "the file's keys are encrypted, and no passphrase was given";
            self.imported.leave_out(&what, why);
            return Ok(());
        };
        open_issuer(sealer, &issuer)?;
        let tenancy = Tenancy {
            id: self.tenant,
            slug: self.slug.into(),
        };
        let new = NewIssuer {
            name: issuer.name,
            issuer: issuer.issuer,
            keys: match (issuer.jwks_url, issuer.jwks) {
                (Some(url), _) => KeySource::Url(url),
                (None, Some(text)) => KeySource::Given(text),
                (None, None) => KeySource::Discovery,
            },
            rules: issuer.rules,
        };
        match issuers::import(self.app, self.actor, &tenancy, new, issuer.created_at) {
            Ok(new) => self.imported.new_issuers += u64::from(new),
            Err(Error::Refused(why)) => {
                self.imported.leave_out(&what, why.trim_end_matches('.'));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sets the name and those quotas that are not set here.
    fn facts(&mut self, facts: &TenantFacts) -> Result<()> {
        let tenant = tenants::get(self.app, self.slug)?;
        let is_named = tenant.name != tenant.slug;
        let name = facts.name.as_deref().filter(|name| *name != tenant.name);
        if name.is_some() && is_named {
            self.imported
                .leave_out("The tenant's name", "the tenant has another name here");
        }
        let differs =
            |own: Option<u64>, given: Option<u64>| own.is_some() && given.is_some() && own != given;
        if tenant.quotas.zip(facts.quotas, differs) != Quotas::default() {
            let why = "at least one has another value here";
            self.imported.leave_out("Part of the quotas", why);
        }
        let change = |own: Option<u64>, given: Option<u64>| match (own, given) {
            (None, Some(given)) => QuotaPatch::To(given),
            _ => QuotaPatch::Keep,
        };
        let quotas = tenant.quotas.zip(facts.quotas, change);
        let name = name.filter(|_| !is_named);
        tenants::update(self.app, self.actor, self.slug, name, quotas)?;
        Ok(())
    }

    /// Records that something is missing without which the tenant may not be live, and suspends it. Does nothing with
    /// `without_hooks`.
    fn lacks(&self, what: &str) -> Result<()> {
        if self.without_hooks {
            return Ok(());
        }
        let tenant = tenants::get(self.app, self.slug)?;
        let mut missing: Vec<_> = words(&tenant).collect();
        if !missing.contains(&what) {
            missing.push(what);
        }
        tenants::hold(self.app, self.actor, self.slug, Some(&missing.join(" "))).map(drop)
    }

    /// Resumes the tenant if nothing is missing any more. This includes hooks that earlier imports did not bring.
    fn settle(&mut self, from: &str) -> Result<()> {
        let tenant = tenants::get(self.app, self.slug)?;
        let these = [importing(from), importing(self.slug)];
        let mut missing = Vec::new();
        if !self.without_hooks {
            for word in words(&tenant) {
                let is_over = if word.contains(':') {
                    these.iter().any(|this| this == word)
                } else {
                    !self.imported.missing_hooks.iter().any(|hook| hook == word)
                        && self.app.store.hook_get(self.tenant, word)?.is_some()
                };
                if !is_over {
                    missing.push(word);
                }
            }
        }
        let missing = missing.join(" ");
        let missing = Some(missing.as_str()).filter(|missing| !missing.is_empty());
        self.imported.suspended = missing.is_some();
        tenants::hold(self.app, self.actor, self.slug, missing).map(drop)
    }

    fn flush_judgements(&mut self) -> Result<()> {
        let judgements = mem::take(&mut self.judgements);
        let new = self.app.store.import_judgements(self.tenant, &judgements)?;
        self.imported.new_judgements += new as u64;
        Ok(())
    }
}

/// The names of the hooks that a tenant is known to lack, and marks of unfinished imports.
fn words(tenant: &Tenant) -> impl Iterator<Item = &str> {
    let words = tenant.incomplete.as_deref().unwrap_or_default();
    words.split_whitespace()
}
