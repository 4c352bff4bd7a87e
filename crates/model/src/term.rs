//! The terms by which threads are found besides their tags: who signed one of their versions, and the last verdict on the
//! current one. A term is a short text with a prefix, as the database has it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_verify::Signer;
use sigpersist_verify::pki::Indication;
use utoipa::ToSchema;

use crate::digest::{sha256, to_hex};

/// Greatest number of signers of a version by which its thread is found, countersigners included.
pub const MAX_INDEXED_SIGNERS: usize = 50;
/// Number of digits of an IIN and of a BIN.
const DIGITS: usize = 12;
/// Greatest number of hexadecimal digits of a serial number: twice the octets of RFC 5280 section 4.1.2.2, and more.
const MAX_SERIAL: usize = 80;

/// Who signed, as a client asks for it.
///
/// - `iin:123456789011`, the number of an individual;
/// - `bin:123456789021`, the number of an organisation;
/// - `sha256:` and the SHA-256 of a certificate, in hexadecimal;
/// - `serial:` and the serial number of a certificate in hexadecimal, a comma, and its issuer as in an inspection
///   (RFC 4514).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerTerm(String);

impl SignerTerm {
    /// Reads a client's text; none if it has another form.
    pub fn read(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        let is_number = value.len() == DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
        let is_hex = |value: &str| value.bytes().all(|byte| byte.is_ascii_hexdigit());
        match kind {
            "iin" | "bin" if is_number => Some(Self(text.to_owned())),
            "sha256" if value.len() == 64 && is_hex(value) => Some(Self(text.to_ascii_lowercase())),
            "serial" => {
                let (serial, issuer) = value.split_once(',')?;
                let is_serial = !serial.is_empty() && serial.len() <= MAX_SERIAL && is_hex(serial);
                (is_serial && !issuer.is_empty()).then(|| Self::of_serial(serial, issuer))
            }
            _ => None,
        }
    }

    /// The text in the database.
    pub fn into_text(self) -> String {
        self.0
    }

    /// A term of fixed size, however long the name of the issuer is.
    fn of_serial(serial: &str, issuer: &str) -> Self {
        let serial = serial.to_ascii_lowercase();
        let serial = match serial.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let issuer = to_hex(&sha256(issuer.as_bytes())[..16]);
        Self(format!("serial:{serial},{issuer}"))
    }

    /// The terms of signers, each once: at most four for each of [`MAX_INDEXED_SIGNERS`].
    pub fn of_signers<'s>(signers: impl Iterator<Item = &'s Signer>) -> Vec<String> {
        let mut terms = Vec::new();
        for signer in signers.take(MAX_INDEXED_SIGNERS) {
            let mut add = |term: String| {
                if !terms.contains(&term) {
                    terms.push(term);
                }
            };
            let by_serial = |serial: &str, issuer: &str| {
                (serial.len() <= MAX_SERIAL).then(|| Self::of_serial(serial, issuer).0)
            };
            if let Some(certificate) = &signer.certificate {
                for (kind, number) in [("iin", &certificate.iin), ("bin", &certificate.bin)] {
                    if let Some(number) = number {
                        add(format!("{kind}:{number}"));
                    }
                }
                add(format!("sha256:{}", certificate.sha256));
                if let Some(term) = by_serial(&certificate.serial, &certificate.issuer.rfc4514) {
                    add(term);
                }
            } else if let (Some(serial), Some(issuer)) =
                (&signer.identifier.serial, &signer.identifier.issuer)
                && let Some(term) = by_serial(serial, issuer)
            {
                add(term);
            }
        }
        terms
    }
}

/// The verdict on a version as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// Every signer passed.
    Passed,
    /// Nobody failed, and not every signer passed.
    Indeterminate,
    /// The signature can't be read, or a signer failed.
    Failed,
}

crate::words!(Overall);

impl Overall {
    /// The verdict as a whole, from the summary that is recorded with a version.
    pub fn of_summary(summary: &Value) -> Self {
        fn worst(signers: &Value, found: &mut Overall) {
            for signer in signers.as_array().into_iter().flatten() {
                let indication = Indication::deserialize(&signer["verdict"]["indication"]);
                match indication {
                    Ok(Indication::TotalPassed) => {}
                    Ok(Indication::TotalFailed) => *found = Overall::Failed,
                    Ok(Indication::Indeterminate) | Err(_) if *found == Overall::Passed => {
                        *found = Overall::Indeterminate;
                    }
                    Ok(Indication::Indeterminate) | Err(_) => {}
                }
                worst(&signer["countersignatures"], found);
            }
        }
        let signers = &summary["signers"];
        let nobody = signers.as_array().is_none_or(Vec::is_empty);
        let left_out = summary["left_out"].as_u64().unwrap_or(0) > 0;
        let mut found = match (summary["problem"].is_null(), nobody || left_out) {
            (false, _) => Self::Failed,
            (true, true) => Self::Indeterminate,
            (true, false) => Self::Passed,
        };
        worst(signers, &mut found);
        found
    }

    /// The term of the verdict in the database.
    pub fn term(self) -> &'static str {
        match self {
            Self::Passed => "verdict:passed",
            Self::Indeterminate => "verdict:indeterminate",
            Self::Failed => "verdict:failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sigpersist_verify::report;

    use super::*;
    use crate::signature::SignatureBody;

    #[test]
    fn signers_are_asked_for_as_an_inspection_shows_them() {
        let text = include_str!("../../../tests/data/first.cms.b64");
        let report = report(&SignatureBody::from_text(text.trim()).as_sent(), None);
        let terms = SignerTerm::of_signers(report.signers.iter());
        let certificate = report.signers[0].certificate.as_ref().unwrap();
        let asked = [
            format!("iin:{}", certificate.iin.as_ref().unwrap()),
            format!("bin:{}", certificate.bin.as_ref().unwrap()),
            format!("sha256:{}", certificate.sha256.to_ascii_uppercase()),
            format!(
                "serial:00{},{}",
                certificate.serial, certificate.issuer.rfc4514
            ),
        ];
        let asked = asked.map(|text| SignerTerm::read(&text).unwrap().into_text());
        let mut expected = asked.to_vec();
        let mut terms = terms;
        expected.sort();
        terms.sort();
        assert_eq!(terms, expected);
    }

    #[test]
    fn other_texts_ask_for_nobody() {
        for text in [
            "",
            "123456789011",
            "iin:12345678901",
            "iin:1234567890123",
            "iin:12345678901x",
            "IIN:123456789011",
            "sha256:00",
            "serial:01",
            "serial:,CN=x",
            "serial:0g,CN=x",
            "serial:01,",
            "verdict:passed",
        ] {
            assert_eq!(SignerTerm::read(text), None, "{text}");
        }
        let long = format!("serial:{},CN=x", "1".repeat(MAX_SERIAL + 1));
        assert_eq!(SignerTerm::read(&long), None);
    }

    #[test]
    fn a_version_is_as_good_as_its_worst_signer() {
        let signer = |indication: &str| json!({"verdict": {"indication": indication}});
        let with = |signers: Value| json!({"problem": null, "left_out": 0, "signers": signers});
        let [passed, unsure, failed] =
            ["TOTAL_PASSED", "INDETERMINATE", "TOTAL_FAILED"].map(signer);
        let mut countersigned = passed.clone();
        countersigned["countersignatures"] = json!([failed]);
        for (summary, expected) in [
            (with(json!([passed])), Overall::Passed),
            (with(json!([passed, unsure])), Overall::Indeterminate),
            (with(json!([unsure, failed, passed])), Overall::Failed),
            (with(json!([failed, unsure])), Overall::Failed),
            (with(json!([countersigned])), Overall::Failed),
            (with(json!([{"verdict": null}])), Overall::Indeterminate),
            (with(json!([])), Overall::Indeterminate),
            (
                json!({"problem": "It can't be read.", "signers": []}),
                Overall::Failed,
            ),
            (
                json!({"problem": null, "left_out": 1, "signers": [passed]}),
                Overall::Indeterminate,
            ),
        ] {
            assert_eq!(Overall::of_summary(&summary), expected, "{summary}");
        }
    }
}
