//! Reading a tenant's file into a tenant, which may have some of it already.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::mem;

use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::hooks::{self, Taken};
use super::model::{
    BodyMark, Header, Hook, HookBinding, Judgement, Key, Part, StoredVersion, TenantFacts, Thread,
};
use super::read::{Item, Lines};
use crate::app::App;
use crate::audit::{Actor, Event};
use crate::auth::envelope::{Passphrase, Sealer};
use crate::context::{Tenancy, TenantId};
use crate::error::{Error, Result};
use crate::policy;
use crate::signatures::model::{SignatureId, ThreadKey};
use crate::signatures::recreated;
use crate::store::{KnownThread, NewPart};
use crate::tenants;
use crate::tenants::model::Tenant;
use crate::tenants::quotas::{Change, Quotas};

/// Bytes of signatures in one transaction, but for one that is larger by itself.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Versions in one transaction.
const BATCH_VERSIONS: usize = 2_000;
/// Judgements in one transaction.
const BATCH_JUDGEMENTS: usize = 200;
/// How often a batch is looked at anew because others saved or deleted meanwhile.
const ATTEMPTS: usize = 5;
/// Most things that are told of those which were not imported.
const MAX_TOLD: usize = 100;

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Threads that were not there.
    pub new_threads: u64,
    /// Versions that were not there, those of new threads among them.
    pub new_versions: u64,
    /// Versions that were there already.
    pub same_versions: u64,
    /// Keys that were not there.
    pub new_keys: u64,
    /// Policies and certificates to trust that were not there.
    pub new_policies: u64,
    /// Revisions of plugins that were not there.
    pub new_revisions: u64,
    /// Hooks that were set, or moved on.
    pub new_hooks: u64,
    /// Judgements that were not there.
    pub new_judgements: u64,
    /// Refused signatures that were not there.
    pub new_inputs: u64,
    /// Threads that got another id, since theirs is that of another thread here.
    pub new_ids: u64,
    /// Hooks that refuse what is not allowed, and are missing here.
    pub missing_hooks: Vec<String>,
    /// Whether the tenant is suspended for what is missing.
    pub suspended: bool,
    /// Threads that were left as they are, since here they have another history.
    pub conflicts: u64,
    /// Plugins and hooks that were left out.
    pub left_out: u64,
    /// Sentences about conflicts and what was left out, the first hundred.
    pub told: Vec<String>,
}

impl Imported {
    /// Whether the tenant has all of the file.
    pub fn is_complete(&self) -> bool {
        self.conflicts == 0 && self.left_out == 0
    }

    fn tell(&mut self, sentence: String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(sentence);
        }
    }

    fn conflict(&mut self, key: &ThreadKey, why: &str) {
        self.conflicts += 1;
        self.tell(format!("{}/{}: {why}.", key.document, key.thread));
    }

    fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out += 1;
        self.tell(format!("{what} is left out: {why}."));
    }
}

/// Reads a file to its end without importing it, so that one which is cut off or changed is found before anything is
/// written. `progress` is told how many versions of how many were read.
///
/// # Errors
///
/// [`Error::Refused`] with the line that is not as it should be.
pub fn check(
    app: &App,
    slug: &str,
    source: impl BufRead,
    passphrase: Option<&Passphrase>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Header> {
    let (header, mut lines) = Lines::open(source, &app.config)?;
    let sealer = opener(app, &header, passphrase)?;
    let mut versions = 0;
    while let Some(item) = lines.next()? {
        if let (Item::Key(key), Some(sealer)) = (&item, &sealer) {
            open_key(sealer, key)?;
            if let Some(there) = app.store.key_get(&key.kid)?
                && (there.public_key() != key.public_key.as_deref()
                    || there.tenant.is_none_or(|tenant| *tenant.slug != *slug))
            {
                return Err(tenants::taken(&key.kid));
            }
        }
        versions += u64::from(matches!(item, Item::Version(_)));
        progress(versions, header.counts.versions);
    }
    Ok(header)
}

/// The sealer that opens the file's keys; none if there are none, or without the passphrase.
fn opener(app: &App, header: &Header, passphrase: Option<&Passphrase>) -> Result<Option<Sealer>> {
    match &header.keys {
        Some(envelope) => envelope.open(passphrase, app.vault.as_deref()),
        None => Ok(None),
    }
}

/// Decrypts a key's secret; none for a key of which only the public part is known.
fn open_key(sealer: &Sealer, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let secret = sealer.open(&key.secret, &key.binding()).ok_or_else(|| {
        Error::refused(format!(
            "The key `{}` of the file was changed: export again.",
            key.kid
        ))
    })?;
    Ok(Some(secret).filter(|secret| !secret.is_empty()))
}

/// Options of an import.
#[derive(Debug, Default)]
pub struct Options {
    /// The tenant is answered although hooks are missing that enforce.
    pub without_hooks: bool,
    /// The passphrase of the file's keys; without it they are left out.
    pub passphrase: Option<Passphrase>,
}

/// Reads a file into a tenant. Blocks.
///
/// The tenant is suspended as soon as a hook that enforces turns out to be missing, before what that would have judged is
/// there, and resumed at the end of an import that finds all there, unless it is told to go without. What is there identically is passed over, what is there otherwise stays as it is and is told. Nothing of it is judged by
/// hooks. `progress` is told how many versions of how many are done.
///
/// # Errors
///
/// [`Error::Refused`] with the line that is not as it should be, and those of the store; what came before is imported then.
pub fn import(
    app: &App,
    tenant: &Tenant,
    actor: &Actor,
    source: impl BufRead,
    options: &Options,
    progress: impl FnMut(u64, u64),
) -> Result<Imported> {
    let (header, lines) = Lines::open(source, &app.config)?;
    let sealer = opener(app, &header, options.passphrase.as_ref())?;
    let without_hooks = options.without_hooks;
    if tenant.delete_after.is_some() {
        return Err(Error::TenantDeleting(format!(
            "The tenant `{}` is being deleted; import into another.",
            tenant.slug
        )));
    }
    let event = |action| Event::new(Some(tenant.id), actor.clone(), action, &*tenant.slug);
    let from = json!({ "from": header.tenant, "exported_at": header.exported_at });
    app.store
        .audit_insert(&event("tenant.import_begin").after(from))?;
    let mut import = Import {
        app,
        tenant: tenant.id,
        slug: &tenant.slug,
        without_hooks,
        sealer,
        actor,
        batch: Batch::default(),
        thread: None,
        hook: None,
        judgements: Vec::new(),
        imported: Imported::default(),
    };
    // In files of version 1 hooks come after the threads.
    let held = if header.format_version == 1 && header.counts.hooks > 0 && !without_hooks {
        import.lacks(&importing(&header.tenant))
    } else {
        Ok(())
    };
    let read = held
        .and_then(|()| import.read(lines, header.counts.versions, progress))
        .and_then(|()| import.settle(&header.tenant));
    let imported = import.imported;
    let told = json!({
        "from": header.tenant,
        "exported_at": header.exported_at,
        "new_threads": imported.new_threads,
        "new_versions": imported.new_versions,
        "new_keys": imported.new_keys,
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
        .audit_insert(&event("tenant.import").after(told))?;
    read.map(|()| imported)
}

/// What a tenant lacks while a file of this tenant is imported into it.
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
    batch: Batch,
    /// The thread whose versions come; none where they are to be passed over.
    thread: Option<Thread>,
    hook: Option<(Hook, Vec<HookBinding>)>,
    judgements: Vec<Judgement>,
    imported: Imported,
}

/// Versions that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    keys: HashSet<ThreadKey>,
    versions: usize,
    bytes: usize,
}

/// What is to be done with a part, after a look at what is there.
enum Wanted {
    Nothing,
    New,
    Continued(KnownThread),
    Conflict(String),
}

impl Import<'_> {
    fn read(
        &mut self,
        mut lines: Lines<impl BufRead>,
        versions: u64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        let mut done = 0;
        while let Some(item) = lines.next()? {
            match item {
                Item::Version(version) => {
                    done += 1;
                    self.version(version)?;
                    progress(done, versions);
                }
                Item::Thread(thread) => self.thread = Some(thread),
                other => {
                    // What comes after the threads may need them.
                    self.flush()?;
                    self.other(other)?;
                }
            }
        }
        self.flush()?;
        self.flush_judgements()
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
            Item::Thread(_) | Item::Version(_) => {}
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

    /// Takes the name and the quotas that are not set here.
    fn facts(&mut self, facts: &TenantFacts) -> Result<()> {
        let tenant = tenants::get(self.app, self.slug)?;
        let is_named = tenant.name != tenant.slug;
        let name = facts.name.as_deref().filter(|name| *name != tenant.name);
        if name.is_some() && is_named {
            self.imported
                .leave_out("The tenant's name", "it has another one here");
        }
        let differs =
            |own: Option<u64>, given: Option<u64>| own.is_some() && given.is_some() && own != given;
        if tenant.quotas.zip(facts.quotas, differs) != Quotas::default() {
            let why = "at least one is set otherwise here";
            self.imported.leave_out("What differs of its quotas", why);
        }
        let change = |own: Option<u64>, given: Option<u64>| match (own, given) {
            (None, Some(given)) => Change::To(given),
            _ => Change::Keep,
        };
        let quotas = tenant.quotas.zip(facts.quotas, change);
        let name = name.filter(|_| !is_named);
        tenants::update(self.app, self.actor, self.slug, name, quotas)?;
        Ok(())
    }

    /// Something is missing without which the tenant may not be live: it is suspended from now on, unless it is told to go
    /// without.
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

    /// Lets the tenant go if nothing is missing any more, also of what earlier imports did not bring.
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

    fn version(&mut self, version: StoredVersion) -> Result<()> {
        let Some(thread) = &self.thread else {
            return Ok(());
        };
        let key = ThreadKey {
            document: thread.document.clone(),
            thread: thread.thread.clone(),
        };
        // A file that tells a thread twice tells the second time what is there by then.
        if version.version == 1 && self.batch.keys.contains(&key) {
            self.flush()?;
        }
        let Some(thread) = &self.thread else {
            return Ok(());
        };
        let updated_at = if version.version == thread.versions {
            thread.updated_at
        } else {
            version.created_at
        };
        self.batch.versions += 1;
        self.batch.bytes += version.body.bytes.len();
        match self.batch.parts.last_mut() {
            Some(part) if part.key == key => {
                part.updated_at = updated_at;
                part.versions.push(version);
            }
            _ => {
                self.batch.keys.insert(key.clone());
                self.batch.parts.push(Part {
                    id: thread.id,
                    key,
                    created_at: thread.created_at,
                    updated_at,
                    versions: vec![version],
                });
            }
        }
        if self.batch.versions >= BATCH_VERSIONS || self.batch.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut parts = mem::take(&mut self.batch).parts;
        for _ in 0..ATTEMPTS {
            if parts.is_empty() {
                return Ok(());
            }
            parts = self.write(parts)?;
        }
        Err(Error::Overloaded)
    }

    /// Writes what of the parts is not there yet; gives back those whose threads others changed meanwhile.
    fn write(&mut self, mut parts: Vec<Part>) -> Result<Vec<Part>> {
        let store = &self.app.store;
        let keys: Vec<_> = parts.iter().map(|part| &part.key).collect();
        let known = store.import_threads(self.tenant, &keys)?;
        let ranges: Vec<_> = parts
            .iter()
            .zip(&known)
            .filter_map(|(part, known)| {
                let first = part.versions.first()?.version;
                let last = part.versions.last()?.version;
                Some((known.as_ref()?.id, first, last))
            })
            .collect();
        let stored = store.import_versions(self.tenant, &ranges)?;
        let is_new = |known: &Option<KnownThread>| known.is_none();
        let new = parts.iter().zip(&known).filter(|(_, known)| is_new(known));
        let ids: Vec<_> = new.filter_map(|(part, _)| part.id).collect();
        let taken = store.import_ids_taken(self.tenant, &ids)?;
        for (part, _) in parts
            .iter_mut()
            .zip(&known)
            .filter(|(_, known)| is_new(known))
        {
            if part.id.is_some_and(|id| taken.contains(&id)) {
                part.id = None;
                self.imported.new_ids += 1;
            }
        }
        let mut wanted = Vec::with_capacity(parts.len());
        for (part, known) in parts.iter_mut().zip(known) {
            let before = part.versions.len();
            let want = look(part, known, &stored);
            if let Wanted::Conflict(why) = &want {
                self.imported.conflict(&part.key, why);
                let current = self.thread.as_ref();
                if current.is_some_and(|thread| {
                    thread.document == part.key.document && thread.thread == part.key.thread
                }) {
                    self.thread = None;
                }
            } else {
                self.imported.same_versions += (before - part.versions.len()) as u64;
            }
            wanted.push(want);
        }
        let new: Vec<_> = parts
            .iter()
            .zip(&wanted)
            .filter_map(|(part, want)| match want {
                Wanted::Nothing | Wanted::Conflict(_) => None,
                Wanted::New => Some(NewPart { known: None, part }),
                Wanted::Continued(known) => Some(NewPart {
                    known: Some(known),
                    part,
                }),
            })
            .collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let written = store.import_write(self.tenant, &new, |part| {
            let last = part.versions.last();
            recreated(
                self.actor.clone(),
                self.tenant,
                &part.key,
                last.map_or(0, |last| last.version),
                last.map_or(&[], |last| &last.body.sha256),
            )
        })?;
        for (new, _) in new.iter().zip(&written).filter(|(_, written)| **written) {
            self.imported.new_threads += u64::from(new.known.is_none());
            self.imported.new_versions += new.part.versions.len() as u64;
        }
        let mut written = written.into_iter();
        let mut left = Vec::new();
        for (part, want) in parts.into_iter().zip(&wanted) {
            if matches!(want, Wanted::New | Wanted::Continued(_)) && written.next() == Some(false) {
                left.push(part);
            }
        }
        Ok(left)
    }
}

/// What a tenant is known to lack.
fn words(tenant: &Tenant) -> impl Iterator<Item = &str> {
    let words = tenant.incomplete.as_deref().unwrap_or_default();
    words.split_whitespace()
}

/// Compares a part with what is there, and takes away from it what is there already.
fn look(
    part: &mut Part,
    known: Option<KnownThread>,
    stored: &HashMap<(SignatureId, u32), StoredVersion<BodyMark>>,
) -> Wanted {
    let first = part.versions.first().map_or(1, |first| first.version);
    let Some(known) = known else {
        return match first {
            1 => Wanted::New,
            _ => Wanted::Conflict("it was deleted while it was imported".to_owned()),
        };
    };
    if known.created_at != part.created_at {
        return Wanted::Conflict(
            "there is a thread of this name that began at another time".to_owned(),
        );
    }
    let there = |version: &StoredVersion| version.version <= known.version;
    for version in part.versions.iter().filter(|version| there(version)) {
        let same = stored
            .get(&(known.id, version.version))
            .is_some_and(|stored| version.is(stored));
        if !same {
            return Wanted::Conflict(format!("version {} is another one here", version.version));
        }
    }
    if first > known.version.saturating_add(1) {
        return Wanted::Conflict("it was changed while it was imported".to_owned());
    }
    part.versions.retain(|version| !there(version));
    if part.versions.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Continued(known)
    }
}
