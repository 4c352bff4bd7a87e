//! What XAdES says of the signer: signed properties that qualify a signature (ETSI EN 319 132-1 clause 5.2).
//!
//! Not here: policies, roles, and time stamps of anything but the signature's value.

use super::document::{Document, NodeIndex};
use super::elements::{self, DSIG, XADES};
use super::text::decode_base64;
use super::{Evidence, XmlError};

/// Most digests that are compared with each certificate. Lists name a chain at most.
const MAX_DIGESTS: usize = 20;

/// Whether this node is the `SignedProperties` of this signature (clause 4.3), and not of another one or a decoy.
pub(super) fn is_signed_properties(
    document: &Document<'_>,
    node: NodeIndex,
    signature: NodeIndex,
) -> bool {
    let mut around = document.ancestors(node);
    let mut is_in = |local| {
        around
            .next()
            .is_some_and(|it| is_xades(document, it, local))
    };
    is_xades(document, node, "SignedProperties")
        && is_in("QualifyingProperties")
        && around.next().is_some_and(|it| {
            document
                .element(it)
                .is_some_and(|element| element.is(DSIG, "Object"))
        })
        && around.next() == Some(signature)
}

/// Whether this has properties of a signature (clause 4.2).
pub(super) fn is_qualifying(document: &Document<'_>, node: NodeIndex) -> bool {
    is_xades(document, node, "QualifyingProperties")
}

/// When the signer says that it signed (clause 5.2.1), as written.
pub(super) fn signing_time(document: &Document<'_>, properties: NodeIndex) -> Option<String> {
    let signature = descend(document, properties, "SignedSignatureProperties").next()?;
    let time = descend(document, signature, "SigningTime").next()?;
    Some(document.string(time).trim_ascii().to_owned())
}

/// What the signed properties say of the signing certificate.
pub(super) struct SigningCertificate {
    /// Digests of which the signing certificate has one.
    digests: Vec<CertificateDigest>,
}

struct CertificateDigest {
    method: String,
    value: Vec<u8>,
}

/// Reads `SigningCertificateV2` (clause 5.2.2), whose first entry is the signing certificate, or else the older
/// `SigningCertificate` (TS 101 903 clause 7.2.2), where it is one of them.
pub(super) fn signing_certificate(
    document: &Document<'_>,
    properties: NodeIndex,
) -> Option<SigningCertificate> {
    let signature = descend(document, properties, "SignedSignatureProperties").next()?;
    if let Some(list) = descend(document, signature, "SigningCertificateV2").next() {
        let first = descend(document, list, "Cert").next();
        let digests = first.and_then(|certificate| read_digest(document, certificate));
        return Some(SigningCertificate {
            digests: digests.into_iter().collect(),
        });
    }
    let list = descend(document, signature, "SigningCertificate").next()?;
    let digests = descend(document, list, "Cert")
        .take(MAX_DIGESTS)
        .filter_map(|certificate| read_digest(document, certificate))
        .collect();
    Some(SigningCertificate { digests })
}

impl SigningCertificate {
    /// Whether it may be this certificate, in DER. Other than by its digest it is not known: its issuer and serial
    /// number may be left out (clause 5.2.2.2).
    pub(super) fn names(&self, certificate: &[u8]) -> bool {
        self.digests.iter().any(|named| {
            elements::digest(&named.method)
                .is_some_and(|algorithm| algorithm.digest(certificate) == named.value)
        })
    }
}

fn read_digest(document: &Document<'_>, certificate: NodeIndex) -> Option<CertificateDigest> {
    let digest = descend(document, certificate, "CertDigest").next()?;
    let method = document.only(digest, DSIG, "DigestMethod")?;
    let value = document.only(digest, DSIG, "DigestValue")?;
    Some(CertificateDigest {
        method: document.attribute(method, "Algorithm")?.to_owned(),
        value: decode_base64(&document.string(value))?,
    })
}

/// Most time stamps of a signature that are read, and most tokens of one.
const MAX_TIMESTAMPS: usize = 8;
/// Most embedded certificates, lists and answers of a signature.
const MAX_VALUES: usize = 500;

/// The time stamps of a signature's value (clause 5.3).
pub(super) fn timestamps(document: &Document<'_>, signature: NodeIndex) -> Vec<NodeIndex> {
    let mut found: Vec<_> = inside(document, signature, "SignatureTimeStamp").collect();
    found.truncate(MAX_TIMESTAMPS);
    found
}

/// The tokens of a time stamp (clause 5.1.4.4.3), less those that are no base64.
pub(super) fn tokens(document: &Document<'_>, timestamp: NodeIndex) -> Vec<Vec<u8>> {
    descend(document, timestamp, "EncapsulatedTimeStamp")
        .take(MAX_TIMESTAMPS)
        .filter_map(|token| decode_base64(&document.string(token)))
        .collect()
}

/// What is embedded to validate with, wherever the signature's properties have it (clauses 5.4 and 5.5).
pub(super) fn evidence(
    document: &Document<'_>,
    signature: NodeIndex,
) -> Result<Evidence, XmlError> {
    let values = |local| {
        let all: Vec<_> = inside(document, signature, local)
            .take(MAX_VALUES + 1)
            .collect();
        if all.len() > MAX_VALUES {
            return Err(XmlError::TooLarge("embedded values"));
        }
        let values = all.into_iter();
        Ok(values
            .filter_map(|value| decode_base64(&document.string(value)))
            .collect())
    };
    Ok(Evidence {
        certificates: values("EncapsulatedX509Certificate")?,
        revocation_lists: values("EncapsulatedCRLValue")?,
        revocation_answers: values("EncapsulatedOCSPValue")?,
    })
}

/// Elements of this name inside of the properties that qualify this signature, and no other one.
fn inside<'s>(
    document: &'s Document<'_>,
    signature: NodeIndex,
    local: &'static str,
) -> impl Iterator<Item = NodeIndex> + 's {
    let objects = document.named(signature, DSIG, "Object");
    let properties = objects.flat_map(|object| descend(document, object, "QualifyingProperties"));
    properties.flat_map(move |properties| {
        let end = document.nodes().get(properties).map_or(0, |node| node.end);
        let inside = properties..end;
        inside.filter(move |&node| {
            let mut around = document.ancestors(node);
            is_xades(document, node, local)
                && around.find(|&it| is_signature(document, it)) == Some(signature)
        })
    })
}

fn is_signature(document: &Document<'_>, node: NodeIndex) -> bool {
    let element = document.element(node);
    element.is_some_and(|element| element.is(DSIG, "Signature"))
}

fn descend<'s>(
    document: &'s Document<'_>,
    parent: NodeIndex,
    local: &'static str,
) -> impl Iterator<Item = NodeIndex> + 's {
    document
        .children(parent)
        .filter(move |&child| is_xades(document, child, local))
}

fn is_xades(document: &Document<'_>, node: NodeIndex, local: &str) -> bool {
    document
        .element(node)
        .is_some_and(|element| XADES.iter().any(|namespace| element.is(namespace, local)))
}
