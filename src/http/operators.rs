//! Parsing that the handlers for operators share.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::time;

use super::parameter::Parameter;
use super::parameters::Parameters;

/// Reads a digest from a path. An invalid one gets an error that the path names nothing.
pub(super) fn digest(segment: &str) -> Result<Digest> {
    segment
        .parse()
        .map_err(|message: String| Error::InvalidParameter {
            field: String::new(),
            message: format!("The path is not valid: {message}."),
        })
}

/// Reads a parameter that has a type of its own.
pub(super) fn parsed<T: FromStr<Err = String>>(
    parameters: &Parameters<'_>,
    parameter: &Parameter,
) -> Result<Option<T>> {
    let text = parameters.text(parameter)?;
    text.map(|text| parse(parameter.name, text)).transpose()
}

/// Parses the text of a parameter that has a type of its own.
pub(super) fn parse<T: FromStr<Err = String>>(name: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|message: String| Error::invalid(name, format!("`{name}`: {message}.")))
}

/// Reads a parameter that is a time.
pub(super) fn time_of(
    parameters: &Parameters<'_>,
    parameter: &Parameter,
) -> Result<Option<DateTime<Utc>>> {
    let name = parameter.name;
    let text = parameters.text(parameter)?;
    text.map(|text| {
        time::from_text(text)
            .map_err(|message| Error::invalid(name, format!("`{name}`: {message}.")))
    })
    .transpose()
}
