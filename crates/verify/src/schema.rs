//! OpenAPI schemas of strings with a fixed form.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::digest::Sha256;
use crate::time::Time;

fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .description(Some(description))
        .examples([example])
        .into()
}

impl PartialSchema for Sha256 {
    fn schema() -> RefOr<Schema> {
        text(
            "SHA-256 in hexadecimal.",
            "^[0-9a-f]{64}$",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        )
    }
}

impl ToSchema for Sha256 {}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        text(
            "A time in UTC.",
            r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$",
            "2021-02-18 01:00:00",
        )
    }
}

impl ToSchema for Time {}
