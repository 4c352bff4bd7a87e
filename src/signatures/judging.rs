//! How stored signatures are judged for hooks that ask whether they hold.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::model::Signature;
use super::{Beside, Judged};
use crate::app::App;
use crate::context::TenantId;
use crate::error::Result;
use crate::hooks::Judging;
use crate::policy;

/// How a stored version, which comes with its body, is judged under the tenant's policy, for this time. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn judging(
    app: &App,
    tenant: TenantId,
    stored: &Signature,
    now: DateTime<Utc>,
) -> Result<Judging> {
    let Some(body) = stored.body.clone() else {
        return Ok(Judging::default());
    };
    let policy = policy::in_force(app, tenant)?;
    Ok(Judging::now(Arc::new(Judged::new(
        body,
        Beside::default(),
        policy,
        now,
    ))))
}
