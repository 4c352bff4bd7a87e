//! Quotas of tenants: as set, as changed and in force. `meters` and `usage` enforce them.

use std::str::FromStr;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A value for each quota.
///
/// `u64` is the value in force, 0 for no limit; `Option<u64>` is the value set for one tenant, where none means the
/// server's default; [`QuotaPatch`] is a change that an admin asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quotas<T: Default> {
    /// Maximum bytes of signatures, as they are stored.
    #[schema(example = 0)]
    #[serde(default)]
    pub max_bytes: T,
    /// Maximum number of threads.
    #[schema(example = 0)]
    #[serde(default)]
    pub max_threads: T,
    /// Maximum size of a signature, in bytes of its text. The server's own limit applies too.
    #[schema(example = 0)]
    #[serde(default)]
    pub max_signature_bytes: T,
    /// Requests per second, on each server.
    #[schema(example = 0)]
    #[serde(default)]
    pub requests_per_second: T,
    /// Requests that may arrive at once after a quiet time; 0 means as many as one second allows.
    #[schema(example = 0)]
    #[serde(default)]
    pub request_burst: T,
    /// Concurrent requests, on each server.
    #[schema(example = 0)]
    #[serde(default)]
    pub max_concurrent_requests: T,
    /// Milliseconds of hook time per second, on each server.
    #[schema(example = 0)]
    #[serde(default)]
    pub hook_ms_per_second: T,
}

/// Current counts of this server against a tenant's quotas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = MeteredUsage)]
pub struct Reading {
    /// Recent requests that still count against the rate quota.
    #[schema(example = 0)]
    pub requests: u64,
    /// Concurrent requests.
    #[schema(example = 0)]
    pub concurrent_requests: u64,
    /// Milliseconds of hook time that still count against the quota.
    #[schema(example = 0)]
    pub hook_ms: u64,
}

impl<T: Default> Quotas<T> {
    /// Combines each quota with the same one of `other`.
    pub fn zip<U: Default, V: Default>(
        self,
        other: Quotas<U>,
        combine: impl Fn(T, U) -> V,
    ) -> Quotas<V> {
        Quotas {
            max_bytes: combine(self.max_bytes, other.max_bytes),
            max_threads: combine(self.max_threads, other.max_threads),
            max_signature_bytes: combine(self.max_signature_bytes, other.max_signature_bytes),
            requests_per_second: combine(self.requests_per_second, other.requests_per_second),
            request_burst: combine(self.request_burst, other.request_burst),
            max_concurrent_requests: combine(
                self.max_concurrent_requests,
                other.max_concurrent_requests,
            ),
            hook_ms_per_second: combine(self.hook_ms_per_second, other.hook_ms_per_second),
        }
    }

    /// Applies `change` to each quota.
    pub fn map<V: Default>(self, change: impl Fn(T) -> V) -> Quotas<V> {
        self.zip(Quotas::<()>::default(), |value, ()| change(value))
    }
}

impl Quotas<Option<u64>> {
    /// The quotas in force: the tenant's own, otherwise the server's defaults.
    pub fn in_force(self, defaults: Quotas<u64>) -> Quotas<u64> {
        let mut in_force = self.zip(defaults, Option::unwrap_or);
        if in_force.request_burst == 0 {
            in_force.request_burst = in_force.requests_per_second;
        }
        in_force
    }

    /// The quotas after a change.
    #[must_use]
    pub fn changed(self, change: Quotas<QuotaPatch>) -> Self {
        self.zip(change, |own, change| match change {
            QuotaPatch::Keep => own,
            QuotaPatch::Default => None,
            QuotaPatch::To(value) => Some(value),
        })
    }
}

/// A change of one quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QuotaPatch {
    /// Keeps the current value.
    #[default]
    Keep,
    /// Sets the server's default; null in JSON.
    Default,
    /// Sets this value; 0 means no limit.
    To(u64),
}

impl<'de> Deserialize<'de> for QuotaPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value: Option<u64> = crate::number::deserialize_option(deserializer)?;
        match value {
            None => Ok(Self::Default),
            // The largest value that the database can store.
            Some(value) if i64::try_from(value).is_ok() => Ok(Self::To(value)),
            Some(_) => Err(serde::de::Error::custom(format!(
                "the number is above {}",
                i64::MAX
            ))),
        }
    }
}

impl FromStr for QuotaPatch {
    type Err = String;

    /// Parses `default`, or a whole number with an optional unit of bytes: `10G` or `10GiB`.
    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
        if text == "default" {
            return Ok(Self::Default);
        }
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text.strip_prefix(number).unwrap_or_default();
        let unit = unit.strip_suffix("iB").unwrap_or(unit);
        let power = UNITS.iter().position(|known| *known == unit);
        let value = number
            .parse::<u64>()
            .ok()
            .zip(power)
            .and_then(|(number, power)| {
                let value = number.checked_mul(1 << (10 * power))?;
                i64::try_from(value).is_ok().then_some(value)
            });
        value.map(Self::To).ok_or_else(|| {
            "a quota is a whole number, 0 for no limit, or `default`; K, M, G and T stand for powers of 1,024"
                .to_owned()
        })
    }
}

/// A quota that was exceeded, by the name of its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Quota {
    /// Stored bytes.
    #[serde(rename = "max_bytes")]
    Bytes,
    /// Threads.
    #[serde(rename = "max_threads")]
    Threads,
    /// Requests per second.
    #[serde(rename = "requests_per_second")]
    Requests,
    /// Concurrent requests.
    #[serde(rename = "max_concurrent_requests")]
    ConcurrentRequests,
    /// Time of hooks per second.
    #[serde(rename = "hook_ms_per_second")]
    HookTime,
}

crate::words!(Quota);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_for_a_tenant_is_the_servers_default() {
        let own = Quotas {
            max_bytes: Some(0),
            max_threads: Some(7),
            ..Quotas::default()
        };
        let defaults = Quotas {
            max_bytes: 5,
            max_threads: 5,
            requests_per_second: 5,
            ..Quotas::default()
        };
        let in_force = own.in_force(defaults);
        assert_eq!((in_force.max_bytes, in_force.max_threads), (0, 7));
        assert_eq!(
            (in_force.requests_per_second, in_force.request_burst),
            (5, 5)
        );
        let change: Quotas<QuotaPatch> =
            serde_json::from_str(r#"{"max_bytes": null, "request_burst": 9}"#).unwrap();
        let changed = own.changed(change);
        assert_eq!((changed.max_bytes, changed.max_threads), (None, Some(7)));
        assert_eq!(changed.in_force(defaults).request_burst, 9);
        for bad in [
            r#"{"oops": 1}"#,
            r#"{"max_bytes": -1}"#,
            r#"{"max_bytes": 1e30}"#,
        ] {
            assert!(
                serde_json::from_str::<Quotas<QuotaPatch>>(bad).is_err(),
                "{bad}"
            );
        }
        let most = format!(r#"{{"max_bytes": {}}}"#, u64::MAX);
        assert!(serde_json::from_str::<Quotas<QuotaPatch>>(&most).is_err());
    }

    #[test]
    fn quotas_are_numbers_with_units_of_bytes() {
        for (text, change) in [
            ("default", QuotaPatch::Default),
            ("0", QuotaPatch::To(0)),
            ("10", QuotaPatch::To(10)),
            ("1K", QuotaPatch::To(1024)),
            ("3GiB", QuotaPatch::To(3 << 30)),
        ] {
            assert_eq!(text.parse(), Ok(change), "{text}");
        }
        for bad in ["", "K", "-1", "1.5G", "1X", "1iBiB", "9999999999T"] {
            assert!(bad.parse::<QuotaPatch>().is_err(), "{bad}");
        }
    }
}
