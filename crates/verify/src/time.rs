//! Times as a report spells them.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Timelike as _, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(DateTime<Utc>);

impl Time {
    /// The time this many milliseconds after 1970; `None` if `chrono` can't represent its year.
    pub fn from_ms(ms: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(ms).map(Self)
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0.timestamp_millis()
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

/// `YYYY-MM-DD HH:MM:SS`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Faster than chrono's `format`, which parses the format string each time; a report contains several times.
        let Self(time) = self;
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what [`Serialize`] writes.
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S")
            .map(|time| Self(time.and_utc()))
            .map_err(serde::de::Error::custom)
    }
}

/// Writes milliseconds since 1970 as a [`Time`].
pub(crate) fn serialize_ms<S: Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    Time::from_ms(*ms).serialize(serializer)
}

/// Writes optional milliseconds since 1970 as an optional [`Time`].
pub(crate) fn serialize_option_ms<S: Serializer>(
    ms: &Option<i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    ms.and_then(Time::from_ms).serialize(serializer)
}
