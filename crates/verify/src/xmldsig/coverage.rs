//! Whether what is signed is all that an application reads. A signed element may be moved to where nobody looks for it, with another
//! one in its place (XML signature wrapping), and what is not signed may be put where somebody finds it first.

use std::collections::HashSet;

use super::XmlError;
use super::document::{Document, Kind, NODE_NS, NodeIndex};
use super::elements::{self, DSIG};
use super::reference::{Context, Covered};
use super::xades;
use crate::pki::work::Work;

type Result<T> = std::result::Result<T, XmlError>;

/// Whether this is the document or its root element.
pub(super) fn is_root(document: &Document<'_>, node: NodeIndex) -> bool {
    document.ancestors(node).count() <= 1
}

/// Whether a signature is the document, and signs all that is in it: each `Object`, but for those that have nothing but properties
/// of it. In another document, or beside an `Object` that is not signed, its content could be taken for something that is not
/// what applications read.
pub(super) fn is_enveloping(
    document: &Document<'_>,
    signature: NodeIndex,
    covered: &[Covered],
) -> bool {
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
pub(super) fn has_unsigned(
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

/// The document around its signatures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// Whether there is nothing in it but signatures.
    pub(super) is_apart: bool,
    /// Whether a comment stands within a text of it.
    pub(super) splits_text: bool,
}

impl Around {
    pub(super) fn of(document: &Document<'_>, work: &Work) -> Result<Self> {
        Ok(Self {
            is_apart: is_apart(document, work)?,
            splits_text: splits_text(document, work)?,
        })
    }
}

/// Whether a comment stands within a text that is no part of signatures. Comments are hardly ever signed, and some readers see of
/// such a text only what is before them.
fn splits_text(document: &Document<'_>, work: &Work) -> Result<bool> {
    let is_content = |parent| match document.element(parent) {
        Some(element) => {
            element.is(DSIG, "Object") || !elements::is_of_signatures(&element.namespace)
        }
        None => false,
    };
    // What the last text is in, and whether a comment followed.
    let mut last = None;
    for (index, node) in document.nodes().iter().enumerate() {
        work.spend(NODE_NS)?;
        match (&node.kind, last) {
            (Kind::Comment(_), Some((parent, _))) if parent == node.parent => {
                last = Some((parent, true));
            }
            (Kind::Comment(_), _) => {}
            (Kind::Text(_), _) if is_blank(document, index) => {}
            (Kind::Text(_), Some((parent, true))) if parent == node.parent => {
                if is_content(parent) {
                    return Ok(true);
                }
            }
            (Kind::Text(_), _) => last = Some((node.parent, false)),
            _ => last = None,
        }
    }
    Ok(false)
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
