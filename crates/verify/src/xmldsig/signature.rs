//! One `Signature` (XMLDSig 1.1 section 4), from its parts to its verdict.

use super::canonical::canonicalize;
use super::document::{Document, Kind, NODE_NS, NodeIndex};
use super::elements::{self, DSIG};
use super::key_info;
use super::method::Method as SignatureMethod;
use super::node_set::NodeSet;
use super::parse::parse;
use super::reference::{self, Context, Covered};
use super::stamps;
use super::text::{decode, decode_base64, normalize};
use super::transform::canonicalization;
use super::verify::verify;
use super::work::{Output, Stop};
use super::xades::{self, SigningCertificate};
use super::{Coverage, Reference, ReferenceIntegrity, ValueIntegrity, XmlError, XmlSignature};
use crate::judging::Judging;
use crate::pki::work::Work;
use std::borrow::Cow;
use std::collections::HashSet;

type Result<T> = std::result::Result<T, XmlError>;

/// Most signatures that are read.
const MAX_SIGNATURES: usize = 100;
/// Most references of a signature that are followed.
const MAX_REFERENCES: usize = 1_000;

/// XML, as it came.
#[derive(Debug, Clone, Copy)]
pub enum Xml<'a> {
    /// A file.
    Bytes(&'a [u8]),
    /// Characters: what the declaration says of bytes is over (RFC 7303 section 3).
    Text(&'a str),
}

/// Reads all XML signatures of a document, wherever they are, in document order.
///
/// # Errors
///
/// As for [`inspect_over`].
pub fn inspect(xml: &[u8]) -> Result<Vec<XmlSignature>> {
    inspect_over(Xml::Bytes(xml), None, &Work::new())
}

/// Reads all XML signatures of a document. With `judging`, what one thing outside of it is that a signature refers to, and which
/// certificates are at hand beside it; `work` is what it may cost.
///
/// # Errors
///
/// [`XmlError`] where the document can't be read or asks too much; never a panic, whatever the bytes. A signature with
/// missing parts is no error: it is not intact.
pub fn inspect_over(
    xml: Xml<'_>,
    judging: Option<&Judging<'_>>,
    work: &Work,
) -> Result<Vec<XmlSignature>> {
    let text = match xml {
        Xml::Bytes(bytes) => decode(bytes)?,
        Xml::Text(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            normalize(Cow::Borrowed(text))?
        }
    };
    let document = parse(&text, work)?;
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
    let is_apart = is_apart(&document, work)?;
    let external = judging.and_then(|judging| judging.document);
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
            work,
            external: external.filter(|_| refers_once(&document, signature)),
            given: &given,
        };
        read(&context, is_apart)
    });
    let read: Vec<_> = read.collect::<Result<_>>()?;
    if work.is_exhausted() {
        return Err(XmlError::TooLarge("certificates"));
    }
    Ok(read)
}

fn read(context: &Context<'_>, is_apart: bool) -> Result<XmlSignature> {
    let &Context {
        document,
        signature,
        work,
        ..
    } = context;
    let signed_info = document.only(signature, DSIG, "SignedInfo");
    let (references, covered) = read_references(context, signed_info)?;
    let markup = || {
        covered
            .iter()
            .filter(|covered| !covered.is_text && !covered.is_part)
    };
    let properties = markup()
        .find(|covered| {
            covered.integrity == ReferenceIntegrity::Intact
                && xades::is_signed_properties(document, covered.node, signature)
        })
        .map(|covered| covered.node);
    let named = properties.map(|it| xades::signing_certificate(document, it, work));
    let named = named.transpose()?.flatten();
    let evidence = xades::evidence(document, signature, work)?;
    let embedded = key_info::certificates(document, signature, work)?;
    let beside = context.given.iter().copied().chain(&evidence.certificates);
    let candidates: Vec<_> = embedded.iter().chain(beside).collect();
    let mut signing_certificate = match &named {
        Some(named) => place_of(named, &candidates, work)?,
        None => None,
    };
    // The named one first: among renewed certificates with the same key it is the one that counts. Where none is named, it may be
    // any that was given.
    let others = embedded.len() + named.as_ref().map_or(context.given.len(), |_| 0);
    let others = (0..others).filter(|&place| Some(place) != signing_certificate);
    let order: Vec<_> = signing_certificate.into_iter().chain(others).collect();
    let method = signed_info.and_then(|info| document.only(info, DSIG, "SignatureMethod"));
    let method = method.map(|element| SignatureMethod::read(document, element, work));
    let method = method.transpose()?.flatten();
    let mut value = match signed_info {
        Some(info) => check_value(context, info, method.as_ref(), &candidates, &order)?,
        None => ValueIntegrity::Broken,
    };
    let matches =
        named.map(|named| is_match(&named, &candidates, signing_certificate, &value, work));
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
    let signing_time = properties.map(|it| xades::signing_time(document, it, work));
    Ok(XmlSignature {
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
        encloses: markup().any(|covered| document.contains(covered.node, signature)),
        envelops: is_enveloping(document, signature, &covered),
        has_unsigned: has_unsigned(context, signed_info, &covered),
        is_apart,
        covers_root: markup().any(|covered| is_root(document, covered.node)),
    })
}

/// Where the named certificate is among these.
fn place_of(
    named: &SigningCertificate,
    certificates: &[&Vec<u8>],
    work: &Work,
) -> Result<Option<usize>> {
    for (place, certificate) in certificates.iter().enumerate() {
        if named.names(certificate, work)? {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Whether a signature refers to one thing that is not in the document.
fn refers_once(document: &Document<'_>, signature: NodeIndex) -> bool {
    let info = document.only(signature, DSIG, "SignedInfo");
    let references = info.map(|info| document.named(info, DSIG, "Reference"));
    let outside = references.into_iter().flatten().filter(|&reference| {
        let uri = document.attribute(reference, "URI");
        uri.is_none_or(|uri| !uri.is_empty() && !uri.starts_with('#'))
    });
    outside.count() == 1
}

/// Whether this is the document or its root element.
fn is_root(document: &Document<'_>, node: NodeIndex) -> bool {
    document.ancestors(node).count() <= 1
}

/// Whether a signature is the document, and signs all that is in it: each `Object`, but for those that have nothing but properties
/// of it. In another document, or beside an `Object` that is not signed, its content could be taken for something that is not
/// what applications read.
fn is_enveloping(document: &Document<'_>, signature: NodeIndex, covered: &[Covered]) -> bool {
    let mut contents = document
        .named(signature, DSIG, "Object")
        .filter(|&object| !has_properties_alone(document, object))
        .peekable();
    is_root(document, signature)
        && contents.peek().is_some()
        && contents.all(|object| {
            let mut covered = covered.iter();
            covered.any(|covered| is_whole_content(document, object, covered))
        })
}

/// Whether something is in a signature that it does not sign, and that is no part of signatures: what reads a document by the names of
/// elements may find it first, since a signature is left out of what it signs.
fn has_unsigned(
    context: &Context<'_>,
    signed_info: Option<NodeIndex>,
    covered: &[Covered],
) -> bool {
    let &Context {
        document,
        signature,
        work,
        ..
    } = context;
    let whole = covered.iter().filter(|covered| {
        let is_plain = || {
            let mut inside = document.children(covered.node);
            !inside.any(|child| document.element(child).is_some())
        };
        !covered.is_part && (!covered.is_text || is_plain())
    });
    let signed: HashSet<_> = whole
        .map(|covered| covered.node)
        .chain(signed_info)
        .collect();
    let is_of_dsig = |node, local| {
        let element = document.element(node);
        element.is_some_and(|element| element.is(DSIG, local))
    };
    let end = document.nodes().get(signature).map_or(0, |node| node.end);
    let mut next = signature + 1;
    while let Some(node) = document.nodes().get(next).filter(|_| next < end) {
        // Where nothing is left, what is said does not count.
        if work.spend(NODE_NS).is_err() {
            return true;
        }
        let is_foreign = match &node.kind {
            // Another signature has its own verdict.
            Kind::Element(_) if signed.contains(&next) || is_of_dsig(next, "Signature") => {
                next = node.end;
                continue;
            }
            Kind::Element(element) => !elements::is_of_signatures(&element.namespace),
            Kind::Text(_) => {
                let is_in = |local| is_of_dsig(node.parent, local);
                (is_in("Signature") || is_in("Object")) && !is_blank(document, next)
            }
            _ => false,
        };
        if is_foreign {
            return true;
        }
        next += 1;
    }
    false
}

/// Whether a document is a signature, or holds nothing but signatures.
fn is_apart(document: &Document<'_>, work: &Work) -> Result<bool> {
    let is_signature = |node| {
        let element = document.element(node);
        element.is_some_and(|element| element.is(DSIG, "Signature"))
    };
    if is_signature(document.root) {
        return Ok(true);
    }
    for child in document.children(document.root) {
        work.spend(NODE_NS)?;
        if !is_signature(child) && !is_blank(document, child) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an `Object` holds qualifying properties and nothing else.
fn has_properties_alone(document: &Document<'_>, object: NodeIndex) -> bool {
    let mut children = document.children(object).peekable();
    children.peek().is_some()
        && children.all(|child| is_blank(document, child) || xades::is_qualifying(document, child))
}

/// Whether a reference covers all that an `Object` holds: itself, or the one element in it. Of a `Manifest` or properties of
/// signatures nobody looks up what they list.
fn is_whole_content(document: &Document<'_>, object: NodeIndex, covered: &Covered) -> bool {
    let elements = || {
        let children = document.children(object);
        children.filter(|&child| document.element(child).is_some())
    };
    let lists = elements().any(|child| {
        let element = document.element(child);
        element.is_some_and(|it| it.is(DSIG, "Manifest") || it.is(DSIG, "SignatureProperties"))
    });
    if lists {
        return false;
    }
    if covered.is_part {
        return false;
    }
    if covered.node == object {
        // Of text it must be plain where it is.
        return !covered.is_text || elements().next().is_none();
    }
    let mut others = document
        .children(object)
        .filter(|&child| child != covered.node && !is_blank(document, child));
    !covered.is_text && elements().any(|child| child == covered.node) && others.next().is_none()
}

/// Whether this is nothing that an application reads: blanks, a comment or an instruction.
fn is_blank(document: &Document<'_>, node: NodeIndex) -> bool {
    match document.nodes().get(node).map(|node| &node.kind) {
        Some(Kind::Text(text)) => text.trim_ascii().is_empty(),
        Some(Kind::Comment(_) | Kind::Instruction(..)) => true,
        _ => false,
    }
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
    order: &[usize],
) -> Result<ValueIntegrity> {
    let &Context {
        document,
        signature,
        work,
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
        Some(value) => decode_base64(&document.string(value, work)?),
        None => None,
    };
    let Some(value) = value else {
        return Ok(ValueIntegrity::Broken);
    };
    let nodes = NodeSet::whole(signed_info);
    let mut output = Output::collect(work);
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
        .and_then(|method| verify(method, certificates, order, &message, &value, work));
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
    work: &Work,
) -> Result<bool> {
    Ok(match value {
        ValueIntegrity::Intact(index) => named.names(certificates[*index], work)?,
        _ => signing_certificate.is_some(),
    })
}
