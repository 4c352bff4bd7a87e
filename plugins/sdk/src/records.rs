//! Conveniences on the records of the contract.

use crate::{
    Attribute, Certificate, Format, Indication, InspectError, JudgedSigner, Judgement, Name,
    NameAttribute, Rejection, Revocation, Signature, Signer, SignerIdentifier, Verdict,
};

impl Rejection {
    /// A refusal: a stable code for programs, and one sentence for a person.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            field: None,
        }
    }

    /// With the JSON pointer of the parameter at fault: `/cms`.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// A signature that can't be looked into, where a plugin must: codes `not-cms` and `malformed-cms`, at `/cms`.
impl From<InspectError> for Rejection {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::NotCms => {
                Self::new("not-cms", "The signature is neither CMS nor signed XML.")
            }
            InspectError::Malformed(why) => {
                let message = format!("The signature can't be read: {why}.");
                Self::new("malformed-cms", message)
            }
        }
        .at("/cms")
    }
}

impl Signature {
    /// When version 1 of its thread was saved, in milliseconds since 1970: known of what is stored.
    pub fn created_at_ms(&self) -> Option<u64> {
        number(&self.extra, "created-at-ms")
    }

    /// When this version was saved, in milliseconds since 1970: known of what is stored.
    pub fn version_created_at_ms(&self) -> Option<u64> {
        number(&self.extra, "version-created-at-ms")
    }
}

impl Certificate {
    /// The individual identification number that Kazakhstan's authority certifies: twelve digits.
    pub fn iin(&self) -> Option<&str> {
        values(&self.extra, "iin").next()
    }

    /// The business identification number that it certifies: twelve digits.
    pub fn bin(&self) -> Option<&str> {
        values(&self.extra, "bin").next()
    }

    /// The roles that it certifies: `individual`, `organisation`, `chief executive`, `right to sign`, `right to sign finance`,
    /// `personnel`, `employee`.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        values(&self.extra, "role")
    }

    /// What a person knows its subject by: the common name, or else the whole name.
    pub fn label(&self) -> &str {
        let common = self.subject.values("CN").next();
        common.unwrap_or(&self.subject.rfc4514)
    }

    /// What its key is for, by the names of RFC 5280: `digitalSignature`, `nonRepudiation`.
    pub fn key_usages(&self) -> impl Iterator<Item = &str> {
        values(&self.extra, "key-usages").flat_map(|list| list.split(','))
    }
}

impl Signer {
    /// When a time stamp says that the signature was there, in milliseconds since 1970. Nobody has verified it.
    pub fn timestamp_ms(&self) -> Option<u64> {
        number(&self.extra, "timestamp-ms")
    }

    /// How many countersignatures it has (RFC 5652 section 11.4).
    pub fn countersignatures(&self) -> u64 {
        number(&self.extra, "countersignatures").unwrap_or_default()
    }
}

impl Verdict {
    /// Whether it is `TOTAL_PASSED`: intact, by a certificate that leads to one that the tenant trusts.
    pub fn passed(&self) -> bool {
        self.indication == Indication::TotalPassed
    }

    /// Whether what was signed is unchanged, under the key of the signer's certificate. Whether anybody vouches for that
    /// certificate is another question; where it can't be told, this is false.
    pub fn is_intact(&self) -> bool {
        self.intact == Some(true)
    }

    /// Whether it is known that something else was signed, or by another key: also of a detached signature whose content is not
    /// there, by the digest that was signed along.
    pub fn is_broken(&self) -> bool {
        let apart = self.apart_from_content.as_ref();
        self.intact == Some(false) || apart.is_some_and(|it| it.intact == Some(false))
    }
}

impl Judgement {
    /// A rejection for each signer who is not `TOTAL_PASSED`, with the code `signer-not-passed`, at `/cms`.
    pub fn not_passed(&self) -> impl Iterator<Item = Rejection> {
        let failed = self.signers.iter().filter(|it| !it.verdict.passed());
        failed.map(|signer| {
            let explanation = &signer.verdict.explanation;
            let message = format!("{} does not pass: {explanation}", signer.label());
            Rejection::new("signer-not-passed", message).at("/cms")
        })
    }
}

impl JudgedSigner {
    /// What a person knows the signer by.
    pub fn label(&self) -> String {
        match &self.certificate {
            Some(certificate) => format!("The signer {}", certificate.label()),
            None => "A signer without a certificate".into(),
        }
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
    /// A name of these attributes, for tests: their short names and values, in the order of the certificate.
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

    /// The values of its attributes of this short name (`CN`, `serialNumber`) or OID, in the order of the certificate.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name =
            move |part: &&NameAttribute| part.name.as_deref() == Some(name) || part.oid == name;
        self.attributes
            .iter()
            .filter(of_name)
            .map(|part| part.value.as_str())
    }
}

/// For tests, which name only what matters to them.
impl Default for SignerIdentifier {
    fn default() -> Self {
        Self::SubjectKeyIdentifier(String::new())
    }
}

/// For tests, which name only what matters to them.
impl Default for Format {
    fn default() -> Self {
        Self::Unknown
    }
}

/// For tests, which name only what matters to them.
impl Default for Indication {
    fn default() -> Self {
        Self::Indeterminate
    }
}

/// For tests, which name only what matters to them.
impl Default for Revocation {
    fn default() -> Self {
        Self::NotJudged
    }
}
