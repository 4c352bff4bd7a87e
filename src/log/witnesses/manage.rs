//! Adding, listing and removing witnesses.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::witness::{Witness, witness_key};
use sigpersist_store as store;

use crate::app::App;

/// A witness to add.
#[derive(Debug)]
pub struct NewWitness {
    /// The name of its key.
    pub name: String,
    /// Its submission prefix.
    pub url: String,
    /// Its public key.
    pub key: String,
}

/// A witness that was added.
#[derive(Debug)]
pub struct Added {
    /// The witness.
    pub witness: Witness,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Adds a witness to a log: a tenant's, or the platform's. One that is there already, with the same URL and key, stays as it
/// is. Blocks, also for DNS.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for a key that is not a witness's, the errors of [`App::callable_url`], [`Error::Refused`] if there is
/// another one with its name or key, or there are too many, and the errors of the store.
pub fn add(app: &App, actor: &Actor, owner: TenantId, new: NewWitness) -> Result<Added> {
    let key = witness_key(&new.name, &new.key)?;
    let url = checked(app, &new.url)?;
    let text = key.to_string();
    let most = app.config.evidence.max_witnesses;
    let is_same = |known: &Witness| known.url == url && known.key == text;
    let check = |known: &[Witness]| {
        if let Some(known) = known.iter().find(|known| known.name == new.name) {
            return match is_same(known) {
                true => Ok(false),
                false => Err(Error::refused(format!(
                    "The log has another witness with the name `{}`. Remove that first.",
                    new.name
                ))),
            };
        }
        for known in known {
            // Else one witness would count as two: its signatures do not cover its name.
            if known.verifier()?.public_key == key.public_key {
                return Err(Error::refused(format!(
                    "The log's witness `{}` has the same public key.",
                    known.name
                )));
            }
        }
        if known.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(Error::refused(format!(
                "This log has {most} witnesses, the most that it may have (evidence.max_witnesses). Remove one first."
            )));
        }
        Ok(true)
    };
    let event =
        event(owner, actor, "witness.add", &new.name).after(json!({ "url": url, "key": text }));
    let stored = store::NewWitness {
        name: &new.name,
        url: &url,
        key: &text,
    };
    let added = app.store.witness_insert(owner, &stored, check, &event)?;
    match added {
        Some(witness) => Ok(Added {
            witness,
            is_new: true,
        }),
        None => Ok(Added {
            witness: get(app, owner, &new.name)?,
            is_new: false,
        }),
    }
}

/// The witnesses of a log, by name. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn list(app: &App, owner: TenantId) -> Result<Vec<Witness>> {
    app.store.witness_list(owner)
}

/// Removes a witness of a log. Its signatures are not given out any more; proofs that have them stay as they are. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], and the errors of the store.
pub fn remove(app: &App, actor: &Actor, owner: TenantId, name: &str) -> Result<()> {
    let removed = app.store.witness_delete(owner, name, |before| {
        event(owner, actor, "witness.remove", name)
            .before(json!({ "url": before.url, "key": before.key }))
    })?;
    match removed {
        true => Ok(()),
        false => Err(Error::NotFound(Noun::Witness)),
    }
}

fn get(app: &App, owner: TenantId, name: &str) -> Result<Witness> {
    let found = list(app, owner)?
        .into_iter()
        .find(|witness| witness.name == name);
    found.ok_or(Error::NotFound(Noun::Witness))
}

/// An event about a witness of a log.
pub(super) fn event(owner: TenantId, actor: &Actor, action: &'static str, name: &str) -> Event {
    let tenant = (owner != PLATFORM).then_some(owner);
    Event::new(tenant, actor.clone(), action, name)
}

/// The URL as it is stored, if it may be asked.
fn checked(app: &App, url: &str) -> Result<String> {
    if url.contains(['?', '#']) {
        return Err(Error::invalid(
            "url",
            "`url` must be the beginning of the witness's addresses, so it can't have a query or a fragment.",
        ));
    }
    Ok(app.callable_url(url)?.trim_end_matches('/').to_owned())
}
