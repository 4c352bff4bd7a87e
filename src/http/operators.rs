//! What the handlers of operators share.

use std::str::FromStr;

use super::parameters::Parameters;
use crate::error::{Error, Result};
use crate::plugins::model::Digest;

/// Reads a digest from a path; what is none names no revision.
pub(super) fn digest(segment: &str) -> Result<Digest> {
    segment
        .parse()
        .map_err(|message: String| Error::InvalidParameter {
            field: String::new(),
            message: format!("The path names no revision: {message}."),
        })
}

/// Reads a parameter that has a form of its own.
pub(super) fn parsed<T: FromStr<Err = String>>(
    parameters: &Parameters,
    name: &str,
) -> Result<Option<T>> {
    let text = parameters.text(name)?;
    text.map(|text| {
        text.parse()
            .map_err(|message: String| Error::invalid(name, format!("`{name}`: {message}.")))
    })
    .transpose()
}
