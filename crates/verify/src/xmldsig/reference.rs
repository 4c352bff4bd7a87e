//! Reads one `Reference` (XMLDSig 1.1 section 4.4.3): its target, what it covers, and whether its digest matches.

use super::canonical::Method;
use super::document::{Document, NodeIndex, Target};
use super::elements::{self, BASE64, DSIG};
use super::node_set::NodeSet;
use super::output::{Output, Stop};
use super::text::decode_base64;
use super::transform::Transformed;
use super::xades;
use super::{Coverage, Omission, Reference, ReferenceIntegrity, XmlError};
use crate::cms::content::Content;
use crate::pki::budget::Budget;

/// Cost of following and reporting a reference.
const REFERENCE_NS: u64 = 6_000;
/// Cost of reporting a transform.
const TOLD_TRANSFORM_NS: u64 = 300;
/// Cost of reporting an octet of a reference.
const TOLD_OCTET_NS: u64 = 10;

/// A signature in its document, with the inputs for reading it.
pub(super) struct Context<'a> {
    /// The document.
    pub(super) document: &'a Document<'a>,
    /// All `Signature` elements of the document.
    pub(super) signatures: &'a [NodeIndex],
    /// The signature whose references are read.
    pub(super) signature: NodeIndex,
    /// The budget.
    pub(super) budget: &'a Budget,
    /// The octets that its reference to content outside the document stands for.
    pub(super) external: Option<&'a [u8]>,
    /// The document that was given, no matter what the signature refers to.
    pub(super) content: Option<&'a Content<'a>>,
    /// Certificates that are at hand beside the document.
    pub(super) given: &'a [&'a Vec<u8>],
}

/// A node that a reference hashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Covered {
    pub(super) node: NodeIndex,
    pub(super) integrity: ReferenceIntegrity,
    /// Whether only its text is hashed, so that names and structure in it may change.
    pub(super) is_text: bool,
    /// The parts of it that are left out.
    pub(super) omits: Omission,
    /// Whether comments in it are signed.
    pub(super) has_comments: bool,
}

impl Covered {
    /// Whether elements that are no signatures are left out of it.
    pub(super) fn is_part(&self) -> bool {
        self.omits == Omission::Elements
    }
}

/// Reads a reference. Also returns the node that it hashes, if that is in the document.
///
/// # Errors
///
/// Only if the document as a whole exceeds a limit.
pub(super) fn read(
    context: &Context<'_>,
    reference: NodeIndex,
) -> Result<(Reference, Option<Covered>), XmlError> {
    let &Context {
        document, budget, ..
    } = context;
    budget.spend(REFERENCE_NS)?;
    let uri = document.attribute(reference, "URI");
    let target = dereference(document, uri);
    let transforms = transforms(document, reference);
    let digest_method = document
        .only(reference, DSIG, "DigestMethod")
        .and_then(|method| elements::algorithm(document, method))
        .unwrap_or_default();
    let mut omits = Omission::Nothing;
    let integrity = match check(context, reference, digest_method, &mut omits) {
        Ok(()) => ReferenceIntegrity::Intact,
        Err(Stop::Broken) => ReferenceIntegrity::Broken,
        Err(Stop::Unresolved) => ReferenceIntegrity::Unresolved,
        Err(Stop::Refused(error)) => return Err(error),
    };
    let keeps_comments = target.as_ref().is_ok_and(|nodes| nodes.comments);
    let target = target.ok().map(|nodes| nodes.apex);
    let algorithm = |&transform| elements::algorithm(document, transform).unwrap_or_default();
    let described = Reference {
        uri: uri.map(str::to_owned),
        transforms: transforms
            .iter()
            .flatten()
            .map(algorithm)
            .map(str::to_owned)
            .collect(),
        digest_method: digest_method.to_owned(),
        covers: coverage(context, target, uri.unwrap_or_default()),
        omits,
        integrity,
        is_given: false,
    };
    let described = Reference {
        is_given: is_given(context, reference, &described)?,
        ..described
    };
    let uris = described.transforms.iter().map(String::len).sum::<usize>();
    let octets = uris + uri.map_or(0, str::len) + digest_method.len() + described.covers.octets();
    budget.spend_each(octets, TOLD_OCTET_NS)?;
    budget.spend_each(described.transforms.len(), TOLD_TRANSFORM_NS)?;
    let mut methods = described.transforms.iter();
    let first_method = methods.find_map(|uri| Method::named(uri));
    let covered = target.map(|node| Covered {
        node,
        integrity,
        is_text: described.transforms.iter().any(|it| it == BASE64),
        omits,
        has_comments: keeps_comments && first_method.is_some_and(|method| method.comments),
    });
    Ok((described, covered))
}

/// The `Transform` elements, in order. `None` if there are other elements among them, or several `Transforms`.
fn transforms(document: &Document<'_>, reference: NodeIndex) -> Option<Vec<NodeIndex>> {
    let mut lists = document.named(reference, DSIG, "Transforms");
    let Some(list) = lists.next() else {
        return Some(Vec::new());
    };
    if lists.next().is_some() {
        return None;
    }
    let mut transforms = Vec::new();
    for child in document.children(list) {
        match document.element(child) {
            Some(element) if element.is(DSIG, "Transform") => transforms.push(child),
            Some(_) => return None,
            None => {}
        }
    }
    Some(transforms)
}

/// Resolves a same-document reference (XMLDSig 1.1 section 4.4.3.3). Only the two `xpointer` forms keep comments.
fn dereference(document: &Document<'_>, uri: Option<&str>) -> Result<NodeSet, Stop> {
    let (apex, comments) = match uri {
        Some("") => (0, false),
        Some("#xpointer(/)") => (0, true),
        Some(uri) => {
            let fragment = uri.strip_prefix('#').ok_or(Stop::Unresolved)?;
            let (id, comments) = match xpointer_id(fragment) {
                Some(id) => (id, true),
                None if fragment.contains('(') => return Err(Stop::Unresolved),
                None => (fragment, false),
            };
            match document.target(id) {
                Some(Target::One(element)) => (element, comments),
                Some(Target::Several) => return Err(Stop::Broken),
                // The target may exist under an attribute that only a schema declares to be an identifier.
                None => return Err(Stop::Unresolved),
            }
        }
        None => return Err(Stop::Unresolved),
    };
    Ok(NodeSet {
        comments,
        ..NodeSet::whole(apex)
    })
}

/// The identifier in `xpointer(id('…'))`.
pub(super) fn xpointer_id(fragment: &str) -> Option<&str> {
    let quoted = fragment.strip_prefix("xpointer(id(")?.strip_suffix("))")?;
    ['\'', '"']
        .iter()
        .find_map(|&quote| quoted.strip_prefix(quote)?.strip_suffix(quote))
}

/// Writes the octets that a reference hashes; `method` writes nodes that no transform canonicalises. Sets `omits` to
/// what the transforms leave out.
pub(super) fn write(
    context: &Context<'_>,
    reference: NodeIndex,
    method: &Method<'_>,
    output: &mut Output<'_>,
    omits: &mut Omission,
) -> Result<(), Stop> {
    let &Context {
        document, budget, ..
    } = context;
    let transforms = transforms(document, reference).ok_or(Stop::Unresolved)?;
    let uri = document.attribute(reference, "URI");
    match (dereference(document, uri), context.external) {
        (Ok(nodes), _) => {
            let mut transformed = Transformed::new(document, nodes);
            let applied = transforms.into_iter().try_for_each(|transform| {
                transformed.apply(transform, context.signature, context.signatures, budget)
            });
            *omits = transformed.omits();
            applied?;
            transformed.write(method, output)
        }
        (Err(Stop::Unresolved), Some(octets))
            if transforms.is_empty() && uri.is_none_or(|uri| !uri.starts_with('#')) =>
        {
            output.write(octets)
        }
        (Err(stop), _) => Err(stop),
    }
}

/// Checks that a reference has the digest of what it hashes.
fn check(
    context: &Context<'_>,
    reference: NodeIndex,
    digest_method: &str,
    omits: &mut Omission,
) -> Result<(), Stop> {
    let algorithm = elements::digest(digest_method).ok_or(Stop::Unresolved);
    let mut output = Output::hash(context.budget, algorithm?);
    write(context, reference, &Method::implicit(), &mut output, omits)?;
    compare(context, reference, output)
}

/// Checks that a reference has the digest of what was written.
fn compare(context: &Context<'_>, reference: NodeIndex, output: Output<'_>) -> Result<(), Stop> {
    let &Context {
        document, budget, ..
    } = context;
    let value = document
        .only(reference, DSIG, "DigestValue")
        .ok_or(Stop::Broken)?;
    let expected = decode_base64(&document.string(value, budget)?).ok_or(Stop::Broken)?;
    if output.finish()? == expected {
        Ok(())
    } else {
        Err(Stop::Broken)
    }
}

/// Whether a reference may be to the document that was given: it has the document's digest, or it points outside and
/// has transforms or a digest that can't be followed.
fn is_given(
    context: &Context<'_>,
    reference: NodeIndex,
    described: &Reference,
) -> Result<bool, XmlError> {
    let &Context {
        document, budget, ..
    } = context;
    let is_unknown = described.leads_elsewhere() && !described.transforms.is_empty();
    let Some(content) = context.content else {
        return Ok(false);
    };
    if matches!(
        described.covers,
        Coverage::SignedProperties | Coverage::Countersigned
    ) {
        return Ok(false);
    }
    let Some(hash) = elements::digest(&described.digest_method) else {
        return Ok(described.leads_elsewhere());
    };
    let value = document.only(reference, DSIG, "DigestValue");
    let value = value
        .map(|value| document.string(value, budget))
        .transpose()?;
    let signed = value.and_then(|value| decode_base64(&value));
    let given = content.digest(hash).ok();
    Ok(is_unknown || given.is_some() && given == signed)
}

fn coverage(context: &Context<'_>, target: Option<NodeIndex>, uri: &str) -> Coverage {
    let document = context.document;
    let Some(target) = target else {
        return Coverage::External;
    };
    let Some(element) = document.element(target) else {
        return Coverage::WholeDocument;
    };
    if xades::is_signed_properties(document, target, context.signature) {
        return Coverage::SignedProperties;
    }
    if element.is(DSIG, "SignatureValue")
        && document.ancestors(target).next() == xades::countersigned(document, context.signature)
    {
        return Coverage::Countersigned;
    }
    let fragment = uri.strip_prefix('#').unwrap_or_default();
    Coverage::Element {
        name: element.local.to_owned(),
        id: xpointer_id(fragment).unwrap_or(fragment).to_owned(),
    }
}
