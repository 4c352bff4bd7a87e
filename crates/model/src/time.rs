//! Time formats of the API and of cursors.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use sigpersist_verify::Time;

const FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// Formats a time as the API does: UTC, `YYYY-MM-DD HH:MM:SS`.
pub fn to_text(time: DateTime<Utc>) -> String {
    Time::from(time).to_string()
}

/// Reads a time in the API's format, or with an offset (RFC 3339).
///
/// # Errors
///
/// A sentence that describes the accepted formats.
pub fn from_text(text: &str) -> Result<DateTime<Utc>, String> {
    NaiveDateTime::parse_from_str(text, FORMAT)
        .map(|time| time.and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(text).map(Into::into))
        .ok()
        .filter(is_storable)
        .ok_or_else(|| {
            "a time is `YYYY-MM-DD HH:MM:SS` in UTC, or RFC 3339 with its offset".to_owned()
        })
}

/// Converts microseconds since 1970; none for years outside 1970 to 9999, so that Postgres accepts the time as text.
pub fn from_micros(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).filter(is_storable)
}

fn is_storable(time: &DateTime<Utc>) -> bool {
    (1970..10_000).contains(&time.year())
}

/// Reads an optional time.
///
/// # Errors
///
/// The errors of [`from_text`].
pub fn deserialize_option<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    text.map(|text| from_text(&text).map_err(serde::de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_went_and_others_are_refused() {
        let time = from_text("2021-02-18 01:00:00").unwrap();
        assert_eq!(to_text(time), "2021-02-18 01:00:00");
        assert_eq!(from_text("2021-02-18T06:00:00+05:00"), Ok(time));
        assert_eq!(from_micros(time.timestamp_micros()), Some(time));
        for bad in ["", "yesterday", "2021-02-18", "2021-02-30 00:00:00"] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
        assert_eq!(from_micros(i64::MAX), None);
    }
}
