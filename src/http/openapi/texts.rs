//! Schemas of text with a certain format. Tests compare them with the responses.

use serde_json::json;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time from 1970 to 9999 in UTC, or in RFC 3339 format. February has 29 days only in leap years.
const GIVEN_TIME: &str = concat!(
    r"^((19[7-9]\d|[2-9]\d{3})-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])",
    r"|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))",
    r"|(19(7[26]|8[048]|9[26])|[2-9]\d(0[48]|[2468][048]|[13579][26])|([2468][048]|[3579][26])00)-02-29)",
    r"( ([01]\d|2[0-3]):[0-5]\d:[0-5]\d",
    r"|[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d))$",
);

/// An http or https URL of ASCII characters (RFC 3986), without user information and fragment, and what may follow its host.
macro_rules! called_url {
    ($rest:literal) => {
        concat!(
            r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?",
            $rest
        )
    };
}

/// An origin of a page as browsers write it. A default port is left out.
const PAGE_ORIGIN: &str = concat!(
    r"^(http://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{1,253}\])",
    r"(:([0-79][0-9]{0,4}|8|8[1-9][0-9]{0,3}|80[0-9]{1,3}))?",
    r"|https://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{1,253}\])",
    r"(:([0-35-9][0-9]{0,4}|4|4[0-35-9][0-9]{0,3}|44|44[0-24-9][0-9]{0,2}|443[0-9]{1,2}))?)$",
);

/// Declares schemas of text with a pattern.
macro_rules! text {
    ($(#[doc = $description:literal] $name:ident: $pattern:expr, $example:expr;)+) => { $(
        #[doc = $description]
        pub(in super::super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some($pattern))
                    .description(Some($description.trim()))
                    .examples([json!($example)])
                    .into()
            }
        }

        impl ToSchema for $name {}
    )+ };
}

text! {
    /// A time in UTC, or with an offset in RFC 3339 format.
    GivenTime: GIVEN_TIME, "2031-02-18 01:00:00";
    /// A name: a DNS label in lower case.
    Slug: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "acme";
    /// A URL that the server calls. Where it may lead is decided by the operator of the server.
    CalledUrl: called_url!(r"([/?][!$-;=?-\[\]_a-z~]{0,1700})?$"), "https://hooks.example.com/sigpersist";
    /// The URL with which the addresses of a witness begin.
    WitnessUrl: called_url!(r"(/[!$-;=@-\[\]_a-z~]{0,1700})?$"), "https://witness.example.com/w1";
    /// The origin of a page: a scheme, a host and perhaps a port, as browsers write them.
    PageOrigin: PAGE_ORIGIN, "https://app.example.com";
    /// The URL of a JSON Web Key Set. Where it may lead is decided by the operator of the server.
    KeysUrl: r"^https://", "https://id.example.com/realms/acme/protocol/openid-connect/certs";
    /// A type of events, or the beginning of some with a dot at its end.
    EventTypes: "^[a-z._]{1,64}$", "version.saved";
    /// The version, in quotes.
    VersionTag: "^\"[0-9]+\"$", "\"1\"";
    /// The version, in quotes; of a file also the SHA-256 of the signature.
    SignatureTag: "^\"[0-9]+(-[0-9a-f]{64})?\"$", "\"1\"";
    /// The number of the binding in force, in quotes.
    BindingTag: "^\"[0-9]+\"$", "\"1\"";
    /// The SHA-256 of the component, in quotes.
    RevisionTag: "^\"[0-9a-f]{64}\"$", "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
    /// The SHA-256 of the file, in quotes.
    FileTag: "^\"[0-9a-f]{64}\"$", "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"";
    /// The URL of the resource.
    Location: "^/", "/signature?document=doc%5F12&thread=ticket%5F42&version=1";
}

/// A stable error code for programs. The document gets the words from the errors themselves.
pub(in super::super) enum Code {}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([""; 0]))
            .description(Some("A stable error code for programs."))
            .into()
    }
}

impl ToSchema for Code {}

/// A public key that you send: PEM, or a JSON Web Key.
pub(in super::super) enum GivenPublicKey {}

impl PartialSchema for GivenPublicKey {
    fn schema() -> RefOr<Schema> {
        let pem = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("PEM."));
        let jwk = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property("kty", ObjectBuilder::new().schema_type(Type::String))
            .required("kty")
            .description(Some("A JSON Web Key (RFC 7517)."));
        OneOfBuilder::new().item(pem).item(jwk).into()
    }
}

impl ToSchema for GivenPublicKey {}

/// A WebAssembly component, or another file.
pub(in super::super) enum Component {}

impl PartialSchema for Component {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/octet-stream")
            .examples([json!("\0asm\r\0\u{1}\0")])
            .into()
    }
}

impl ToSchema for Component {}

/// Bytes of any kind.
pub(in super::super) enum Binary {}

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/octet-stream")
            .examples([json!("PK\u{3}\u{4}")])
            .into()
    }
}

impl ToSchema for Binary {}

/// A tenant's file, or a piece of it: newline-delimited JSON.
pub(in super::super) enum TenantFile {}

impl PartialSchema for TenantFile {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("application/x-ndjson")
            .examples([json!("{\"header\":{\"format\":\"sigpersist tenant\"}}\n")])
            .into()
    }
}

impl ToSchema for TenantFile {}
