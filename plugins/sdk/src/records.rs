//! Convenience methods on the contract's records.

use crate::{
    ApartFromContent, Attribute, Certificate, Countersigner, Format, Indication, InspectError,
    Inspection, JudgedSigner, Judgement, Name, NameAttribute, Rejection, Revocation, Signature,
    Signer, SignerIdentifier, Verdict,
};

impl Rejection {
    /// A rejection with a stable code for programs, and one sentence for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            field: None,
        }
    }

    /// Rejection of a signature without signers: code `not-signed`, at `/cms`.
    ///
    /// Use it if signers are judged: without a signer there is no verdict, which never counts as a pass.
    pub fn not_signed() -> Self {
        Self::new("not-signed", "Nobody has signed it.").at("/cms")
    }

    /// Adds the JSON pointer of the parameter at fault, such as `/cms`.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// Rejection of a signature that a plugin must read, but can't: codes `not-cms` and `malformed-cms`, at `/cms`.
impl From<InspectError> for Rejection {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::NotCms => {
                Self::new("not-cms", "The signature is neither CMS nor signed XML.")
            }
            InspectError::Malformed(why) => Self::new("malformed-cms", unreadable(&why)),
        }
        .at("/cms")
    }
}

/// A reason as a sentence. Some servers give only the reason ("it ends early"), others a sentence ("It can't be
/// verified: it asks too much.").
fn unreadable(why: &str) -> String {
    let why = why.trim_end_matches('.');
    match why.strip_prefix("It ") {
        Some(sentence) => format!("The signature {sentence}."),
        None => format!("The signature can't be read: {why}."),
    }
}

impl Signature {
    /// Time when version 1 of the thread was saved, in milliseconds since 1970. Only known for stored versions.
    pub fn created_at_ms(&self) -> Option<u64> {
        number(&self.extra, "created-at-ms")
    }

    /// Time when this version was saved, in milliseconds since 1970. Only known for stored versions.
    pub fn version_created_at_ms(&self) -> Option<u64> {
        number(&self.extra, "version-created-at-ms")
    }
}

impl Certificate {
    /// The individual identification number (IIN) that Kazakhstan's authority certifies: twelve digits.
    pub fn iin(&self) -> Option<&str> {
        values(&self.extra, "iin").next()
    }

    /// The business identification number (BIN) that Kazakhstan's authority certifies: twelve digits.
    pub fn bin(&self) -> Option<&str> {
        values(&self.extra, "bin").next()
    }

    /// The roles that Kazakhstan's authority certifies: `individual`, `organisation`, `chief executive`, `right to
    /// sign`, `right to sign finance`, `personnel`, `employee`.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        values(&self.extra, "role")
    }

    /// The subject's name to show to people: the common name, or otherwise the whole name.
    pub fn label(&self) -> &str {
        let common = self.subject.values("CN").next();
        common.unwrap_or(&self.subject.rfc4514)
    }

    /// Purposes of the key, by their names in RFC 5280: `digitalSignature`, `nonRepudiation`.
    pub fn key_usages(&self) -> impl Iterator<Item = &str> {
        values(&self.extra, "key-usages").flat_map(|list| list.split(','))
    }
}

impl Signer {
    /// Time of the signature's time stamp, in milliseconds since 1970. The time stamp is not verified.
    pub fn timestamp_ms(&self) -> Option<u64> {
        number(&self.extra, "timestamp-ms")
    }

    /// Number of countersignatures (RFC 5652 section 11.4).
    pub fn countersignatures(&self) -> u64 {
        number(&self.extra, "countersignatures").unwrap_or_default()
    }
}

impl Inspection {
    /// Replaces the signers' certificates by those that the verdicts are about.
    ///
    /// If each signer must pass, decide by these certificates.
    ///
    /// Without verification, a signer's certificate is the first one that fits the signer's identifier. Anybody can put
    /// another fitting certificate first, or spell the issuer's name differently, so that none fits. The verdict is
    /// about the certificate that verifies the signature.
    #[must_use]
    pub fn judged_by(mut self, judgement: &Judgement) -> Self {
        let mut judged = judgement.signers.iter();
        for signer in &mut self.signers {
            signer.certificate = judged.next().and_then(|it| it.certificate.clone());
        }
        self
    }
}

impl Verdict {
    /// Whether the verdict is `TOTAL_PASSED`: the signature is intact, and its certificate leads to one that the tenant
    /// trusts.
    pub fn passed(&self) -> bool {
        self.indication == Indication::TotalPassed
    }

    /// Whether the signed data is unchanged under the key of the signer's certificate, and the verdict is not
    /// `TOTAL_FAILED`.
    ///
    /// Intact data still fails if, for example, the type of the content is not the signed type. The tenant's policy
    /// `intact` has the same rule. It does not matter whether anybody vouches for the certificate. Returns false if it
    /// can't be told whether the data is unchanged.
    pub fn is_intact(&self) -> bool {
        is_intact(self.intact, self.indication)
    }

    /// Whether the signature is known to be of other data, or by another key.
    ///
    /// This includes a detached signature without its content, if the rest of it is known to be broken. The rest can be
    /// checked only if a digest of the content was signed too.
    pub fn is_broken(&self) -> bool {
        let apart = self.apart_from_content.as_ref();
        self.intact == Some(false) || apart.is_some_and(|it| it.intact == Some(false))
    }
}

impl ApartFromContent {
    /// Like [`Verdict::passed`], assuming that the absent content is the content that was signed.
    pub fn passed(&self) -> bool {
        self.indication == Indication::TotalPassed
    }

    /// Like [`Verdict::is_intact`], assuming that the absent content is the content that was signed.
    pub fn is_intact(&self) -> bool {
        is_intact(self.intact, self.indication)
    }
}

fn is_intact(intact: Option<bool>, indication: Indication) -> bool {
    intact == Some(true) && indication != Indication::TotalFailed
}

impl Judgement {
    /// A rejection for each signer and countersigner whose verdict is not `TOTAL_PASSED`: code `signer-not-passed`, at
    /// `/cms`.
    ///
    /// The tenant's policy `passed` counts the same. If nobody signed, returns only [`Rejection::not_signed`].
    pub fn not_passed(&self) -> impl Iterator<Item = Rejection> {
        let nobody = self.signers.is_empty().then(Rejection::not_signed);
        let signers = self.signers.iter().map(|it| (it.label(), &it.verdict));
        let others = self.countersigners.iter();
        let everybody = signers.chain(others.map(|it| (it.label(), &it.verdict)));
        let failed = everybody.filter(|(_, verdict)| !verdict.passed());
        let refused = failed.map(|(label, verdict)| {
            let message = format!("{label} does not pass: {}", verdict.explanation);
            Rejection::new("signer-not-passed", message).at("/cms")
        });
        nobody.into_iter().chain(refused)
    }
}

impl JudgedSigner {
    /// The signer's name to show to people.
    pub fn label(&self) -> String {
        label("signer", self.certificate.as_ref())
    }
}

impl Countersigner {
    /// The countersigner's name to show to people.
    pub fn label(&self) -> String {
        label("countersigner", self.certificate.as_ref())
    }
}

fn label(who: &str, certificate: Option<&Certificate>) -> String {
    match certificate {
        Some(certificate) => format!("The {who} {}", certificate.label()),
        None => format!("A {who} without a certificate"),
    }
}

fn number(attributes: &[Attribute], name: &str) -> Option<u64> {
    values(attributes, name).next()?.parse().ok()
}

fn values<'a>(attributes: &'a [Attribute], name: &str) -> impl Iterator<Item = &'a str> {
    let of_name = attributes
        .iter()
        .filter(move |attribute| attribute.name == name);
    of_name.map(|attribute| attribute.value.as_str())
}

impl Attribute {
    /// A named value, for tests.
    pub fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Name {
    /// A name with these attributes, for tests: pairs of short name and value, in the order of the certificate.
    pub fn new<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut name = Self::default();
        for (short, value) in attributes {
            let comma = if name.rfc4514.is_empty() { "" } else { "," };
            name.rfc4514 = format!("{short}={value}{comma}{}", name.rfc4514);
            name.attributes.push(NameAttribute {
                oid: String::new(),
                name: Some(short.into()),
                value: value.into(),
            });
        }
        name
    }

    /// Values of the attributes with this short name (`CN`, `serialNumber`) or OID, in the order of the certificate.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name =
            move |part: &&NameAttribute| part.name.as_deref() == Some(name) || part.oid == name;
        self.attributes
            .iter()
            .filter(of_name)
            .map(|part| part.value.as_str())
    }
}

/// For tests, which set only the fields that matter to them.
impl Default for SignerIdentifier {
    fn default() -> Self {
        Self::SubjectKeyIdentifier(String::new())
    }
}

/// For tests, which set only the fields that matter to them.
impl Default for Format {
    fn default() -> Self {
        Self::Unknown
    }
}

/// For tests, which set only the fields that matter to them.
impl Default for Indication {
    fn default() -> Self {
        Self::Indeterminate
    }
}

/// For tests, which set only the fields that matter to them.
impl Default for Revocation {
    fn default() -> Self {
        Self::NotJudged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Certificate {
        Certificate {
            subject: Name::new([("CN", name)]),
            ..Certificate::default()
        }
    }

    fn verdict(indication: Indication, intact: Option<bool>) -> Verdict {
        Verdict {
            indication,
            intact,
            explanation: "So it is.".into(),
            ..Verdict::default()
        }
    }

    #[test]
    fn what_fails_is_not_intact() {
        use Indication::{Indeterminate, TotalFailed, TotalPassed};
        for (indication, intact, is) in [
            (TotalPassed, Some(true), true),
            (Indeterminate, Some(true), true),
            (TotalFailed, Some(true), false),
            (TotalFailed, Some(false), false),
            (Indeterminate, None, false),
        ] {
            let apart = ApartFromContent {
                indication,
                intact,
                ..ApartFromContent::default()
            };
            assert_eq!(
                verdict(indication, intact).is_intact(),
                is,
                "{indication:?}"
            );
            assert_eq!(apart.is_intact(), is, "{indication:?}");
            assert_eq!(apart.passed(), indication == TotalPassed);
        }
    }

    #[test]
    fn signers_have_the_certificates_that_they_were_judged_by() {
        let signer = |certificate: Option<&str>| Signer {
            certificate: certificate.map(named),
            ..Signer::default()
        };
        let judged = |certificate: Option<&str>| JudgedSigner {
            certificate: certificate.map(named),
            verdict: Verdict::default(),
        };
        let read = [Some("In front"), None, Some("Nobody")].map(signer);
        let inspection = Inspection {
            signers: read.into(),
            ..Inspection::default()
        };
        let judgement = Judgement {
            signers: [Some("A"), Some("B"), None].map(judged).into(),
            ..Judgement::default()
        };
        let signers = inspection.judged_by(&judgement).signers;
        let labels: Vec<_> = signers
            .iter()
            .map(|it| it.certificate.as_ref().map(Certificate::label))
            .collect();
        assert_eq!(labels, [Some("A"), Some("B"), None]);
    }

    #[test]
    fn everybody_who_signed_must_pass_and_nobody_is_no_pass() {
        let passed = verdict(Indication::TotalPassed, Some(true));
        let unknown = verdict(Indication::Indeterminate, Some(true));
        let judgement = |others: Vec<(Option<Certificate>, Verdict)>| Judgement {
            signers: vec![JudgedSigner {
                certificate: Some(named("A")),
                verdict: passed.clone(),
            }],
            countersigners: others
                .into_iter()
                .map(|(certificate, verdict)| Countersigner {
                    signer: 0,
                    certificate,
                    verdict,
                })
                .collect(),
            ..Judgement::default()
        };
        let good = judgement(vec![(Some(named("B")), passed.clone())]);
        assert_eq!(good.not_passed().count(), 0);
        let bad = judgement(vec![(Some(named("B")), unknown.clone()), (None, unknown)]);
        let told: Vec<_> = bad.not_passed().map(|it| (it.code, it.message)).collect();
        let refused = |message: &str| ("signer-not-passed".to_owned(), message.to_owned());
        assert_eq!(
            told,
            [
                refused("The countersigner B does not pass: So it is."),
                refused("A countersigner without a certificate does not pass: So it is.")
            ]
        );
        let nobody: Vec<_> = Judgement::default().not_passed().collect();
        assert_eq!(nobody, [Rejection::not_signed()]);
    }

    #[test]
    fn why_it_cannot_be_read_is_one_sentence() {
        for (why, message) in [
            (
                "it ends early",
                "The signature can't be read: it ends early.",
            ),
            ("It ends early.", "The signature ends early."),
            (
                "It can't be verified: it asks too much.",
                "The signature can't be verified: it asks too much.",
            ),
        ] {
            let rejection = Rejection::from(InspectError::Malformed(why.into()));
            assert_eq!(rejection.message, message);
            assert_eq!(rejection.code, "malformed-cms");
        }
    }
}
