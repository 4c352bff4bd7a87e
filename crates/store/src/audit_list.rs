//! Lists events of the audit trail: those that happened here and imported ones, in one order.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use sigpersist_model::audit::{EventOwner, Filter, ImportedInto, Listed, Place};
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::Result;

use super::audit::{EventRow, event_columns, imported_columns};
use super::pool::Store;
use super::schema::{audit_events, audit_imported};

/// A page of one of the tables, newest first, without the filter by owner.
macro_rules! page {
    ($table:ident, $place:ident, $columns:expr, $filter:ident, $after:ident, $limit:ident) => {{
        let mut query = $table::table
            .order(($table::at.desc(), $table::$place.desc()))
            .limit(i64::try_from($limit).unwrap_or(i64::MAX))
            .select($columns)
            .into_boxed();
        if let Some(since) = $filter.since {
            query = query.filter($table::at.ge(since));
        }
        if let Some(until) = $filter.until {
            query = query.filter($table::at.lt(until));
        }
        if let Some(Place { at, hash }) = $after {
            // The index can use only the first condition.
            query = query
                .filter($table::at.le(at))
                .filter($table::at.lt(at).or($table::$place.lt(hash.as_slice())));
        }
        if let Some(actor) = &$filter.actor {
            query = query.filter($table::actor.eq(actor));
        }
        if let Some(action) = &$filter.action {
            query = if action.ends_with('.') {
                let begins = sql::<Bool>(concat!("starts_with(", stringify!($table), ".action, "));
                query.filter(begins.bind::<Text, _>(action).sql(")"))
            } else {
                query.filter($table::action.eq(action))
            };
        }
        if let Some(target) = &$filter.target {
            query = query.filter($table::target.eq(target));
        }
        if let Some(request_id) = &$filter.request_id {
            query = query.filter($table::request_id.eq(request_id));
        }
        query
    }};
}

impl Store {
    /// Events after `after`, newest first. An index yields them by owner and time. Other filters are checked for each
    /// of these.
    pub fn audit_list(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let mut own = page!(audit_events, hash, event_columns!(), filter, after, limit);
        let columns = (
            imported_columns!(),
            audit_imported::tenant,
            audit_imported::part,
            audit_imported::place,
        );
        let mut imported = page!(audit_imported, place, columns, filter, after, limit);
        let mut acting = PLATFORM;
        match &filter.whose {
            EventOwner::All => {}
            EventOwner::Platforms => {
                own = own.filter(audit_events::tenant.is_null());
                // There are no imported events of the platform.
                imported = imported.filter(audit_imported::tenant_id.eq(PLATFORM.0));
            }
            EventOwner::Named(slug) => {
                own = own.filter(audit_events::tenant.eq(slug));
                imported = imported.filter(audit_imported::tenant.eq(slug));
            }
            EventOwner::Tenants(tenancy) => {
                acting = tenancy.id;
                // A deleted tenant may have had the same slug.
                own = own
                    .filter(audit_events::tenant.eq(tenancy.slug.as_ref()))
                    .filter(audit_events::tenant_id.eq(tenancy.id.0));
                imported = imported
                    .filter(audit_imported::tenant.eq(tenancy.slug.as_ref()))
                    .filter(audit_imported::tenant_id.eq(tenancy.id.0));
            }
        }
        let (own, imported) = self.run(acting, |connection| {
            let imported = imported.load::<(EventRow, String, i32, Vec<u8>)>(connection)?;
            let own = own.load::<EventRow>(connection)?;
            Ok((own, imported))
        })?;
        let own = own.into_iter().map(|row| Listed {
            event: row.into(),
            imported: None,
        });
        let imported = imported.into_iter();
        let imported = imported.map(|(row, tenant, part, place)| Listed {
            event: row.into(),
            imported: Some(ImportedInto {
                tenant,
                part,
                place,
            }),
        });
        let mut events: Vec<_> = own.chain(imported).collect();
        events.sort_by_cached_key(|event| {
            let Place { at, hash } = event.place();
            std::cmp::Reverse((at, hash))
        });
        events.truncate(limit);
        Ok(events)
    }
}
