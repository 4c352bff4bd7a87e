//! Handler for lists of signatures: filters, orders, cursors and partial answers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{ListFilter, Order, OrderBy, Position, SignatureId, fold_tags};
use sigpersist_model::term::{Overall, SignerTerm};
use sigpersist_model::time;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::operators::time_of;
use super::parameter::{self, Parameter};
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use super::signatures::{SignatureContent, Text, invalid_cursor, omits_signature, read_and_shown};
use crate::signatures::{self, List, Threads};

/// Greatest number of signers, or of verdicts, that a list may ask for.
pub(super) const MAX_TERMS: usize = 64;
/// The members of a signature in a list.
pub(super) const FIELDS: [&str; 14] = [
    "id",
    "version",
    "document",
    "thread",
    "chain",
    "stage",
    "signature",
    "parent",
    "version_created_by",
    "version_created_at",
    "version_comment",
    "tags",
    "created_at",
    "updated_at",
];

#[derive(Serialize, ToSchema)]
struct ListContent {
    /// Current versions, in the order that you asked for.
    signatures: Vec<Listed>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "AAW7i4RxVUAAAAAAAAAAKg")]
    next: Option<String>,
    /// Number of matching signatures, if you ask for it with `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    nb_results: Option<i64>,
    /// True if you filter by signers, and those of some versions are not indexed yet: signatures may be missing, or be
    /// listed although somebody signed them. Ask again later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, example = true)]
    incomplete: bool,
}

/// A signature in a list.
enum Listed {
    /// All of it.
    Whole(SignatureContent),
    /// The members that were asked for.
    Partly {
        /// Everything but the signature itself, which may be large and is not copied.
        others: SignatureContent,
        signature: Option<Text>,
        fields: Arc<[String]>,
    },
}

impl Listed {
    fn new(mut content: SignatureContent, fields: Option<&Arc<[String]>>) -> Self {
        match fields {
            None => Self::Whole(content),
            Some(fields) => Self::Partly {
                signature: content.signature.take(),
                others: content,
                fields: Arc::clone(fields),
            },
        }
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (others, signature, fields) = match self {
            Self::Whole(content) => return content.serialize(serializer),
            Self::Partly {
                others,
                signature,
                fields,
            } => (others, signature, fields),
        };
        let others = serde_json::to_value(others).map_err(serde::ser::Error::custom)?;
        let mut members = serializer.serialize_map(None)?;
        for field in fields.iter() {
            if let Some(value) = others.get(field) {
                members.serialize_entry(field, value)?;
            } else if field == "signature"
                && let Some(signature) = signature
            {
                members.serialize_entry(field, signature)?;
            }
        }
        members.end()
    }
}

/// The schema of a whole signature, of which no member is required: `fields` leaves some of them out.
impl PartialSchema for Listed {
    fn schema() -> RefOr<Schema> {
        let mut schema = SignatureContent::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.description = Some(
                "A signature in a list: all members, or those that `fields` names.".to_owned(),
            );
        }
        schema
    }
}

impl ToSchema for Listed {
    fn name() -> std::borrow::Cow<'static, str> {
        "ListedSignature".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SignatureContent::schemas(schemas);
    }
}

/// Lists signatures, newest first: by the time at which their threads were created, or with `order=updated` by that of
/// their last change.
///
/// Without filters, lists all signatures of the tenant. To page deeply, pass `next` as `cursor`: an offset gets slower
/// the larger it is.
///
/// `signer` and `not_signed_by` name signers as `iin:123456789011`, `bin:123456789021`, `sha256:` and the SHA-256 of a
/// certificate, or `serial:` and its serial number, a comma, and its issuer, as an inspection shows them. A signature is
/// found if somebody signed any of its versions. `verdict` is about the last recorded verdict on the current version.
///
/// To learn of every change, follow the events: a list by the last change can miss a signature that changes while you
/// read it.
#[utoipa::path(
    get,
    path = "/signatures",
    operation_id = "list_signatures",
    responses(
        (status = 200, description = "A page of signatures", body = Envelope<ListContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let filter = filter(&parameters)?;
    let fields = fields(&parameters)?;
    let omits = omits_signature(&parameters)?;
    let without = |field: &str| {
        fields
            .as_ref()
            .is_some_and(|fields| fields.iter().all(|named| named != field))
    };
    let after = parameters.text(&parameter::CURSOR)?;
    let order = filter.order;
    let Threads {
        page,
        nb_results,
        incomplete,
    } = signatures::list(
        &call.app,
        &call.context,
        &List {
            after: after.map(|cursor| read_cursor(cursor, order)).transpose()?,
            filter,
            limit: parameters.limit(&parameter::LIMIT)?,
            offset: parameters.integer(&parameter::OFFSET)?.unwrap_or(0),
            count: parameters.flag(&parameter::COUNT)?,
            omit_body: omits || without("signature"),
        },
        |bytes| call.reserve(read_and_shown(bytes)),
    )?;
    Reply::content(&ListContent {
        signatures: page
            .items
            .into_iter()
            .map(|signature| {
                let content = SignatureContent::from(signature).with_chain();
                Listed::new(content, fields.as_ref())
            })
            .collect(),
        next: page.next.map(|next| cursor(next, order)),
        nb_results,
        incomplete,
    })
}

fn filter(parameters: &Parameters<'_>) -> Result<ListFilter> {
    let thread = parameters.label(&parameter::THREAD)?;
    let chain = parameters.label(&parameter::CHAIN)?;
    if thread.is_some() && chain.is_some() && thread != chain {
        return Err(Error::invalid(
            "chain",
            "`chain` and `thread` mean the same, but have different values: give only one.",
        ));
    }
    let all_tags = match parameters.text(&parameter::TAGS_MATCH)? {
        None | Some("any") => false,
        Some("all") => true,
        Some(_) => {
            return Err(Error::invalid(
                "tags_match",
                "`tags_match` must be `any` or `all`.",
            ));
        }
    };
    let (order, since, until) = order(parameters)?;
    let verdict = |word: &str| {
        let verdict: Overall = word.parse().ok()?;
        Some(verdict.term().to_owned())
    };
    let signer = |text: &str| SignerTerm::read(text).map(SignerTerm::into_text);
    let of_signers = "must be `iin:` or `bin:` and 12 digits, `sha256:` and 64 hexadecimal digits, or `serial:` and a serial \
                      number in hexadecimal, a comma and the issuer";
    let of_verdicts = "must be `passed`, `indeterminate` or `failed`";
    Ok(ListFilter {
        document: parameters.label(&parameter::DOCUMENT)?,
        thread: chain.or(thread),
        stage: parameters.label(&parameter::STAGE)?,
        tags: fold_tags(
            "tags",
            parameters.list(&parameter::TAGS)?.unwrap_or_default(),
        )?,
        all_tags,
        signers: terms(parameters, &parameter::SIGNER, of_signers, signer)?,
        not_signed_by: terms(parameters, &parameter::NOT_SIGNED_BY, of_signers, signer)?,
        verdicts: terms(parameters, &parameter::OVERALL, of_verdicts, verdict)?,
        since,
        until,
        order,
    })
}

/// Reads a list of terms, each once.
fn terms(
    parameters: &Parameters<'_>,
    parameter: &Parameter,
    rule: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let name = parameter.name;
    let given = parameters.list(parameter)?.unwrap_or_default();
    if given.len() > MAX_TERMS {
        let message = format!("`{name}` may have at most {MAX_TERMS} values.");
        return Err(Error::invalid(name, message));
    }
    let mut terms = Vec::with_capacity(given.len());
    for text in given {
        let term = read(&text).ok_or_else(|| Error::invalid(name, format!("`{name}` {rule}.")))?;
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    Ok(terms)
}

type Time = chrono::DateTime<chrono::Utc>;

/// The order of the list, and the first and the last time of it.
fn order(parameters: &Parameters<'_>) -> Result<(Order, Option<Time>, Option<Time>)> {
    let time = |parameter| time_of(parameters, parameter);
    let created = [&parameter::CREATED_SINCE, &parameter::CREATED_UNTIL];
    let updated = [&parameter::UPDATED_SINCE, &parameter::UPDATED_UNTIL];
    let [created_since, created_until] = [time(created[0])?, time(created[1])?];
    let [updated_since, updated_until] = [time(updated[0])?, time(updated[1])?];
    let by_update = updated_since.is_some() || updated_until.is_some();
    let by = match parameters.text(&parameter::ORDER)? {
        Some("created") => OrderBy::Created,
        Some("updated") => OrderBy::Updated,
        None if by_update => OrderBy::Updated,
        None => OrderBy::Created,
        Some(_) => {
            return Err(Error::invalid(
                "order",
                "`order` must be `created` or `updated`.",
            ));
        }
    };
    // A range of the other time would have to look at all signatures.
    let others = match by {
        OrderBy::Created => [(updated[0], updated_since), (updated[1], updated_until)],
        OrderBy::Updated => [(created[0], created_since), (created[1], created_until)],
    };
    if let Some((other, _)) = others.into_iter().find(|(_, given)| given.is_some()) {
        let name = other.name;
        let message = match by {
            OrderBy::Created => format!("`{name}` needs `order=updated`."),
            OrderBy::Updated => format!("`{name}` needs `order=created`."),
        };
        return Err(Error::invalid(name, message));
    }
    let ascending = match parameters.text(&parameter::DIRECTION)? {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            return Err(Error::invalid(
                "direction",
                "`direction` must be `asc` or `desc`.",
            ));
        }
    };
    let order = Order { by, ascending };
    Ok(match by {
        OrderBy::Created => (order, created_since, created_until),
        OrderBy::Updated => (order, updated_since, updated_until),
    })
}

/// The members that the answer shall have; none for all.
fn fields(parameters: &Parameters<'_>) -> Result<Option<Arc<[String]>>> {
    let Some(given) = parameters.list(&parameter::FIELDS)? else {
        return Ok(None);
    };
    if let Some(unknown) = given.iter().find(|name| !FIELDS.contains(&name.as_str())) {
        let message = format!(
            "`fields` has `{unknown}`, which signatures do not have: name some of {}.",
            FIELDS.join(", ")
        );
        return Err(Error::invalid("fields", message));
    }
    let named = FIELDS.iter().map(|field| (*field).to_owned());
    Ok(Some(named.filter(|field| given.contains(field)).collect()))
}

/// The byte at the end of a cursor that names the order; none for the usual one.
fn code(order: Order) -> Option<u8> {
    match (order.by, order.ascending) {
        (OrderBy::Created, false) => None,
        (OrderBy::Created, true) => Some(1),
        (OrderBy::Updated, false) => Some(2),
        (OrderBy::Updated, true) => Some(3),
    }
}

/// Encodes a position in a list as a cursor: microseconds since 1970 and the thread's id, eight bytes each, and the order.
fn cursor(position: Position, order: Order) -> String {
    let mut bytes = Vec::with_capacity(17);
    bytes.extend(position.at.timestamp_micros().to_be_bytes());
    bytes.extend(position.id.0.to_be_bytes());
    bytes.extend(code(order));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(cursor: &str, order: Order) -> Result<Position> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| invalid_cursor())?;
    let (place, given) = bytes.split_at_checked(16).ok_or_else(invalid_cursor)?;
    let known = match given {
        [] => None,
        [code] if (1..=3).contains(code) => Some(*code),
        _ => return Err(invalid_cursor()),
    };
    if known != code(order) {
        let message = "`cursor` is from a list in another order: give the `order` and `direction` of that list.";
        return Err(Error::invalid("cursor", message));
    }
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | i64::from(*byte))
    };
    let (micros, id) = place.split_at(8);
    let at = time::from_micros(number(micros)).ok_or_else(invalid_cursor)?;
    Ok(Position {
        at,
        id: SignatureId(number(id)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn of(by: OrderBy, ascending: bool) -> Order {
        Order { by, ascending }
    }

    const ORDERS: [Order; 4] = [
        of(OrderBy::Created, false),
        of(OrderBy::Created, true),
        of(OrderBy::Updated, false),
        of(OrderBy::Updated, true),
    ];

    #[test]
    fn cursors_come_back_as_they_went_and_others_are_refused() {
        let position = Position {
            at: time::from_micros(1_613_660_400_123_456).unwrap(),
            id: SignatureId(42),
        };
        for order in ORDERS {
            let text = cursor(position, order);
            assert_eq!(read_cursor(&text, order).unwrap(), position);
            let others = ORDERS.iter().filter(|other| **other != order);
            for other in others {
                assert!(read_cursor(&text, *other).is_err(), "{order:?} {other:?}");
            }
        }
        for bad in [
            "",
            "x",
            "AAAA",
            &"_".repeat(22),
            &"A".repeat(23),
            &"A".repeat(44),
        ] {
            assert!(read_cursor(bad, Order::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_member_can_be_asked_for() {
        let RefOr::T(Schema::Object(object)) = Listed::schema() else {
            panic!("it is no object");
        };
        assert!(object.required.is_empty());
        let members: Vec<_> = object.properties.keys().map(String::as_str).collect();
        let mut fields = FIELDS.to_vec();
        fields.sort_unstable();
        let mut members = members;
        members.sort_unstable();
        assert_eq!(members, fields);
    }

    proptest! {
        #[test]
        fn a_cursor_is_a_place_or_refused(
            micros in 0_i64..253_402_300_800_000_000,
            id in any::<i64>(),
            order in 0_usize..4,
            other in "[A-Za-z0-9_=-]{0,30}",
        ) {
            let position = Position {
                at: time::from_micros(micros).unwrap(),
                id: SignatureId(id),
            };
            prop_assert_eq!(read_cursor(&cursor(position, ORDERS[order]), ORDERS[order]).unwrap(), position);
            // Each position has exactly one encoding.
            if let Ok(position) = read_cursor(&other, ORDERS[order]) {
                prop_assert_eq!(cursor(position, ORDERS[order]), other);
            }
        }
    }
}
