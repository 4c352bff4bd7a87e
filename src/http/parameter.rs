//! The parameters of all routes, in queries and JSON bodies: each is here once, for the table of routes, for the handlers
//! that read it and for the OpenAPI document.

use serde_json::{Value, json};
use sigpersist_model::attachments::MAX_CERTIFICATES_BYTES;
use sigpersist_model::signature::{MAX_COMMENT_CHARS, MAX_LABEL_CHARS, MAX_TAGS, MAX_VERSION};
use sigpersist_model::webhook::MAX_TYPES;

use super::list::{FIELDS as LISTED, MAX_TERMS};
use super::many::MAX_MANY;
use super::openapi::certificate;

/// An example signature, as clients send it.
const SIGNATURE: &str = include_str!("../../tests/data/first.cms.b64");
/// Number of results on a page, unless the client gives one.
pub(super) const DEFAULT_LIMIT: u32 = 50;
/// The most verdicts on a page, since they are larger than most other items.
const MAX_VERDICTS: u32 = 100;
/// Canonical base64: groups of four characters, with unused bits zero.
const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
/// The number of an event, and its hash.
const HEAD: &str = "^[0-9]{1,18}:[0-9a-f]{64}$";
/// Sixteen bytes in URL-safe base64, of which the first eight are a time, and the number of an order, if it is not the
/// usual one.
const PLACE: &str = "^A[A-H][A-Za-z0-9_-]{19}[AQgw][EIM]?$";

/// A parameter of some routes.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name in queries and bodies.
    pub(super) name: &'static str,
    /// Its values.
    pub(super) kind: Kind,
    /// Its meaning.
    pub(super) description: &'static str,
    /// An example.
    pub(super) example: fn() -> Value,
}

/// The values of a parameter.
#[derive(Debug)]
pub(super) enum Kind {
    /// A short text without control characters.
    Label,
    /// True or false; false if it is left out.
    Flag,
    /// True or false; both if it is left out.
    Either,
    /// A time.
    Time,
    /// A whole number.
    Integer {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
        /// The number if it is left out, if that is always the same.
        default: Option<u32>,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A text that matches this regular expression.
    Text(&'static str),
    /// Anything else, with its schema.
    Other(fn() -> Value),
}

impl Parameter {
    /// The JSON schema of its values.
    pub(super) fn schema(&self) -> Value {
        match &self.kind {
            Kind::Label => label(),
            Kind::Flag => json!({ "type": "boolean", "default": false }),
            Kind::Either => json!({ "type": "boolean" }),
            Kind::Time => json!({ "$ref": "#/components/schemas/GivenTime" }),
            Kind::Integer { min, max, default } => {
                let mut schema = json!({ "type": "integer", "minimum": min, "maximum": max });
                if let Some(default) = default {
                    schema["default"] = json!(default);
                }
                schema
            }
            Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
            Kind::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
            Kind::Other(schema) => schema(),
        }
    }
}

/// The schema of a list of signers.
fn signers() -> Value {
    let signer = json!({
        "type": "string",
        "pattern": r"^(iin:[0-9]{12}|bin:[0-9]{12}|sha256:[0-9A-Fa-f]{64}|serial:[0-9A-Fa-f]{1,80},.+)$",
    });
    json!({ "type": "array", "items": signer, "maxItems": MAX_TERMS })
}

/// The schema of a label.
pub(super) fn label() -> Value {
    // Control characters are those of Unicode's category Cc.
    json!({ "type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$", "minLength": 1, "maxLength": MAX_LABEL_CHARS })
}

/// Declares parameters: name, values, meaning and example.
macro_rules! parameters {
    ($($constant:ident = $name:literal, $kind:expr, $description:literal, $example:expr;)+) => {
        use Kind::*;

        $(
            pub(super) static $constant: Parameter = Parameter {
                name: $name,
                kind: $kind,
                description: $description,
                example: || $example,
            };
        )+
    };
}

parameters! {
    DOCUMENT = "document", Label,
        "The document's code", json!("doc_12");
    THREAD = "thread", Label,
        "The thread: the process in which the document is signed", json!("ticket_42");
    CHAIN = "chain", Label,
        "The same as `thread`", json!("ticket_42");
    STAGE = "stage", Label,
        "The stage of the version", json!("approval");
    VERSION = "version", Integer { min: 1, max: MAX_VERSION, default: None },
        "The version; the current one if it is left out", json!(1);
    VERSION_OF_VERDICTS = "version", Integer { min: 1, max: MAX_VERSION, default: None },
        "Only verdicts on this version; those on all versions if it is left out", json!(1);
    SIGNED_OVER = "version", Integer { min: 0, max: MAX_VERSION, default: None },
        "The version that was signed over; 0, or left out, for the first signature", json!(0);
    CMS = "cms", Other(|| json!({ "type": "string", "minLength": 1 })),
        "The signature: CMS in base64, or XML. It is stored and returned byte for byte", json!(SIGNATURE.trim());
    CONTENT = "content", Other(|| json!({ "type": "string", "pattern": BASE64, "contentEncoding": "base64" })),
        "The content that a detached signature signs, in base64",
        json!("QSBjb250cmFjdCBiZXR3ZWVuIHR3byBwZW9wbGUgd2hvIGRvIG5vdCBleGlzdC4K");
    CERTIFICATES = "certificates", Other(|| json!({ "type": "string", "maxLength": MAX_CERTIFICATES_BYTES })),
        "Additional certificates in PEM, of absent signers and of authorities in between. They are not trusted",
        certificate().into();
    VERSION_CREATED_BY = "version_created_by", Other(|| json!({ "oneOf": [{ "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX }, label()] })),
        "The creator of the version; returned as text", json!(33);
    VERSION_COMMENT = "version_comment", Other(|| json!({ "type": "string", "maxLength": MAX_COMMENT_CHARS })),
        "A comment on the version", json!("The first signature");
    TAGS = "tags", Other(|| json!({ "type": "array", "items": label(), "maxItems": MAX_TAGS })),
        "Tags; duplicates count once", json!(["customer_1", "signed"]);
    TAGS_MATCH = "tags_match", Other(|| json!({ "type": "string", "enum": ["any", "all"], "default": "any" })),
        "Whether `any` of `tags` is enough, or `all` must match", json!("any");
    SIGNER = "signer", Other(signers),
        "Only signatures that one of these people or organisations signed, in any version", json!(["iin:123456789011"]);
    NOT_SIGNED_BY = "not_signed_by", Other(signers),
        "Only signatures that none of them signed", json!(["iin:123456789012"]);
    OVERALL = "verdict", Other(|| json!({ "type": "array", "items": { "type": "string", "enum": ["passed", "indeterminate", "failed"] }, "maxItems": MAX_TERMS })),
        "Only signatures whose current version has one of these verdicts: `passed`, if every signer passed; `failed`, if one failed; otherwise `indeterminate`",
        json!(["passed"]);
    CREATED_SINCE = "created_since", Time,
        "Only signatures whose first version was saved at this time or later", json!("2021-02-18 01:00:00");
    CREATED_UNTIL = "created_until", Time,
        "Only signatures whose first version was saved before this time", json!("2031-02-18 01:00:00");
    UPDATED_SINCE = "updated_since", Time,
        "Only signatures whose current version was saved at this time or later; orders by `updated`", json!("2021-02-18 01:00:00");
    UPDATED_UNTIL = "updated_until", Time,
        "Only signatures whose current version was saved before this time; orders by `updated`", json!("2031-02-18 01:00:00");
    ORDER = "order", OneOf(&["created", "updated"]),
        "The time that orders the list: that of the first version, or of the current one", json!("created");
    DIRECTION = "direction", OneOf(&["desc", "asc"]),
        "Whether the newest come first (`desc`, the default) or the oldest", json!("desc");
    FIELDS = "fields", Other(|| json!({ "type": "array", "items": { "type": "string", "enum": LISTED } })),
        "The members of each signature that you want; all if it is left out", json!(["document", "thread", "version"]);
    OMIT = "omit", Other(|| json!({ "type": "array", "items": { "type": "string", "enum": ["signature"] } })),
        "What to leave out of the response: `signature`, the signature itself", json!(["signature"]);
    LIMIT = "limit", Integer { min: 1, max: crate::signatures::MAX_LIMIT, default: Some(DEFAULT_LIMIT) },
        "Maximum number of results", json!(20);
    LIMIT_OF_EVENTS = "limit", Integer { min: 1, max: crate::audit::MAX_LIMIT, default: Some(DEFAULT_LIMIT) },
        "Maximum number of results", json!(20);
    LIMIT_OF_DECISIONS = "limit", Integer { min: 1, max: crate::decisions::MAX_LIMIT, default: Some(DEFAULT_LIMIT) },
        "Maximum number of results", json!(20);
    LIMIT_OF_VERDICTS = "limit", Integer { min: 1, max: MAX_VERDICTS, default: Some(DEFAULT_LIMIT) },
        "Maximum number of results", json!(20);
    LIMIT_OF_HAPPENINGS = "limit", Integer { min: 1, max: crate::events::MAX_LIMIT, default: Some(DEFAULT_LIMIT) },
        "Maximum number of events", json!(100);
    AFTER = "after", Text("^(now|[0-9]{1,18})$"),
        "The number of the last event that you know; `now` for those that happen from now on. From the first event if it is left out; in a stream, from now on",
        json!("8122");
    FORMAT = "format", OneOf(&["json", "tlog-proof", "bundle"]),
        "The format of the proof", json!("json");
    WITNESSED = "witnessed", Flag,
        "Whether to get the last checkpoint that enough witnesses have signed, instead of the last one", json!(true);
    WITNESS = "name", Text("^[^+\\s\\x00-\\x1f]+$"),
        "The name of the witness", json!("witness.example.com/w1");
    FROM_SIZE = "from", Text("^[0-9]{1,18}$"),
        "The number of entries that the log had before", json!("1");
    TO_SIZE = "to", Text("^[0-9]{1,18}$"),
        "The number of entries that it had later; that of the last checkpoint if it is left out", json!("8200");
    WAIT = "wait", Integer { min: 0, max: super::events::MAX_WAIT_S, default: Some(0) },
        "Number of seconds to wait for an event, if there is none yet", json!(20);
    SIGNATURES = "signatures", Other(|| json!({ "type": "array", "items": { "type": "object" }, "minItems": 1, "maxItems": MAX_MANY })),
        "At most 100", json!([]);
    TYPES = "types", Other(|| json!({ "type": "array", "items": { "$ref": "#/components/schemas/EventTypes" }, "maxItems": MAX_TYPES })),
        "The types of events to tell; a type that ends with a dot stands for all that begin so. All if it is left out",
        json!(["version.saved", "signature."]);
    OFFSET = "offset", Integer { min: 0, max: MAX_VERSION, default: Some(0) },
        "Number of results to skip", json!(0);
    CURSOR = "cursor", Text(PLACE),
        "The `next` of an earlier answer, to continue it", json!("AAW7i4RxVUAAAAAAAAAAKg");
    CURSOR_OF_VERSIONS = "cursor", Text("^[1-9][0-9]{0,8}$"),
        "The `next` of an earlier answer, to continue it", json!("3");
    CURSOR_OF_VERDICTS = "cursor", Text("^[1-9][0-9]{0,8}-[1-9][0-9]{0,17}$"),
        "The `next` of an earlier answer, to continue it", json!("1-1");
    CURSOR_OF_EVENTS = "cursor", Text("^[0-9]{1,18}-[0-9a-f]{64}$"),
        "The `next` of an earlier answer, to continue it",
        json!("1613610000000000-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CURSOR_OF_DECISIONS = "cursor", Text("^[0-9]{1,17}-[0-9]{1,18}-[0-3]?[0-9]{1,9}$"),
        "The `next` of an earlier answer, to continue it", json!("1613610000000000-17-0");
    CURSOR_OF_KEYS = "cursor", Text(r"^[^\x00-\x1f\x7f-\x9f]{1,255}$"),
        "The `next` of an earlier answer, to continue it", json!("acme-1");
    CURSOR_OF_TENANTS = "cursor", Other(|| json!({ "$ref": "#/components/schemas/Slug" })),
        "The `next` of an earlier answer, to continue it", json!("acme");
    COUNT = "count", Flag,
        "Whether to count all matches, as `nb_results`", json!(true);
    INSPECT = "inspect", Flag,
        "Whether to show who signed", json!(true);
    VERIFY = "verify", Flag,
        "Whether to verify the signature, too", json!(true);
    PLATFORM = "platform", Flag,
        "Whether it is about the platform's own events only", json!(true);
    HOOK = "hook", Label,
        "The hook's name", json!("signer-tags");
    VERDICT = "verdict", OneOf(&["accepted", "rejected", "failed"]),
        "The verdict of the hook", json!("rejected");
    BINDING = "binding", Integer { min: 1, max: u32::MAX, default: None },
        "The number of the hook's binding", json!(1);
    REVISION = "revision", Text("^[0-9a-fA-F]{64}$"),
        "The SHA-256 of the revision that ran",
        json!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    SHADOW = "shadow", Either,
        "Whether a shadow decided, or the hook itself", json!(true);
    DIFFERS = "differs", Either,
        "Only decisions of shadows: whether the hook itself decided differently", json!(true);
    CODE = "code", Label,
        "The code of one of the rejections", json!("signer-dropped");
    OUTCOME = "outcome", OneOf(&["accepted", "rejected", "failed", "not_stored"]),
        "The outcome of the save or delete", json!("rejected");
    SUBJECT = "subject", Label,
        "The subject of the token that saved or deleted", json!("crm");
    BINDING_OF_SHADOW = "binding", Integer { min: 1, max: u32::MAX, default: None },
        "The number of the hook's binding that has the shadow; the one in force if it is left out", json!(1);
    OTHER_BINDING = "to", Integer { min: 1, max: u32::MAX, default: None },
        "The number of the other binding; the one in force if it is left out", json!(2);
    LIMIT_OF_BINDINGS = "limit", Integer { min: 1, max: crate::plugins::MAX_LIMIT, default: Some(crate::plugins::MAX_LIMIT) },
        "Maximum number of results", json!(20);
    CURSOR_OF_BINDINGS = "cursor", Text("^[1-9][0-9]{0,8}$"),
        "The `next` of an earlier answer, to continue it", json!("3");
    LIMIT_OF_SHADOW = "limit", Integer { min: 1, max: crate::trials::MAX_BACKTEST, default: Some(crate::trials::MAX_BACKTEST) },
        "Maximum number of decisions to count", json!(1000);
    SINCE = "since", Time,
        "At this time or later", json!("2021-02-18 01:00:00");
    UNTIL = "until", Time,
        "Before this time", json!("2031-02-18 01:00:00");
    TO = "to", Integer { min: 1, max: u32::MAX, default: None },
        "The number of the binding to restore; the previous one if it is left out", json!(1);
    TENANT = "tenant", Label,
        "The tenant's slug", json!("acme");
    ACTOR = "actor", Label,
        "The subject of the token that made the change", json!("olga");
    ACTION = "action", Label,
        "The action", json!("hook.set");
    TARGET = "target", Label,
        "The object of the action", json!("signer-tags");
    REQUEST_ID = "request_id", Label,
        "The id of the request", json!("7f0c2f4e9d5a41b7");
    STATE = "state", OneOf(&["active", "suspended", "deleting", "removing"]),
        "The state of the tenants", json!("active");
    EXPECT = "expect", Text(HEAD),
        "An event that must be in the trail: the `head` of an earlier check",
        json!("12:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECTED_LOG = "expect", Text(HEAD),
        "A state that the log must have had: the `head` of an earlier check",
        json!("8123:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    KEYED = "keyed", Flag,
        "Whether it is a fault if seals could not be checked, or there are none", json!(true);
    INCOMPLETE = "incomplete", Flag,
        "Whether to resume the tenant although parts of its import are missing", json!(true);
    ANYBODYS = "anybodys", Flag,
        "Without a tenant in the path: whether the key may be any tenant's, too", json!(true);
    CONFIRM = "confirm", Label,
        "The tenant's slug once more: removes all its data at once, without the grace period", json!("acme");
}
