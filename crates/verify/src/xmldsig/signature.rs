//! Reads one `Signature` (XMLDSig 1.1 section 4): its parts, whether they are intact, and what is around them.

use super::canonical::canonicalize;
use super::coverage::{self, Shape};
use super::document::{Document, NodeIndex};
use super::elements::{self, DSIG};
use super::key_info;
use super::method::Method as SignatureMethod;
use super::node_set::NodeSet;
use super::output::{Output, Stop};
use super::parse::parse;
use super::reference::{self, Context, Covered};
use super::stamps;
use super::text::{decode, decode_base64, normalize};
use super::transform::canonicalization;
use super::verify::{Order, verify};
use super::xades::{self, SigningCertificate};
use super::{Coverage, Reference, ReferenceIntegrity, ValueIntegrity, XmlError, XmlSignature};
use crate::cms::content::Content;
use crate::judging::Judging;
use crate::pki::budget::Budget;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, XmlError>;

/// Greatest number of signatures in a document; more are refused.
const MAX_SIGNATURES: usize = 100;
/// Greatest number of references in a signature; more are refused.
const MAX_REFERENCES: usize = 1_000;

/// XML as it was received.
#[derive(Debug, Clone, Copy)]
pub enum Xml<'a> {
    /// A file.
    Bytes(&'a [u8]),
    /// Decoded characters: the declared encoding no longer counts (RFC 7303 section 3).
    Text(&'a str),
}

/// Reads all XML signatures of a document, wherever they are, in document order.
///
/// # Errors
///
/// As [`inspect_over`].
pub fn inspect(xml: &[u8]) -> Result<Vec<XmlSignature>> {
    inspect_over(Xml::Bytes(xml), None, &Budget::new())
}

/// Reads all XML signatures of a document.
///
/// With `judging`, also uses its certificates, and its document as the content that a signature refers to outside of
/// the XML, if that is one thing only. `budget` limits the cost.
///
/// # Errors
///
/// [`XmlError`] if the document can't be read or asks too much; never panics, whatever the bytes. A signature with
/// missing parts is no error: it is reported as not intact.
pub fn inspect_over(
    xml: Xml<'_>,
    judging: Option<&Judging<'_>>,
    budget: &Budget,
) -> Result<Vec<XmlSignature>> {
    let text = match xml {
        Xml::Bytes(bytes) => decode(bytes)?,
        Xml::Text(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            normalize(Cow::Borrowed(text))?
        }
    };
    let document = parse(&text, budget)?;
    let signatures: Vec<NodeIndex> = (0..document.nodes().len())
        .filter(|&index| {
            document
                .element(index)
                .is_some_and(|element| element.is(DSIG, "Signature"))
        })
        .collect();
    if signatures.len() > MAX_SIGNATURES {
        return Err(XmlError::TooLarge("signatures"));
    }
    let external = judging.and_then(|judging| judging.document);
    let content = external.map(|document| Content::new(document, budget));
    let given = judging.iter().flat_map(|judging| {
        let certificates = judging.certificates.iter();
        certificates.chain(judging.anchors.encodings())
    });
    let given: Vec<_> = given.collect();
    let read = signatures.iter().map(|&signature| {
        let context = Context {
            document: &document,
            signatures: &signatures,
            signature,
            budget,
            external: external.filter(|_| refers_once(&document, signature)),
            content: content.as_ref(),
            given: &given,
        };
        read(&context)
    });
    let read: Vec<_> = read.collect::<Result<_>>()?;
    if budget.is_exhausted() {
        return Err(XmlError::TooLarge("certificates"));
    }
    let (mut read, covered): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    look_around(&document, &signatures, &mut read, covered, budget)?;
    Ok(read)
}

/// Examines what is in the document beside the covered parts of each signature.
fn look_around(
    document: &Document<'_>,
    signatures: &[NodeIndex],
    read: &mut [XmlSignature],
    covered: Vec<Vec<Covered>>,
    budget: &Budget,
) -> Result<()> {
    let mut shapes = Vec::new();
    for ((signature, &node), covered) in read.iter().zip(signatures).zip(covered) {
        let mut references = signature.references.iter();
        let is_intact = matches!(signature.value, ValueIntegrity::Intact(_))
            && references
                .all(|it| it.integrity == ReferenceIntegrity::Intact || it.leads_elsewhere());
        shapes.push(Shape::new(document, node, covered, is_intact, budget)?);
    }
    let is_list = coverage::is_list(document);
    let comments = coverage::comments_before_text(document, budget)?;
    for ((signature, &node), shape) in read.iter_mut().zip(signatures).zip(&shapes) {
        signature.envelops = shape.envelops;
        signature.is_apart = coverage::is_document(document, node)
            || is_list && document.ancestors(node).next() == Some(document.root);
        // A countersignature does not sign the document, so only its inside is examined.
        let is_inside = signature.countersigns() && !signature.covers_root;
        let within = if is_inside { node } else { 0 };
        signature.has_unsigned = shape.has_unsigned(document, within, &shapes, budget)?;
        signature.splits_text = shape.splits_text(document, &comments, &shapes, budget)?;
        let countersigned = xades::countersigned(document, node);
        signature.countersigned = signatures.iter().position(|&it| Some(it) == countersigned);
    }
    Ok(())
}

/// Reads a signature. Also returns the nodes that it covers.
fn read(context: &Context<'_>) -> Result<(XmlSignature, Vec<Covered>)> {
    let &Context {
        document,
        signature,
        budget,
        ..
    } = context;
    let signed_info = document.only(signature, DSIG, "SignedInfo");
    let (references, covered) = read_references(context, signed_info)?;
    let markup = || {
        covered
            .iter()
            .filter(|covered| !covered.is_text && !covered.is_part())
    };
    let properties = markup()
        .find(|covered| {
            covered.integrity == ReferenceIntegrity::Intact
                && xades::is_signed_properties(document, covered.node, signature)
        })
        .map(|covered| covered.node);
    let named = properties.map(|it| xades::signing_certificate(document, it, budget));
    let named = named.transpose()?.flatten();
    let evidence = xades::evidence(document, signature, budget)?;
    let embedded = key_info::certificates(document, signature, budget)?;
    let beside = context.given.iter().copied().chain(&evidence.certificates);
    let candidates: Vec<_> = embedded.iter().chain(beside).collect();
    let mut signing_certificate = match &named {
        Some(named) => place_of(named, &candidates, budget)?,
        None => None,
    };
    // The named certificate comes first: among renewed certificates with the same key it is the one that counts. If
    // none is named, any given certificate may be the signer's.
    let others = embedded.len() + named.as_ref().map_or(context.given.len(), |_| 0);
    let others = (0..others).filter(|&place| Some(place) != signing_certificate);
    let order: Vec<_> = signing_certificate.into_iter().chain(others).collect();
    let method = signed_info.and_then(|info| document.only(info, DSIG, "SignatureMethod"));
    let method = method.map(|element| SignatureMethod::read(document, element, budget));
    let method = method.transpose()?.flatten();
    let order = Order {
        // If a certificate that is only at hand does not verify the value, that proves nothing.
        is_own: &|place| place < embedded.len() || Some(place) == signing_certificate,
        places: &order,
    };
    let mut value = match signed_info {
        Some(info) => check_value(context, info, method.as_ref(), &candidates, order)?,
        None => ValueIntegrity::Broken,
    };
    let matches =
        named.map(|named| is_match(&named, &candidates, signing_certificate, &value, budget));
    let matches = matches.transpose()?;
    let verifying = match value {
        ValueIntegrity::Intact(place) => Some(place),
        _ => signing_certificate,
    };
    let given = verifying.filter(|&place| place >= embedded.len());
    let given = given.map(|place| candidates[place].clone());
    if given.is_some() {
        let place = embedded.len();
        signing_certificate = signing_certificate.map(|it| it.min(place));
        if let ValueIntegrity::Intact(it) = &mut value {
            *it = place.min(*it);
        }
    }
    let is_certificate_given = given.is_some();
    let mut certificates = embedded;
    certificates.extend(given);
    let signing_time = properties.map(|it| xades::signing_time(document, it, budget));
    let encloses = markup().any(|covered| document.contains(covered.node, signature));
    let covers_root = markup().any(|covered| coverage::is_document(document, covered.node));
    let mut read = XmlSignature {
        id: document.attribute(signature, "Id").map(str::to_owned),
        signature_method: algorithm(document, signed_info, "SignatureMethod"),
        method,
        canonicalization_method: algorithm(document, signed_info, "CanonicalizationMethod"),
        covers_external: references.iter().any(|reference| {
            reference.covers == Coverage::External
                && reference.integrity == ReferenceIntegrity::Intact
        }),
        references,
        signing_certificate_matches: matches,
        certificates,
        is_certificate_given,
        signing_certificate,
        signing_time: signing_time.transpose()?.flatten(),
        value,
        timestamps: stamps::read(context)?,
        evidence,
        duplicate_ids: document.duplicate_ids,
        encloses,
        envelops: false,
        covers_root,
        is_apart: false,
        has_unsigned: false,
        splits_text: false,
        countersigned: None,
        ignores_given: false,
    };
    let mut references = read.references.iter();
    read.ignores_given = context.content.is_some()
        && !read.countersigns()
        && !references.any(|reference| reference.is_given);
    Ok((read, covered))
}

/// The index of the named certificate in this list.
fn place_of(
    named: &SigningCertificate,
    certificates: &[&Vec<u8>],
    budget: &Budget,
) -> Result<Option<usize>> {
    for (place, certificate) in certificates.iter().enumerate() {
        if named.names(certificate, budget)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Whether a signature refers to exactly one thing outside of the document.
fn refers_once(document: &Document<'_>, signature: NodeIndex) -> bool {
    let info = document.only(signature, DSIG, "SignedInfo");
    let references = info.map(|info| document.named(info, DSIG, "Reference"));
    let outside = references.into_iter().flatten().filter(|&reference| {
        let uri = document.attribute(reference, "URI");
        uri.is_none_or(|uri| !uri.is_empty() && !uri.starts_with('#'))
    });
    outside.count() == 1
}

fn read_references(
    context: &Context<'_>,
    signed_info: Option<NodeIndex>,
) -> Result<(Vec<Reference>, Vec<Covered>)> {
    let mut references = Vec::new();
    let mut all = Vec::new();
    let Some(signed_info) = signed_info else {
        return Ok((references, all));
    };
    for reference in context.document.named(signed_info, DSIG, "Reference") {
        if references.len() == MAX_REFERENCES {
            return Err(XmlError::TooLarge("references"));
        }
        let (reference, covered) = reference::read(context, reference)?;
        all.extend(covered);
        references.push(reference);
    }
    Ok((references, all))
}

fn algorithm(document: &Document<'_>, signed_info: Option<NodeIndex>, local: &str) -> String {
    signed_info
        .and_then(|info| document.only(info, DSIG, local))
        .and_then(|method| elements::algorithm(document, method))
        .unwrap_or_default()
        .to_owned()
}

fn check_value(
    context: &Context<'_>,
    signed_info: NodeIndex,
    signature_method: Option<&SignatureMethod>,
    certificates: &[&Vec<u8>],
    order: Order<'_>,
) -> Result<ValueIntegrity> {
    let &Context {
        document,
        signature,
        budget,
        ..
    } = context;
    let canonicalization_uri = || algorithm(document, Some(signed_info), "CanonicalizationMethod");
    let method = document
        .only(signed_info, DSIG, "CanonicalizationMethod")
        .and_then(|method| canonicalization(document, method));
    let Some(method) = method else {
        return Ok(ValueIntegrity::UnsupportedAlgorithm(canonicalization_uri()));
    };
    let value = match document.only(signature, DSIG, "SignatureValue") {
        Some(value) => decode_base64(&document.string(value, budget)?),
        None => None,
    };
    let Some(value) = value else {
        return Ok(ValueIntegrity::Broken);
    };
    let nodes = NodeSet::whole(signed_info);
    let mut output = Output::collect(budget);
    let message =
        match canonicalize(document, &nodes, &method, &mut output).and_then(|()| output.finish()) {
            Ok(message) => message,
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Unresolved) => {
                return Ok(ValueIntegrity::UnsupportedAlgorithm(canonicalization_uri()));
            }
            Err(Stop::Broken) => return Ok(ValueIntegrity::Broken),
        };
    let verified = signature_method
        .and_then(|method| verify(method, certificates, order, &message, &value, budget));
    Ok(verified.unwrap_or_else(|| {
        let uri = algorithm(document, Some(signed_info), "SignatureMethod");
        ValueIntegrity::UnsupportedAlgorithm(uri)
    }))
}

fn is_match(
    named: &SigningCertificate,
    certificates: &[&Vec<u8>],
    signing_certificate: Option<usize>,
    value: &ValueIntegrity,
    budget: &Budget,
) -> Result<bool> {
    Ok(match value {
        ValueIntegrity::Intact(index) => named.names(certificates[*index], budget)?,
        _ => signing_certificate.is_some(),
    })
}
