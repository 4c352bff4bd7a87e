//! Lists decisions of hooks, newest first, by filters.
//!
//! The decisions about one save or delete are one row, and no index knows what is in it: more indexes would make each save
//! dearer. A page walks the rows of a tenant, or of a thread, by an index in the order of the list. It looks at a limited
//! number of them, whatever it finds, and tells where the next page goes on.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde_json::{Map, Value, json};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Decision, DecisionId, HookVerdict, Input, Outcome, Recorded};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::page::Page;
use sigpersist_model::plugin::{Digest, Operation};
use sigpersist_model::signature::ThreadKey;

use super::pool::Store;
use super::signatures::{sha256_from_column, version_from_column, version_to_column};

/// The most saves and deletes that one page looks at: a filter that matches few decisions costs no more than that.
const MAX_WALKED: i64 = 5_000;

/// A filter of decisions. By default it matches all.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter<'a> {
    /// Only decisions about this document.
    pub document: Option<&'a str>,
    /// Only decisions about this thread of the document.
    pub thread: Option<&'a str>,
    /// Only decisions recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only decisions recorded before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only decisions about saves and deletes with this outcome.
    pub outcome: Option<Outcome>,
    /// Only decisions about requests of this caller.
    pub subject: Option<&'a str>,
    /// Only decisions of this hook and its shadow.
    pub hook: Option<&'a str>,
    /// Only decisions by one of these bindings.
    pub bindings: Option<&'a [u32]>,
    /// Only decisions by this revision of a plugin.
    pub revision: Option<Digest>,
    /// Only decisions of shadows, or none of them.
    pub shadow: Option<bool>,
    /// Only decisions of shadows that differ from their hooks', or only of those that agree.
    pub differs: Option<bool>,
    /// Only decisions with this verdict.
    pub verdict: Option<HookVerdict>,
    /// Only decisions with a rejection of this code.
    pub code: Option<&'a str>,
}

impl DecisionFilter<'_> {
    /// Members that a decision must have, as they are stored. Default values are not stored.
    fn members(&self) -> Value {
        let mut members = Map::new();
        let mut require = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value);
            }
        };
        require("hook", self.hook.map(Value::from));
        require("shadow", self.shadow.filter(|it| *it).map(Value::from));
        require("differs", self.differs.map(Value::from));
        let verdict = self.verdict.filter(|it| *it != HookVerdict::Accepted);
        require("verdict", verdict.map(|it| json!(it)));
        require("rejections", self.code.map(|it| json!([{ "code": it }])));
        Value::Object(members)
    }

    /// Members that a decision must not have, one in each of these objects.
    fn other_members(&self) -> Vec<Value> {
        let mut others = Vec::new();
        if self.shadow == Some(false) {
            others.push(json!({ "shadow": true }));
        }
        if self.verdict == Some(HookVerdict::Accepted) {
            let verdicts = [HookVerdict::Rejected, HookVerdict::Failed];
            others.extend(verdicts.map(|verdict| json!({ "verdict": verdict })));
        }
        others
    }

    /// Whether each row that is walked has a decision that matches: then no more rows than decisions are wanted.
    fn matches_all_walked(&self) -> bool {
        let Self {
            document,
            thread,
            since: _,
            until: _,
            outcome: None,
            subject: None,
            hook: None,
            bindings: None,
            revision: None,
            shadow: None,
            differs: None,
            verdict: None,
            code: None,
        } = self
        else {
            return false;
        };
        document.is_some() == thread.is_some()
    }
}

#[derive(QueryableByName)]
struct DecisionRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    operation: String,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
    #[diesel(sql_type = Binary)]
    input_sha256: Vec<u8>,
    #[diesel(sql_type = Jsonb)]
    input: Value,
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Nullable<Jsonb>)]
    decision: Option<Value>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    following: Option<Value>,
}

impl DecisionRow {
    fn id(&self) -> Result<DecisionId> {
        Ok(DecisionId {
            at: self.at,
            judgement: self.id,
            place: u32::try_from(self.place).map_err(Error::internal)?,
        })
    }

    fn into_recorded(self) -> Result<Option<Recorded>> {
        let id = self.id()?;
        let unreadable = |error: String| Error::internal(error);
        let Some(decision) = self.decision else {
            return Ok(None);
        };
        Ok(Some(Recorded {
            id,
            operation: self.operation.parse::<Operation>().map_err(unreadable)?,
            key: ThreadKey {
                document: self.document,
                thread: self.thread,
            },
            version: version_from_column(self.version)?,
            outcome: self.outcome.parse::<Outcome>().map_err(unreadable)?,
            input_sha256: sha256_from_column(self.input_sha256)?,
            input: serde_json::from_value::<Input>(self.input).map_err(Error::internal)?,
            decision: serde_json::from_value::<Decision>(decision).map_err(Error::internal)?,
        }))
    }
}

/// The rows that a page walks.
macro_rules! walked {
    () => {
        "FROM hook_judgements WHERE tenant_id = $1 \
         AND ($2 IS NULL OR document = $2 AND thread = $3) \
         AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5) AND ($6 IS NULL OR (at, id) <= ($6, $7)) \
         ORDER BY at DESC, id DESC"
    };
}

/// The decisions that match, in the order of the walk: each row is expanded where it stands. If there are less than
/// wanted, the last row follows that was walked, unless all were. `crates/store/sql/decision_list.sql` shows it.
pub(super) const LIST: &str = concat!(
    "WITH found AS MATERIALIZED ( \
         SELECT j.at, j.id, j.version, j.operation, j.outcome, j.document, j.thread, j.input_sha256, j.input, \
                d.ordinality - 1 AS place, d.value AS decision, \
                CASE WHEN d.value ->> 'shadow' = 'true' THEN j.decisions -> d.ordinality::integer END AS following \
         FROM (SELECT * ",
    walked!(),
    " LIMIT $8) j \
         CROSS JOIN LATERAL jsonb_array_elements(j.decisions) WITH ORDINALITY AS d (value, ordinality) \
         WHERE ($10 IS NULL OR j.document = $10) AND ($11 IS NULL OR j.outcome = $11) \
           AND ($12 IS NULL OR j.input -> 'circumstances' ->> 'subject' = $12) \
           AND j.decisions @> jsonb_build_array($13) AND d.value @> $13 AND NOT d.value @> ANY ($14) \
           AND ($15 IS NULL OR (d.value ->> 'binding')::integer = ANY ($15)) \
           AND ($16 IS NULL OR (d.value ->> 'hook', (d.value ->> 'binding')::integer, coalesce(d.value ->> 'shadow', 'false')) IN ( \
               SELECT hook, number, 'false' FROM hook_bindings WHERE tenant_id = $1 AND sha256 = $16 \
               UNION ALL \
               SELECT hook, number, 'true' FROM hook_bindings WHERE tenant_id = $1 AND coalesce(shadow_sha256, sha256) = $16)) \
           AND ($6 IS NULL OR (j.at, j.id) < ($6, $7) OR d.ordinality - 1 > $17) \
         LIMIT $9) \
     SELECT at, id, version, operation, outcome, document, thread, input_sha256, input, place, decision, following FROM found \
     UNION ALL \
     (SELECT at, id, 0, '', '', '', '', ''::bytea, 'null'::jsonb, 2147483647, NULL, NULL \
      FROM (SELECT at, id ",
    walked!(),
    " OFFSET $8 - 1 LIMIT 1) last WHERE (SELECT count(*) FROM found) < $9)"
);

impl Store {
    /// A page of a tenant's decisions after `after`, newest first.
    pub fn decision_list(
        &self,
        tenant: TenantId,
        filter: &DecisionFilter<'_>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Page<Recorded, DecisionId>> {
        let page = self.decision_pairs(tenant, filter, after, limit)?;
        let items = page.items.into_iter();
        Ok(Page {
            items: items.map(|(recorded, _)| recorded).collect(),
            next: page.next,
        })
    }

    /// A page of a tenant's decisions after `after`, newest first. A shadow's decision comes with that of its hook, if
    /// the hook made one.
    pub fn decision_pairs(
        &self,
        tenant: TenantId,
        filter: &DecisionFilter<'_>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Page<(Recorded, Option<Decision>), DecisionId>> {
        // `after` is a place within a judgement, which may have more decisions.
        let wanted = i64::try_from(limit).map_err(Error::internal)?;
        let walked = match filter.matches_all_walked() {
            true => wanted + 1,
            false => MAX_WALKED,
        };
        let of_thread = filter.thread.and(filter.document);
        let bindings = filter.bindings.map(|numbers| {
            let numbers = numbers.iter().map(|number| version_to_column(*number));
            numbers.collect::<Vec<_>>()
        });
        let query = sql_query(LIST)
            .bind::<Integer, _>(tenant.0)
            .bind::<Nullable<Text>, _>(of_thread)
            .bind::<Nullable<Text>, _>(filter.thread)
            .bind::<Nullable<Timestamptz>, _>(filter.since)
            .bind::<Nullable<Timestamptz>, _>(filter.until)
            .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
            .bind::<BigInt, _>(after.map_or(0, |after| after.judgement))
            .bind::<BigInt, _>(walked)
            .bind::<BigInt, _>(wanted + 1)
            .bind::<Nullable<Text>, _>(filter.document)
            .bind::<Nullable<Text>, _>(filter.outcome.map(Outcome::as_str))
            .bind::<Nullable<Text>, _>(filter.subject)
            .bind::<Jsonb, _>(filter.members())
            .bind::<Array<Jsonb>, _>(filter.other_members())
            .bind::<Nullable<Array<Integer>>, _>(bindings)
            .bind::<Nullable<Binary>, _>(filter.revision.map(|revision| revision.0.to_vec()))
            .bind::<BigInt, _>(after.map_or(-1, |after| i64::from(after.place)));
        let rows = self.run(tenant, |connection| query.load::<DecisionRow>(connection))?;
        let mut decisions: Vec<(Recorded, Option<Decision>)> = Vec::with_capacity(rows.len());
        let mut next = None;
        for mut row in rows {
            let id = row.id()?;
            let following = row.following.take();
            match row.into_recorded()? {
                // The walk ended before the record did.
                None => next = Some(id),
                Some(_) if decisions.len() == limit => {
                    next = decisions.last().map(|(last, _)| last.id);
                }
                Some(recorded) => {
                    let own = following.map(serde_json::from_value::<Decision>);
                    let own = own.transpose().map_err(Error::internal)?;
                    let own = own.filter(|own| !own.shadow && own.hook == recorded.decision.hook);
                    decisions.push((recorded, own));
                }
            }
        }
        Ok(Page {
            items: decisions,
            next,
        })
    }

    /// One decision of a tenant, with all decisions of its judgement.
    pub fn decision_get(
        &self,
        tenant: TenantId,
        id: DecisionId,
    ) -> Result<Option<(Recorded, Vec<Decision>)>> {
        let row = self.run(tenant, |connection| {
            sql_query(
                "SELECT at, id, version, operation, outcome, document, thread, input_sha256, input, \
                        $4::bigint AS place, decisions AS decision, NULL::jsonb AS following \
                 FROM hook_judgements WHERE tenant_id = $1 AND at = $2 AND id = $3",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Timestamptz, _>(id.at)
            .bind::<BigInt, _>(id.judgement)
            .bind::<BigInt, _>(i64::from(id.place))
            .get_result::<DecisionRow>(connection)
            .optional()
        })?;
        let Some(mut row) = row else { return Ok(None) };
        let all: Vec<Value> = serde_json::from_value(row.decision.take().unwrap_or_default())
            .map_err(Error::internal)?;
        row.decision = usize::try_from(id.place)
            .ok()
            .and_then(|place| all.get(place))
            .cloned();
        let all = serde_json::from_value(Value::Array(all)).map_err(Error::internal)?;
        Ok(row.into_recorded()?.map(|recorded| (recorded, all)))
    }
}
