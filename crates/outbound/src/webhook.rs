//! Signatures of webhooks, as in Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks).
//!
//! A delivery is signed with HMAC-SHA256 over its id, its time and its body, so that a receiver knows that it is ours, and
//! that it is not an old one sent again. During a rotation it is signed with both secrets, and either suffices.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::{constant_time, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Header with the id of the delivery, equal in all attempts.
pub const ID_HEADER: &str = "webhook-id";
/// Header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
/// Lengths of a secret that the specification permits.
const MIN_BYTES: usize = 24;
const MAX_BYTES: usize = 64;
/// Length of a secret that we make: as long as the hash, since HMAC gains nothing from more.
const GENERATED_BYTES: usize = 32;

/// A secret that we share with a receiver.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Makes a secret.
    ///
    /// # Errors
    ///
    /// [`SecretError::Random`] if the system has no randomness.
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new(vec![0; GENERATED_BYTES]);
        rand::fill(&mut bytes).map_err(|_| SecretError::Random)?;
        Ok(Self(bytes))
    }

    /// Reads a secret from its text: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    ///
    /// [`SecretError`] if it is not one.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Syntax)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::Syntax)?;
        let bytes = Zeroizing::new(bytes);
        if !(MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(bytes))
    }

    /// The text of the secret, for the receiver.
    pub fn reveal(&self) -> Zeroizing<String> {
        let length = PREFIX.len() + MAX_BYTES.div_ceil(3) * 4;
        // With all the room that is needed, no copy is left behind in memory that was too small.
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(PREFIX);
        STANDARD.encode_string(self.0.as_slice(), &mut text);
        text
    }

    fn tag(&self, id: &str, timestamp: i64, body: &[u8]) -> hmac::Tag {
        let key = hmac::Key::new(HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(id.as_bytes());
        context.update(format!(".{timestamp}.").as_bytes());
        context.update(body);
        context.sign()
    }
}

/// Never shows the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Reasons for which there is no [`Secret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text is not one of a secret.
    #[error("A webhook's secret is whsec_ followed by base64")]
    Syntax,
    /// The secret is too short or too long.
    #[error("A webhook's secret has 24 to 64 bytes")]
    Length,
    /// The system has no randomness.
    #[error("The system has no randomness")]
    Random,
}

/// Signs a delivery with each of the secrets: `v1,BASE64 v1,BASE64`.
///
/// The id must not contain a full stop, which separates the signed parts.
pub fn signature(secrets: &[&Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = |secret: &&Secret| {
        let tag = secret.tag(id, timestamp, body);
        format!("{VERSION}{}", STANDARD.encode(tag))
    };
    let signatures: Vec<_> = secrets.iter().map(signed).collect();
    signatures.join(" ")
}

/// A delivery as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The value of [`ID_HEADER`].
    pub id: &'a str,
    /// The value of [`TIMESTAMP_HEADER`].
    pub timestamp: &'a str,
    /// The value of [`SIGNATURE_HEADER`].
    pub signature: &'a str,
    /// The body, byte by byte.
    pub body: &'a [u8],
}

/// Reasons for which a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Its time is not a number.
    #[error("The time of the delivery is not a number of seconds")]
    Timestamp,
    /// Its time is too far from ours.
    #[error("The delivery is too old, or from the future")]
    Time,
    /// No signature is by one of the secrets.
    #[error("The signature is not by one of the secrets")]
    Signature,
}

/// Verifies that a delivery is signed with one of the secrets, and not too far from `now`, in seconds since 1970.
///
/// # Errors
///
/// [`Unverified`] otherwise.
pub fn verify(
    secrets: &[&Secret],
    received: Received<'_>,
    now: i64,
    tolerance: Duration,
) -> Result<(), Unverified> {
    let timestamp: i64 = received
        .timestamp
        .parse()
        .ok()
        // Signed is the number, not its text.
        .filter(|timestamp: &i64| timestamp.to_string() == received.timestamp)
        .ok_or(Unverified::Timestamp)?;
    if now.abs_diff(timestamp) > tolerance.as_secs() {
        return Err(Unverified::Time);
    }
    let given: Vec<_> = received
        .signature
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix(VERSION)?).ok())
        .collect();
    let is_signed = secrets.iter().any(|secret| {
        let tag = secret.tag(received.id, timestamp, received.body);
        given
            .iter()
            .any(|given| constant_time::verify_slices_are_equal(tag.as_ref(), given).is_ok())
    });
    if is_signed {
        Ok(())
    } else {
        Err(Unverified::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secret, message and signature of the specification's reference implementations.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const TOLERANCE: Duration = Duration::from_secs(300);

    fn received(signature: &str) -> Received<'_> {
        Received {
            id: ID,
            timestamp: "1614265330",
            signature,
            body: BODY,
        }
    }

    #[test]
    fn signatures_are_those_of_the_reference() {
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(signature(&[&secret], ID, TIMESTAMP, BODY), SIGNATURE);
        assert_eq!(secret.reveal().as_str(), SECRET);
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn either_secret_of_a_rotation_suffices() {
        let (old, new) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let both = signature(&[&new, &old], ID, TIMESTAMP, BODY);
        assert_eq!(both.matches("v1,").count(), 2);
        for secret in [&old, &new] {
            assert_eq!(
                verify(&[secret], received(&both), TIMESTAMP, TOLERANCE),
                Ok(())
            );
        }
        let other = Secret::generate().unwrap();
        let refused = verify(&[&other], received(&both), TIMESTAMP, TOLERANCE);
        assert_eq!(refused, Err(Unverified::Signature));
        let unknown = format!("v1a,AAAA v1,??? v2, {SIGNATURE}");
        let secret = Secret::parse(SECRET).unwrap();
        assert_eq!(
            verify(&[&secret], received(&unknown), TIMESTAMP, TOLERANCE),
            Ok(())
        );
    }

    #[test]
    fn changed_deliveries_are_not_believed() {
        let secret = Secret::parse(SECRET).unwrap();
        let verified = |received| verify(&[&secret], received, TIMESTAMP, TOLERANCE);
        let good = received(SIGNATURE);
        assert_eq!(verified(good), Ok(()));
        let body = br#"{"test": 2432232315}"#;
        for changed in [
            Received { body, ..good },
            Received {
                id: "msg_other",
                ..good
            },
            Received {
                timestamp: "1614265331",
                ..good
            },
            received(""),
            received("v1,"),
            received("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O0="),
            received("v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ] {
            assert_eq!(verified(changed), Err(Unverified::Signature), "{changed:?}");
        }
        for timestamp in ["", "x", "+1614265330", "01614265330", "1614265330.0"] {
            let refused = verified(Received { timestamp, ..good });
            assert_eq!(refused, Err(Unverified::Timestamp), "{timestamp}");
        }
    }

    #[test]
    fn old_and_future_deliveries_are_not_believed() {
        let secret = Secret::parse(SECRET).unwrap();
        let at = |now| verify(&[&secret], received(SIGNATURE), now, TOLERANCE);
        assert_eq!((at(TIMESTAMP + 300), at(TIMESTAMP - 300)), (Ok(()), Ok(())));
        for now in [TIMESTAMP + 301, TIMESTAMP - 301, i64::MAX, i64::MIN] {
            assert_eq!(at(now), Err(Unverified::Time), "{now}");
        }
    }

    #[test]
    fn secrets_have_24_to_64_bytes() {
        for (bytes, is_fine) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
            assert_eq!(Secret::parse(&text).is_ok(), is_fine, "{bytes}");
        }
        let unprefixed = SECRET.trim_start_matches("whsec_");
        for text in ["", "whsec_", "whsec_????", unprefixed] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
        let made = Secret::generate().unwrap();
        let again = Secret::parse(&made.reveal()).unwrap();
        assert_eq!(*made.0, *again.0);
        assert_eq!(made.0.len(), 32);
    }
}
