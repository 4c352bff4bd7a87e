//! Statements with a constant text, which each connection prepares once. Those of [`diesel::sql_query`] are parsed and
//! planned at each call.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Integer, SmallInt, Text, Untyped};

/// A value of a parameter.
#[derive(Debug)]
pub(super) enum Value {
    Integer(i32),
    BigInt(i64),
    SmallInt(i16),
    BigInts(Vec<i64>),
    Text(String),
}

/// A statement whose rows are loaded by the names of their columns.
#[derive(Debug)]
#[must_use]
pub(super) struct Prepared<'a> {
    text: &'static str,
    values: &'a [Value],
}

/// The statement with this text, in which `$1` stands for the first of the values, up to `$9`.
pub(super) fn prepared<'a>(text: &'static str, values: &'a [Value]) -> Prepared<'a> {
    Prepared { text, values }
}

/// Statements are told apart by their texts and the types of their values.
impl QueryId for Prepared<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Prepared<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Prepared<'_> {}

impl QueryFragment<Pg> for Prepared<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut parts = self.text.split('$');
        out.push_sql(parts.next().unwrap_or_default());
        for part in parts {
            let (number, rest) = part.split_at_checked(1).unwrap_or_default();
            let place = number
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1));
            let value = place.and_then(|place| self.values.get(place));
            let value = value.ok_or_else(|| {
                DieselError::QueryBuilderError(
                    format!("the parameter ${number} has no value").into(),
                )
            })?;
            match value {
                Value::Integer(value) => out.push_bind_param::<Integer, _>(value)?,
                Value::BigInt(value) => out.push_bind_param::<BigInt, _>(value)?,
                Value::SmallInt(value) => out.push_bind_param::<SmallInt, _>(value)?,
                Value::BigInts(values) => out.push_bind_param::<Array<BigInt>, _>(values)?,
                Value::Text(value) => out.push_bind_param::<Text, _>(value)?,
            }
            out.push_sql(rest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_used_twice() {
        let values = [Value::Integer(7), Value::BigInts(vec![8])];
        let text = |text| diesel::debug_query::<Pg, _>(&prepared(text, &values)).to_string();
        assert_eq!(
            text("SELECT $2, $1 + $1"),
            "SELECT $1, $2 + $3 -- binds: [[8], 7, 7]"
        );
        assert_eq!(text("SELECT 1"), "SELECT 1 -- binds: []");
    }
}
