//! Indexes who signed versions that were stored without that: by a server of an earlier release, by an import, or while
//! the tenant's policy did not want it.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_runtime::verification::Verification;
use sigpersist_store::Unindexed;
use sigpersist_verify::pki::Budget;
use sigpersist_verify::report_within;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::accept::{signer_terms, verifies};
use crate::app::App;
use crate::policy;
use crate::tenants::{self, Step};

/// Time between two walks through all tenants.
const INTERVAL: Duration = Duration::from_mins(2);

/// Starts to index signers that are not indexed yet, tenant by tenant. The task is stopped when the result is dropped.
pub fn keep_indexing(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Err(cause) = index(&app).await {
                warn!(%cause, "Signers of stored versions could not be indexed; trying again later");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

async fn index(app: &Arc<App>) -> Result<()> {
    let indexed = tenants::walk(app, "Indexing signers", |app, tenant| {
        Ok(match step(app, tenant)? {
            0 => Step::Done(0),
            some => Step::More(some),
        })
    })
    .await?;
    if indexed > 0 {
        info!(
            versions = indexed,
            "Indexed the signers of versions that were stored without that"
        );
    }
    Ok(())
}

/// Indexes some of a tenant's versions, if its policy wants that. Returns how many. Blocks.
fn step(app: &App, tenant: TenantId) -> Result<usize> {
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
