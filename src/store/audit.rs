//! The audit trail, which is only ever added to.

use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::schema::audit_events;
use crate::audit::Event;

/// Adds an event, in the transaction of the change that it tells of.
pub(super) fn insert(connection: &mut PgConnection, event: &Event) -> QueryResult<()> {
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::tenant_id.eq(event.tenant.map(|tenant| tenant.0)),
            audit_events::actor_kind.eq(event.actor.kind.as_str()),
            audit_events::actor.eq(&event.actor.subject),
            audit_events::request_id.eq(event.actor.request_id.as_deref()),
            audit_events::action.eq(event.action),
            audit_events::target.eq(&event.target),
            audit_events::details
                .eq(serde_json::json!({ "before": event.before, "after": event.after })),
        ))
        .execute(connection)?;
    Ok(())
}
