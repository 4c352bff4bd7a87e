//! When a failed delivery is repeated, and which answers count as delivered.
//!
//! The schedule is that of Standard Webhooks: ten attempts over three days. It holds no state; the caller counts attempts.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Pauses after each attempt but the last, in seconds.
const PAUSES_S: [u64; 9] = [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];
/// Part of a pause by which it is longer or shorter at most.
const JITTER: f64 = 0.1;

/// Longest time for which a receiver can make us wait.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);

/// The pause after so many attempts, or none after the last one.
///
/// `random` is between 0 and 1, and makes the pause up to 10 % shorter or longer, so that deliveries which failed together
/// are not repeated together. Before the first attempt there is no pause.
pub fn pause(attempt: u32, random: f64) -> Option<Duration> {
    let Some(last) = attempt.checked_sub(1) else {
        return Some(Duration::ZERO);
    };
    let pause = *PAUSES_S.get(usize::try_from(last).ok()?)?;
    let random = if random.is_nan() {
        0.5
    } else {
        random.clamp(0.0, 1.0)
    };
    let factor = 1.0 - JITTER + 2.0 * JITTER * random;
    Some(Duration::from_secs(pause).mul_f64(factor))
}

/// The pause as in [`pause`], and at least the time for which the receiver asks.
pub fn pause_as_asked(
    attempt: u32,
    random: f64,
    retry_after: Option<Duration>,
) -> Option<Duration> {
    let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    pause(attempt, random).map(|pause| pause.max(asked))
}

/// The pause after so many failed attempts of something that is tried until it succeeds: `first`, then twice as long each time,
/// at most `longest`.
///
/// `random` is between 0 and 1, and makes the pause up to 25 % longer.
pub fn doubling(attempt: u32, first: Duration, longest: Duration, random: f64) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
    let pause = first.saturating_mul(factor).min(longest);
    let random = if random.is_nan() {
        0.5
    } else {
        random.clamp(0.0, 1.0)
    };
    pause.mul_f64(1.0 + random / 4.0)
}

/// A random number between 0 and 1, for the jitter of pauses.
pub fn random() -> f64 {
    let mut byte = [0];
    // Without randomness, pauses are as long as they are meant to be.
    match rand::fill(&mut byte) {
        Ok(()) => f64::from(byte[0]) / 255.0,
        Err(_) => 0.5,
    }
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3). At most [`MAX_RETRY_AFTER`].
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim_ascii();
    let is_seconds = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_seconds {
        // A number that is too long for us is a long time.
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

/// The meaning of an answer to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver is gone and wants no more: nothing is repeated, and the webhook is disabled.
    Gone,
    /// Everything else, redirects included: it is repeated.
    Failed,
}

impl Outcome {
    /// The outcome that an answer's status means.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_take_three_days() {
        let pauses: Vec<_> = (0..12).map_while(|attempt| pause(attempt, 0.5)).collect();
        let seconds: Vec<_> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(
            seconds,
            [
                0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400
            ]
        );
        assert_eq!(seconds.iter().sum::<u64>() / HOUR, 75);
        assert_eq!(pause(10, 0.5), None);
        assert_eq!(pause(u32::MAX, 0.5), None);
    }

    #[test]
    fn jitter_is_a_tenth() {
        let of = |random| pause(2, random).unwrap().as_secs_f64();
        for (random, expected) in [
            (0.0, 270.0),
            (0.25, 285.0),
            (1.0, 330.0),
            (-3.0, 270.0),
            (f64::INFINITY, 330.0),
            (f64::NAN, 300.0),
        ] {
            assert!((of(random) - expected).abs() < 0.001, "{random}");
        }
    }

    #[test]
    fn doubling_pauses_end_at_the_longest() {
        let of = |attempt, random| {
            let (first, longest) = (Duration::from_secs(60), Duration::from_secs(600));
            doubling(attempt, first, longest, random).as_secs()
        };
        let pauses: Vec<_> = (0..8).map(|attempt| of(attempt, 0.0)).collect();
        assert_eq!(pauses, [60, 60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(of(u32::MAX, 1.0), 750);
        assert_eq!(of(1, f64::NAN), 67);
        assert!((0.0..=1.0).contains(&random()));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(0)),
            ("Wed, 21 Oct 2099 07:28:00 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let read = retry_after(value, now).map(|asked| asked.as_secs());
            assert_eq!(read, expected, "{value}");
        }
    }

    #[test]
    fn a_receiver_can_only_ask_for_longer_pauses() {
        let asked = |seconds| pause_as_asked(2, 0.5, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(1), Some(Duration::from_secs(300)));
        assert_eq!(asked(3600), Some(Duration::from_secs(3600)));
        assert_eq!(asked(u64::MAX), Some(MAX_RETRY_AFTER));
        assert_eq!(pause_as_asked(10, 0.5, Some(Duration::from_secs(1))), None);
        assert_eq!(pause_as_asked(2, 0.5, None), pause(2, 0.5));
    }

    #[test]
    fn only_2xx_is_delivered() {
        for (status, outcome) in [
            (200, Outcome::Delivered),
            (204, Outcome::Delivered),
            (299, Outcome::Delivered),
            (101, Outcome::Failed),
            (301, Outcome::Failed),
            (404, Outcome::Failed),
            (410, Outcome::Gone),
            (429, Outcome::Failed),
            (500, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of_status(status), outcome, "{status}");
        }
    }
}
