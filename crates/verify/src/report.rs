//! The report on a signature: who signed what, with which certificate and when, and whether the signature is valid.

use serde::Serialize;

use crate::body::{Body, Format, unwrapped};
use crate::cms::{self, Level, SignerIdentifier};
use crate::digest::{sha256, to_hex};
use crate::judging::Judging;
use crate::pki::{self, Algorithm, Budget, Certificate, Indication, Verdict};
use crate::time::Time;
use crate::xmldsig::{self, Coverage, Omission, XmlSignature};

// A member that only the other format has is left out (outer `None`). An inner `None` is written as null: the format
// has the member, but this signature has no value for it.
/// The contents of a signature; after verification, also the verdict on each signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Inspection))]
pub struct Report {
    /// The format of the signature.
    pub format: Format,
    /// Size of the signature in bytes.
    #[cfg_attr(feature = "openapi", schema(example = 1843))]
    pub size: u64,
    /// SHA-256 of the signature's bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::digest::Sha256))]
    pub sha256: String,
    /// Why the signature can't be read or verified; null if it can.
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub problem: Option<String>,
    /// The signers, in the order of the file.
    pub signers: Vec<Signer>,
    /// CMS: whether the signed content is outside of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = false))]
    pub detached: Option<bool>,
    /// CMS: object identifier of the type of the signed content.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "1.2.840.113549.1.7.1"))]
    pub content_type: Option<String>,
    /// CMS: size of the content in bytes; null if the content is outside of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>, example = 5))]
    pub content_size: Option<Option<u64>>,
    /// CMS: SHA-256 of the content; null if the content is outside of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"))]
    pub content_sha256: Option<Option<String>>,
    /// Number of certificates in the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = 1))]
    pub certificates: Option<u64>,
    /// Number of revocation lists and OCSP responses in the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = 0))]
    pub revocations: Option<u64>,
}

/// A signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Signer {
    /// The signature's reference to the signer's certificate.
    pub identifier: Identifier,
    /// The signer's certificate; null if it was not found.
    pub certificate: Option<Certificate>,
    /// The digest algorithm.
    pub digest_algorithm: Algorithm,
    /// The signature algorithm.
    pub signature_algorithm: Algorithm,
    /// XML: URI of the signature algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub signature_method: Option<String>,
    /// The signing time that the signer claims.
    pub signing_time: Option<Time>,
    /// CMS: time of the signer's first time stamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Time>))]
    pub timestamp: Option<Option<Time>>,
    /// CMS: level of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// CMS: the countersigners of this signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(no_recursion, example = json!([])))]
    pub countersignatures: Option<Vec<Self>>,
    /// XML: whether the signature signs content outside the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub detached: Option<bool>,
    /// XML: whether the signature signs the document or an element around itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub encloses: Option<bool>,
    /// XML: whether an identifier occurs more than once in the document, so that it is ambiguous.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub duplicate_ids: Option<bool>,
    /// XML: number of time stamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub timestamps: Option<u64>,
    /// XML: the signed parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub references: Option<Vec<Reference>>,
    /// The verdict on the signature; only after verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether the verdict names another certificate than the one that reading alone would report.
    #[serde(skip)]
    pub was_found: bool,
}

/// The signature's reference to the signer's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignerIdentifier))]
pub struct Identifier {
    /// CMS: issuer of the certificate (RFC 4514).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "CN=Test CA"))]
    pub issuer: Option<String>,
    /// CMS: serial number of the certificate, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = "01"))]
    pub serial: Option<String>,
    /// CMS: the key identifier, in hexadecimal, if the signature names one instead of issuer and serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub key: Option<String>,
    /// XML: `Id` of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = json!(null)))]
    pub id: Option<Option<String>>,
}

/// A signed part of an XML signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reference {
    /// URI of the signed part.
    #[cfg_attr(feature = "openapi", schema(example = ""))]
    pub uri: Option<String>,
    /// The signed part, in words.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "the whole document except the signatures in it")
    )]
    pub covers: String,
    /// URIs of the transforms that are applied before the digest.
    #[cfg_attr(feature = "openapi", schema(example = json!(["http://www.w3.org/2000/09/xmldsig#enveloped-signature"])))]
    pub transforms: Vec<String>,
    /// URI of the digest algorithm.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "http://www.w3.org/2001/04/xmlenc#sha256")
    )]
    pub digest_method: String,
}

impl Reference {
    /// Whether the URI points outside of the document.
    pub fn leads_elsewhere(&self) -> bool {
        xmldsig::leads_elsewhere(self.uri.as_deref())
    }
}

/// Reads a signature and reports its contents and signers; with `judging`, also the verdicts.
pub fn report(body: &Body<'_>, judging: Option<&Judging<'_>>) -> Report {
    report_within(body, judging, &Budget::new())
}

/// Works like [`report`], within a budget. If the budget runs out, the report is incomplete.
pub fn report_within(body: &Body<'_>, judging: Option<&Judging<'_>>, budget: &Budget) -> Report {
    let bytes = body.signed_bytes();
    let mut report = Report::empty(body.format(), &bytes);
    if report.format == Format::Xml {
        match body.xml_signatures(judging, budget) {
            Ok(found) => report.tell_xml(&found, judging, budget),
            Err(error) => report.problem = Some(format!("It can't be read: {error}.")),
        }
    } else {
        let told = cms::SignedData::read(&bytes, budget)
            .and_then(|read| report.tell_cms(&read, judging, budget));
        if let Err(error) = told {
            report.problem = Some(problem(&bytes, &error, budget));
        }
    }
    report
}

/// The reason why the signature can't be read, as a sentence.
fn problem(bytes: &[u8], error: &cms::InspectError, budget: &Budget) -> String {
    let twice = unwrapped(bytes);
    if *twice != *bytes && cms::inspect_within(&twice, budget).is_ok() {
        "It is base64 of base64: send it encoded once.".to_owned()
    } else {
        format!("It can't be read: {error}.")
    }
}

const NOBODY: &str = "Nobody has signed it.";

impl Report {
    fn empty(format: Format, bytes: &[u8]) -> Self {
        Self {
            format,
            size: bytes.len() as u64,
            sha256: to_hex(&sha256(bytes)),
            problem: None,
            signers: Vec::new(),
            detached: None,
            content_type: None,
            content_size: None,
            content_sha256: None,
            certificates: None,
            revocations: None,
        }
    }

    /// Whether the signature can be read and every signer and countersigner passes.
    pub fn passes(&self) -> bool {
        let everybody = self.everybody();
        let mut signers = everybody.iter().map(|(_, signer)| signer);
        self.problem.is_none() && signers.all(|signer| signer.passes())
    }

    /// All signers with their places, each followed by its countersigners: 1, 1.1, 1.2, 2.
    pub fn everybody(&self) -> Vec<(String, &Signer)> {
        fn add<'s>(all: &mut Vec<(String, &'s Signer)>, before: &str, signers: &'s [Signer]) {
            for (signer, number) in signers.iter().zip(1..) {
                let place = format!("{before}{number}");
                let below = format!("{place}.");
                all.push((place, signer));
                add(all, &below, signer.countersigners());
            }
        }
        let mut all = Vec::new();
        add(&mut all, "", &self.signers);
        all
    }

    /// Whether some signed part is neither in the signature nor in its document.
    pub fn is_detached(&self) -> bool {
        let mut references = self.signers.iter().flat_map(Signer::signs);
        self.detached == Some(true) || references.any(Reference::leads_elsewhere)
    }

    fn tell_cms(
        &mut self,
        read: &cms::SignedData<'_>,
        judging: Option<&Judging<'_>>,
        budget: &Budget,
    ) -> Result<(), cms::InspectError> {
        let inspection = cms::tell(read, budget)?;
        // PEM, or base64 with line breaks, was not recognised as CMS by its first bytes.
        self.format = Format::Cms;
        self.detached = Some(inspection.detached);
        self.content_type = Some(inspection.content_type);
        self.content_size = Some(inspection.content_size);
        self.content_sha256 = Some(read.content_sha256().map(|sha256| to_hex(&sha256)));
        self.certificates = Some(inspection.certificates as u64);
        self.revocations = Some(inspection.revocations as u64);
        let verdicts = judging.map_or(Ok(Vec::new()), |judging| cms::judge(read, judging, budget));
        let verdicts = verdicts.unwrap_or_else(|error| {
            self.problem = Some(format!("It can't be verified: {error}."));
            Vec::new()
        });
        if inspection.signers.is_empty() {
            self.problem = Some(NOBODY.to_owned());
        }
        self.signers = cms_signers(inspection.signers, verdicts);
        Ok(())
    }

    fn tell_xml(&mut self, found: &[XmlSignature], judging: Option<&Judging<'_>>, budget: &Budget) {
        let verdicts = judging.map_or(Ok(Vec::new()), |judging| {
            xmldsig::judge_within(found, judging, budget)
        });
        let verdicts = verdicts.unwrap_or_else(|error| {
            self.problem = Some(format!("It can't be verified: {error}."));
            Vec::new()
        });
        if found.is_empty() {
            self.problem = Some(NOBODY.to_owned());
        }
        let count =
            |of: fn(&XmlSignature) -> usize| Some(found.iter().map(of).sum::<usize>() as u64);
        self.certificates = count(|it| it.embedded_certificates() + it.evidence.certificates.len());
        self.revocations =
            count(|it| it.evidence.revocation_lists.len() + it.evidence.revocation_answers.len());
        let mut verdicts = verdicts.into_iter();
        let signers = found.iter();
        self.signers = signers
            .map(|signature| xml_signer(signature, verdicts.next(), budget))
            .collect();
    }
}

impl Signer {
    /// Whether the verdict is `TotalPassed`. Countersigners have verdicts of their own.
    pub fn passes(&self) -> bool {
        let verdict = self.verdict.as_ref();
        verdict.is_some_and(|verdict| verdict.indication == Indication::TotalPassed)
    }

    /// The countersigners of this signature.
    pub fn countersigners(&self) -> &[Self] {
        self.countersignatures.as_deref().unwrap_or_default()
    }

    /// The signed parts of an XML signature.
    pub fn signs(&self) -> &[Reference] {
        self.references.as_deref().unwrap_or_default()
    }
}

/// The signers of a CMS, each with its verdict, if there is one.
fn cms_signers(signers: Vec<cms::Signer>, verdicts: Vec<Verdict>) -> Vec<Signer> {
    let mut verdicts = verdicts.into_iter();
    let signers = signers.into_iter();
    signers
        .map(|signer| cms_signer(signer, verdicts.next()))
        .collect()
}

fn cms_signer(signer: cms::Signer, mut verdict: Option<Verdict>) -> Signer {
    let others = verdict.as_mut();
    let others = others.map(|verdict| std::mem::take(&mut verdict.countersignatures));
    let judged = verdict.as_mut();
    let judged = judged.and_then(|verdict| verdict.certificate.take());
    Signer {
        was_found: judged.is_some(),
        identifier: match signer.identifier {
            SignerIdentifier::IssuerAndSerial { issuer, serial } => Identifier {
                issuer: Some(issuer.rfc4514),
                serial: Some(serial),
                ..Identifier::default()
            },
            SignerIdentifier::SubjectKeyIdentifier(key) => Identifier {
                key: Some(key),
                ..Identifier::default()
            },
        },
        certificate: judged.or(signer.certificate),
        digest_algorithm: signer.digest_algorithm,
        signature_algorithm: signer.signature_algorithm,
        signing_time: signer.signing_time_ms.and_then(Time::from_ms),
        timestamp: Some(signer.timestamp_ms.and_then(Time::from_ms)),
        level: Some(signer.level),
        countersignatures: Some(cms_signers(
            signer.countersignatures,
            others.unwrap_or_default(),
        )),
        verdict,
        signature_method: None,
        detached: None,
        encloses: None,
        duplicate_ids: None,
        timestamps: None,
        references: None,
    }
}

fn xml_signer(signature: &XmlSignature, mut verdict: Option<Verdict>, budget: &Budget) -> Signer {
    let judged = verdict.as_mut();
    let judged = judged.and_then(|verdict| verdict.certificate.take());
    let was_found = judged.is_some();
    let certificate = || pki::describe_certificate_within(signature.certificate()?, budget);
    let references = signature.references.iter().map(|reference| Reference {
        uri: reference.uri.clone(),
        covers: covers(reference),
        transforms: reference.transforms.clone(),
        digest_method: reference.digest_method.clone(),
    });
    Signer {
        identifier: Identifier {
            id: Some(signature.id.clone()),
            ..Identifier::default()
        },
        certificate: judged.or_else(certificate),
        was_found,
        digest_algorithm: signature.digest_algorithm(),
        signature_algorithm: signature.signature_algorithm(),
        signature_method: Some(signature.signature_method.clone()),
        signing_time: signature.signing_time_ms().and_then(Time::from_ms),
        detached: Some(signature.is_detached()),
        encloses: Some(signature.encloses),
        duplicate_ids: Some(signature.duplicate_ids),
        timestamps: Some(signature.timestamps.len() as u64),
        references: Some(references.collect()),
        verdict,
        timestamp: None,
        level: None,
        countersignatures: None,
    }
}

/// The part that a reference covers after its transforms, in words.
fn covers(reference: &xmldsig::Reference) -> String {
    let what = match &reference.covers {
        Coverage::WholeDocument => "the whole document".to_owned(),
        Coverage::Element { name, id } => format!("the element {name} with the id {id}"),
        Coverage::SignedProperties => "the signed properties".to_owned(),
        Coverage::Countersigned => "the signature that it countersigns".to_owned(),
        Coverage::External => "content outside the document".to_owned(),
    };
    match reference.omits {
        _ if reference.covers_text_alone() => format!("the text of {what}"),
        Omission::Nothing | Omission::Itself => what,
        Omission::Signatures => format!("{what} except the signatures in it"),
        Omission::Elements => format!("{what} except elements that its transforms leave out"),
    }
}
