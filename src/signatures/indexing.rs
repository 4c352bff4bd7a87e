//! Indexes who signed versions that were stored without that: by a server of an earlier release, by an import, or while
//! the tenant's policy did not want it.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use sigpersist_runtime::verification::Verification;
use sigpersist_store::Unindexed;
use sigpersist_verify::pki::Budget;
use sigpersist_verify::report_within;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::accept::{signer_terms, verifies};
use crate::app::App;
use crate::policy;

/// Time between two walks through all tenants.
const INTERVAL: Duration = Duration::from_secs(30);
/// Pause between two batches, so that requests come first.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts to index signers that are not indexed yet, tenant by tenant. The task is stopped when the result is dropped.
pub fn keep_indexing(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Err(cause) = walk(&app).await {
                warn!(%cause, "Signers of stored versions could not be indexed; trying again later");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

async fn walk(app: &Arc<App>) -> Result<()> {
    let mut tenant = PLATFORM;
    loop {
        let of = Arc::clone(app);
        let next = blocking::run((), move || of.store.tenant_ids(tenant, 1)).await??;
        let Some(next) = next.first() else {
            return Ok(());
        };
        tenant = *next;
        let mut indexed = 0;
        loop {
            let of = Arc::clone(app);
            let batch = blocking::run((), move || step(&of, tenant)).await??;
            if batch == 0 {
                break;
            }
            indexed += batch;
            tokio::time::sleep(PAUSE).await;
        }
        if indexed > 0 {
            info!(
                tenant.id = tenant.0,
                versions = indexed,
                "Indexed the signers of versions that were stored without that"
            );
        }
    }
}

/// Indexes some of a tenant's versions, if its policy wants that. Returns how many. Blocks.
fn step(app: &App, tenant: TenantId) -> Result<usize> {
    if !app.store.policy_get(tenant)?.index_signers {
        return Ok(0);
    }
    let unindexed = app.store.signers_unindexed(tenant)?;
    if unindexed.is_empty() {
        return Ok(0);
    }
    let in_force = policy::in_force(app, tenant)?;
    let mut found = Vec::with_capacity(unindexed.len());
    for Unindexed { id, version, body } in unindexed {
        let told = if verifies(&in_force.policy) {
            let verification = Verification::new(
                body,
                Attachments::default(),
                Arc::clone(&in_force),
                Utc::now(),
            );
            verification.report(|body, look| {
                Ok::<_, std::convert::Infallible>(app.examinations.look_at_last(tenant, body, look))
            })
        } else {
            let look = |budget: &Budget| report_within(&body.as_sent(), None, budget);
            Ok(Arc::new(app.examinations.look_at_last(tenant, &body, look)))
        };
        let Ok(told) = told;
        found.push((id, version, signer_terms(&told, &in_force.policy, false)));
    }
    app.store.signers_index(tenant, &found)?;
    Ok(found.len())
}
