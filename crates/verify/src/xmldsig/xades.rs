//! Reads the XAdES properties of a signature: signed ones (ETSI EN 319 132-1 clause 5.2), and embedded validation data.
//!
//! Policies and roles are not read. `stamps` knows the data that a time stamp must cover.

use super::document::{Document, NODE_NS, NodeIndex};
use super::elements::{self, DSIG, XADES};
use super::text::decode_base64;
use super::{Evidence, XmlError};
use crate::pki::budget::{Budget, Exhausted};

/// Greatest number of digests that are compared with each certificate. A list names at most a chain.
const MAX_DIGESTS: usize = 20;

/// Whether this node is the `SignedProperties` of this signature (clause 4.3), and not of another one or a decoy.
pub(super) fn is_signed_properties(
    document: &Document<'_>,
    node: NodeIndex,
    signature: NodeIndex,
) -> bool {
    let mut around = document.ancestors(node);
    let mut is_in = |local| around.next().is_some_and(|it| is(document, it, local));
    is(document, node, "SignedProperties")
        && is_in("QualifyingProperties")
        && around.next().is_some_and(|it| {
            document
                .element(it)
                .is_some_and(|element| element.is(DSIG, "Object"))
        })
        && around.next() == Some(signature)
}

/// The signature that this one countersigns (clause 5.2.7): this one is among its unsigned properties.
pub(super) fn countersigned(document: &Document<'_>, signature: NodeIndex) -> Option<NodeIndex> {
    let mut around = document.ancestors(signature);
    for local in [
        "CounterSignature",
        "UnsignedSignatureProperties",
        "UnsignedProperties",
        "QualifyingProperties",
    ] {
        around.next().filter(|&it| is(document, it, local))?;
    }
    let is_dsig = |node: &NodeIndex, local| {
        let element = document.element(*node);
        element.is_some_and(|element| element.is(DSIG, local))
    };
    around.next().filter(|it| is_dsig(it, "Object"))?;
    around.next().filter(|it| is_dsig(it, "Signature"))
}

/// Whether this node holds the properties of a signature (clause 4.2).
pub(super) fn is_qualifying(document: &Document<'_>, node: NodeIndex) -> bool {
    is(document, node, "QualifyingProperties")
}

/// The signing time that the signer claims (clause 5.2.1), as written.
pub(super) fn signing_time(
    document: &Document<'_>,
    properties: NodeIndex,
    budget: &Budget,
) -> Result<Option<String>, Exhausted> {
    let mut signature = descend(document, properties, "SignedSignatureProperties");
    let time = signature.next().and_then(|signature| {
        let mut times = descend(document, signature, "SigningTime");
        times.next()
    });
    let text = time.map(|time| document.string(time, budget)).transpose()?;
    Ok(text.map(|text| text.trim_ascii().to_owned()))
}

/// The signing certificate, as the signed properties name it.
pub(super) struct SigningCertificate {
    /// Digests, one of which is that of the signing certificate.
    digests: Vec<CertificateDigest>,
}

struct CertificateDigest {
    method: String,
    value: Vec<u8>,
}

/// Reads `SigningCertificateV2` (clause 5.2.2), whose first entry is the signing certificate; otherwise the older
/// `SigningCertificate` (TS 101 903 clause 7.2.2), of which any entry may be it.
pub(super) fn signing_certificate(
    document: &Document<'_>,
    properties: NodeIndex,
    budget: &Budget,
) -> Result<Option<SigningCertificate>, Exhausted> {
    let Some(signature) = descend(document, properties, "SignedSignatureProperties").next() else {
        return Ok(None);
    };
    let named: Vec<_> =
        if let Some(list) = descend(document, signature, "SigningCertificateV2").next() {
            descend(document, list, "Cert").take(1).collect()
        } else if let Some(list) = descend(document, signature, "SigningCertificate").next() {
            descend(document, list, "Cert").take(MAX_DIGESTS).collect()
        } else {
            return Ok(None);
        };
    let mut digests = Vec::new();
    for certificate in named {
        digests.extend(read_digest(document, certificate, budget)?);
    }
    Ok(Some(SigningCertificate { digests }))
}

impl SigningCertificate {
    /// Whether the properties may name this certificate, in DER. Only digests are compared: issuer and serial number
    /// may be left out (clause 5.2.2.2).
    pub(super) fn names(&self, certificate: &[u8], budget: &Budget) -> Result<bool, Exhausted> {
        for named in &self.digests {
            let Some(algorithm) = elements::digest(&named.method) else {
                continue;
            };
            budget.spend_hash(algorithm, certificate.len())?;
            if algorithm.digest(certificate) == named.value {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn read_digest(
    document: &Document<'_>,
    certificate: NodeIndex,
    budget: &Budget,
) -> Result<Option<CertificateDigest>, Exhausted> {
    let digest = descend(document, certificate, "CertDigest").next();
    let only = |local| digest.and_then(|digest| document.only(digest, DSIG, local));
    let method = only("DigestMethod").and_then(|method| elements::algorithm(document, method));
    let (Some(method), Some(value)) = (method, only("DigestValue")) else {
        return Ok(None);
    };
    let value = decode_base64(&document.string(value, budget)?);
    Ok(value.map(|value| CertificateDigest {
        method: method.to_owned(),
        value,
    }))
}

/// Greatest number of tokens that are read from a time stamp.
const MAX_TOKENS: usize = 8;
/// Greatest number of embedded values of each kind (certificates, revocation lists, OCSP responses) in a signature.
const MAX_VALUES: usize = 500;

/// The unsigned properties of a signature (clause 5.1.4), in the order of the file; if there are several lists, those
/// of the first.
pub(super) fn unsigned_properties<'s>(
    document: &'s Document<'_>,
    signature: NodeIndex,
) -> impl Iterator<Item = NodeIndex> + 's {
    let objects = document.named(signature, DSIG, "Object");
    let lists = objects
        .flat_map(|object| descend(document, object, "QualifyingProperties"))
        .flat_map(|properties| descend(document, properties, "UnsignedProperties"))
        .flat_map(|properties| descend(document, properties, "UnsignedSignatureProperties"));
    let properties = lists.take(1).flat_map(|list| document.children(list));
    properties.filter(|&child| document.element(child).is_some())
}

/// The tokens of a time stamp (clause 5.1.4.4.3), without those that are not valid base64.
pub(super) fn tokens(
    document: &Document<'_>,
    timestamp: NodeIndex,
    budget: &Budget,
) -> Result<Vec<Vec<u8>>, Exhausted> {
    let mut tokens = Vec::new();
    for token in descend(document, timestamp, "EncapsulatedTimeStamp").take(MAX_TOKENS) {
        tokens.extend(decode_base64(&document.string(token, budget)?));
    }
    Ok(tokens)
}

/// The embedded validation data, wherever the signature's properties have it (clauses 5.4 and 5.5).
pub(super) fn evidence(
    document: &Document<'_>,
    signature: NodeIndex,
    budget: &Budget,
) -> Result<Evidence, XmlError> {
    let values = |local| -> Result<Vec<Vec<u8>>, XmlError> {
        let all = inside(document, signature, local, MAX_VALUES + 1, budget)?;
        if all.len() > MAX_VALUES {
            return Err(XmlError::TooLarge("embedded values"));
        }
        let mut values = Vec::new();
        for value in all {
            values.extend(decode_base64(&document.string(value, budget)?));
        }
        Ok(values)
    };
    Ok(Evidence {
        certificates: values("EncapsulatedX509Certificate")?,
        revocation_lists: values("EncapsulatedCRLValue")?,
        revocation_answers: values("EncapsulatedOCSPValue")?,
    })
}

/// The first elements with this name inside of the properties of this signature, without those of other signatures.
fn inside(
    document: &Document<'_>,
    signature: NodeIndex,
    local: &'static str,
    most: usize,
    budget: &Budget,
) -> Result<Vec<NodeIndex>, Exhausted> {
    let mut found = Vec::new();
    let objects = document.named(signature, DSIG, "Object");
    let properties = objects.flat_map(|object| descend(document, object, "QualifyingProperties"));
    for properties in properties {
        let end = document.nodes().get(properties).map_or(0, |node| node.end);
        // Signatures may be nested in each other's properties; then a node is visited for each of them.
        for node in properties..end {
            budget.spend(NODE_NS)?;
            if !is(document, node, local) {
                continue;
            }
            budget.spend_each(document.ancestors(node).count(), NODE_NS)?;
            let mut around = document.ancestors(node);
            if around.find(|&it| is_signature(document, it)) == Some(signature) {
                found.push(node);
                if found.len() == most {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
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
        .filter(move |&child| is(document, child, local))
}

pub(super) fn is(document: &Document<'_>, node: NodeIndex, local: &str) -> bool {
    document
        .element(node)
        .is_some_and(|element| XADES.iter().any(|namespace| element.is(namespace, local)))
}
