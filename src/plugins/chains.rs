//! A tenant's chain of hooks, ready to run, and the permit to run it.

use std::sync::{Arc, Mutex, PoisonError};

use sigpersist_hooks::{Bound, Chain, Guest};
use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Hook, Mode, OnFailure, Operation};
use sigpersist_runtime::blocking;
use sigpersist_runtime::fair_semaphore::{FairPermit, acquire};
use tracing::{error, warn};

use super::candidate::load;
use crate::app::App;

/// The tenant's chain from the cache, or otherwise built from the database. Blocks.
///
/// # Errors
///
/// Errors of the store, and [`Error::HookFailed`] for a stored component that no longer compiles.
pub fn chain(app: &App, tenant: TenantId) -> Result<Arc<Chain>> {
    app.caches.chains.get_or_load(&tenant, || {
        let hooks = app.store.hook_list(tenant)?;
        let hooks = hooks
            .into_iter()
            .filter(|hook| hook.binding.enabled)
            .filter_map(|hook| {
                let name = hook.name.clone();
                let forgiven = hook.binding.mode == Mode::Monitor
                    || hook.binding.on_failure == OnFailure::Allow;
                let cause = match bound(app, tenant, hook) {
                    Err(Error::Internal(cause)) => cause.to_string(),
                    Err(Error::Refused(reason)) => reason,
                    // An unreachable database is not the hook's failure.
                    bound => return Some(bound),
                };
                if forgiven {
                    error!(
                        hook = name,
                        cause, "A hook can't run on this server; its settings let requests pass"
                    );
                    return None;
                }
                Some(Err(Error::HookFailed {
                    hook: name,
                    reason: format!("its plugin can't run on this server: {cause}"),
                }))
            })
            .collect::<Result<_>>()?;
        let chain = Chain::new(Arc::clone(&app.engine), hooks);
        Ok(Arc::new(
            chain.with_permits(tenant, Arc::clone(&app.examinations)),
        ))
    })
}

fn bound(app: &App, tenant: TenantId, hook: Hook) -> Result<Bound> {
    let binding = hook.binding;
    let guest = |sha256, settings: &serde_json::Value| {
        Ok(Guest {
            plugin: load(app, Some(tenant), binding.plugin_id, sha256)?,
            settings: settings.to_string().into(),
        })
    };
    let set_aside = hook.quarantine.map(|quarantine| {
        format!(
            "it has been quarantined since {} and does not run until you release it: {}",
            quarantine.since.format("%Y-%m-%d %H:%M:%S"),
            quarantine.reason
        )
    });
    let health = app.health(tenant, &hook.name, hook.number);
    if set_aside.is_none() {
        // An operator may have released the hook, on any server.
        health.recover(&app.config.hooks);
    }
    // The ceiling of this server applies, whichever server the hook was set on.
    let limits = app.config.hooks.within_ceiling(binding.limits);
    let (mode, refuses) = match (set_aside, binding.on_failure) {
        (None, _) => (binding.mode, None),
        (Some(_), OnFailure::Allow) => (Mode::Monitor, None),
        (Some(reason), OnFailure::Reject) => (binding.mode, Some(reason)),
    };
    Ok(Bound {
        name: hook.name.as_str().into(),
        binding: hook.number,
        guest: guest(binding.sha256, &binding.settings)?,
        shadow: binding.shadow.as_ref().and_then(|shadow| {
            match guest(shadow.sha256, &shadow.settings) {
                Ok(guest) => Some(guest),
                Err(cause) => {
                    warn!(hook = hook.name, %cause, "A shadow can't run on this server");
                    None
                }
            }
        }),
        operations: binding.operations,
        mode,
        on_failure: binding.on_failure,
        limits,
        refuses,
        health,
        // No hook can have this name.
        shadow_health: app.health(tenant, &format!("{} (shadow)", hook.name), hook.number),
    })
}

/// A tenant's chain of hooks, and the permit to run it if any hook judges the operation.
#[derive(Debug)]
pub struct ReadyChain {
    /// The hooks at the start of the request.
    pub chain: Arc<Chain>,
    permit: Arc<Mutex<Option<FairPermit>>>,
}

impl ReadyChain {
    /// Returns the permit after the hooks have run, so that others need not wait for the database's answer.
    pub fn done(&mut self) {
        drop(self.held());
    }

    /// A guard that returns the permit when it is dropped, even if the task that owns this chain never ends.
    pub fn held(&self) -> HeldPermit {
        HeldPermit(Arc::clone(&self.permit))
    }
}

/// Returns the permit of [`ReadyChain`] when it is dropped.
#[derive(Debug)]
pub struct HeldPermit(Arc<Mutex<Option<FairPermit>>>);

impl Drop for HeldPermit {
    fn drop(&mut self) {
        let permit = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(permit);
    }
}

/// Loads the tenant's chain, and waits for a permit to run it if any hook judges the operation.
///
/// # Errors
///
/// [`Error::QuotaExceeded`] if the hooks have used up the quota of time. Also errors of [`chain`] and of
/// [`Engine::permit`](sigpersist_hooks::Engine::permit).
pub async fn ready_chain(
    app: &Arc<App>,
    context: &Context,
    operation: Operation,
) -> Result<ReadyChain> {
    let tenant = context.tenant()?;
    let chain = match app.caches.chains.get(&tenant) {
        Some(chain) => chain,
        None => {
            // One request of the tenant loads the chain, and its other requests wait for that. A component that takes
            // long to compile delays no other tenant.
            let patience_ms = app.config.http.queue_timeout_ms;
            let alone = app.loading.of(tenant);
            let _alone = acquire("loads", &alone, patience_ms, Error::Overloaded).await?;
            let app = Arc::clone(app);
            blocking::run((), move || chain(&app, tenant)).await??
        }
    };
    let permit = if chain.judges(operation) {
        app.meters.check_hook_time(&context.caller)?;
        Some(
            app.engine
                .permit(tenant, chain.is_failing(operation))
                .await?,
        )
    } else {
        None
    };
    Ok(ReadyChain {
        chain,
        permit: Arc::new(Mutex::new(permit)),
    })
}
