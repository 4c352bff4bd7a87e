//! Seals chains of the audit trail in their present state.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event, EventOwner, Fault};
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::{Error, Result};

use super::verify::verify;
use crate::app::App;

/// Seals chains as they are: from then on, earlier events may be without a seal. Returns the number of chains.
/// Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if there is no master key, if it does not open the key that seals and `new_key` is false, or if
/// a chain has other faults than missing seals and seals whose key can't be opened.
pub fn seal(app: &App, actor: &Actor, whose: &EventOwner, new_key: bool) -> Result<usize> {
    let vault = app.vault()?;
    let mut chains = verify(app, whose, None, |_, _| {})?;
    // The tenant's own chain vouches for imported chains.
    chains.retain(|chain| chain.events > 0 && chain.part.is_none());
    let is_missing =
        |fault: &&Fault| matches!(fault, Fault::NotSealed { .. } | Fault::NoKey { .. });
    for chain in &chains {
        if let Some(fault) = chain.faults.iter().find(|fault| !is_missing(fault)) {
            let whose = chain.tenant.as_deref().unwrap_or("the platform");
            return Err(Error::refused(format!(
                "Nothing was sealed: the audit trail of {whose} is not intact: {fault}."
            )));
        }
    }
    let last = app.store.seal_keys()?.pop();
    let key = match &last {
        _ if new_key => {
            let last = last.as_ref().map(|key| key.number);
            app.store.seal_key_make(vault, actor, last)?
        }
        Some(last) => last.open(vault).ok(),
        None => None,
    };
    let key = key.ok_or_else(|| {
        Error::refused(
            "The master key does not decrypt the seal key of the audit trail. Use the master key that was in use before, or if it is lost, seal with --new-key.",
        )
    })?;
    let events: Vec<_> = chains
        .iter()
        .map(|chain| {
            let owner = (chain.chain != PLATFORM).then_some(chain.chain);
            let target = chain.tenant.as_deref().unwrap_or("platform");
            Event::new(owner, actor.clone(), "audit.seal", target).before(json!({
                "head": chain.head.to_string(),
                "unsealed": chain.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }))
        })
        .collect();
    app.store.audit_insert_baselines(&events, &key)?;
    Ok(events.len())
}
