//! Finds content of a document that is not signed, but that an application may take for signed.
//!
//! An attacker may move a signed element to a place where nobody looks for it, and put another one in its place (XML
//! signature wrapping). Besides, nobody signs the value, the key and the unsigned properties of a signature, because
//! signers leave the signature out of the document that they sign. A program that looks elements up by name may find
//! something there first.
//!
//! So the rule is: *content that is not signed is a signature, or a known list of signatures around it, and consists of
//! nothing but the elements and attributes that XMLDSig and XAdES define for that, in their places*. In detail:
//!
//! - The content of another signature may be signed by that signature instead.
//! - Text occurs only in innermost elements.
//! - White space and comments mean nothing. Processing instructions tell applications something, so there are none.
//! - No comment and no omitted signature comes right before signed text: many readers take one piece of text for all of
//!   it.
//! - No omitted signature comes right after text, because a reader may add the signature's text to it. Exceptions are
//!   the root element and the signed element, where signers put the signature.

use std::collections::HashSet;

use super::Omission;
use super::document::{Document, Element, Kind, NODE_NS, NodeIndex};
use super::elements::DSIG;
use super::reference::Covered;
use super::vocabulary;
use super::xades;
use crate::pki::budget::{Budget, Exhausted};

/// Cost of looking up the name of an element or attribute.
const NAME_NS: u64 = 150;
/// Cost of checking whether a node is inside of a covered node.
const INSIDE_NS: u64 = 5;
/// Cost of finding the comments inside of a covered node.
const FIND_NS: u64 = 100;

/// A signature in its document, with the nodes that it covers.
pub(super) struct Shape {
    signature: NodeIndex,
    covered: Vec<Covered>,
    /// Whether text comes right before the signature, and right after it.
    follows_text: bool,
    precedes_text: bool,
    /// Whether everything in the signature is signed by it or is a regular part of a signature.
    is_whole: bool,
    /// Whether the signature is the whole document and signs all content in it: each `Object` that holds any.
    pub(super) envelops: bool,
}

impl Shape {
    /// Examines a signature that covers these nodes. If the signature is not intact, none of them count as signed.
    pub(super) fn new(
        document: &Document<'_>,
        signature: NodeIndex,
        covered: Vec<Covered>,
        is_intact: bool,
        budget: &Budget,
    ) -> Result<Self, Exhausted> {
        let signed = |is_text| {
            let covered = covered.iter().filter(|it| is_intact && !it.is_part());
            let covered = covered.filter(move |it| it.is_text == is_text);
            covered.map(|it| it.node).collect()
        };
        let form = Form {
            document,
            signature,
            is_intact,
            signed: signed(false),
            signed_by_text: signed(true),
            budget,
        };
        let is_whole = form.is_kept()?;
        let mut has_content = false;
        let mut signs_all = true;
        for object in document.named(signature, DSIG, "Object") {
            let inside = Inside::of(document, object, budget)?;
            has_content |= inside.held == Held::Content;
            budget.spend_each(covered.len(), INSIDE_NS)?;
            // Nobody checks what a `Manifest` lists. Properties are signed; `Form` notices if they are not.
            signs_all &= match inside.held {
                Held::Form => true,
                Held::List => false,
                Held::Content => covered.iter().any(|it| inside.is_covered_by(it)),
            };
        }
        Ok(Self {
            signature,
            follows_text: document.follows_text(signature),
            precedes_text: document.precedes_text(signature),
            covered,
            is_whole,
            envelops: is_document(document, signature) && has_content && signs_all,
        })
    }

    /// Whether something inside of a node could be mistaken for content that this signature signs: in the signature
    /// itself, or in another one that it does not sign.
    pub(super) fn has_unsigned(
        &self,
        document: &Document<'_>,
        within: NodeIndex,
        all: &[Self],
        budget: &Budget,
    ) -> Result<bool, Exhausted> {
        if !self.is_whole {
            return Ok(true);
        }
        for other in all {
            if other.is_whole
                || other.signature == self.signature
                || !document.contains(within, other.signature)
            {
                continue;
            }
            budget.spend_each(self.covered.len(), INSIDE_NS)?;
            if !self.signs(document, other.signature) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether covered text is split: by one of these comments, if it is not signed, or by an omitted signature right
    /// before text; or by such a signature right after text, in an element where signers do not put it.
    pub(super) fn splits_text(
        &self,
        document: &Document<'_>,
        comments: &[NodeIndex],
        all: &[Self],
        budget: &Budget,
    ) -> Result<bool, Exhausted> {
        for covered in self.covered.iter().filter(|it| !it.has_comments) {
            budget.spend(FIND_NS)?;
            let next = comments.partition_point(|&comment| comment < covered.node);
            let inside = comments.get(next..).unwrap_or_default().iter();
            let inside = inside.take_while(|&&comment| document.contains(covered.node, comment));
            for &comment in inside {
                budget.spend_each(1 + self.covered.len(), INSIDE_NS)?;
                let mut others = self.covered.iter().filter(|it| it.has_comments);
                if !others.any(|it| document.contains(it.node, comment)) {
                    return Ok(true);
                }
            }
        }
        for other in all {
            let parent = document.nodes()[other.signature].parent;
            let is_end = || {
                let mut covered = self.covered.iter();
                parent == document.root || covered.any(|it| it.node == parent)
            };
            budget.spend_each(self.covered.len(), INSIDE_NS)?;
            if other.precedes_text || other.follows_text && !is_end() {
                budget.spend_each(2 * self.covered.len(), INSIDE_NS)?;
                let mut covered = self.covered.iter();
                let is_inside = covered.any(|it| document.contains(it.node, other.signature));
                if is_inside && !self.signs(document, other.signature) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether it signs another signature with all its content.
    fn signs(&self, document: &Document<'_>, other: NodeIndex) -> bool {
        let mut covered = self.covered.iter();
        covered.any(|covered| {
            // It leaves itself out of a covered node around it.
            let is_left_out = document.contains(self.signature, other)
                && !document.contains(self.signature, covered.node);
            !covered.is_text
                && covered.omits < Omission::Signatures
                && document.contains(covered.node, other)
                && !is_left_out
        })
    }
}

/// Whether a node is all that applications read: the document, or its root element if there are no instructions around
/// it.
pub(super) fn is_document(document: &Document<'_>, node: NodeIndex) -> bool {
    node == 0 || node == document.root && !document.instructs
}

/// Whether a document is a list of signatures as standards define it, with nothing else in it.
pub(super) fn is_list(document: &Document<'_>) -> bool {
    let root = document.root;
    let is_named = document.element(root).is_some_and(|element| {
        vocabulary::is_list(element) && vocabulary::has_known_attributes(element)
    });
    let is_signature =
        |child| is_blank(document, child) || is_dsig(document, child, &["Signature"]);
    is_named && is_document(document, root) && document.children(root).all(is_signature)
}

/// Comments right before text that is no part of a signature, in document order. Some readers take only one of the
/// pieces around a comment for the whole text.
pub(super) fn comments_before_text(
    document: &Document<'_>,
    budget: &Budget,
) -> Result<Vec<NodeIndex>, Exhausted> {
    let mut comments = Vec::new();
    for (index, node) in document.nodes().iter().enumerate() {
        budget.spend(NODE_NS)?;
        if matches!(node.kind, Kind::Comment(_)) && document.precedes_text(index) {
            budget.spend(NAME_NS)?;
            let is_part = document.element(node.parent).is_some_and(|element| {
                vocabulary::is_of_signatures(element) && !element.is(DSIG, "Object")
            });
            if !is_part {
                comments.push(index);
            }
        }
    }
    Ok(comments)
}

/// The kinds of content of an `Object`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Properties of the signature (XAdES or XMLDSig), or its key.
    Form,
    /// A list of other things that are said to be signed.
    List,
    /// Anything else.
    Content,
}

/// The content of an `Object`.
struct Inside {
    object: NodeIndex,
    held: Held,
    has_elements: bool,
    /// The only element in it, if there is nothing else that an application reads.
    only: Option<NodeIndex>,
}

impl Inside {
    fn of(document: &Document<'_>, object: NodeIndex, budget: &Budget) -> Result<Self, Exhausted> {
        let mut inside = Self {
            object,
            held: Held::Content,
            has_elements: false,
            only: None,
        };
        let mut others = 0;
        let (mut has_list, mut has_content) = (false, false);
        for child in document.children(object) {
            budget.spend(NODE_NS)?;
            if is_blank(document, child) {
                continue;
            }
            others += 1;
            let is_element = document.element(child).is_some();
            inside.has_elements |= is_element;
            inside.only = Some(child).filter(|_| is_element && others == 1);
            const FORM: [&str; 3] = ["KeyInfo", "X509Data", "SignatureProperties"];
            if is_dsig(document, child, &["Manifest"]) {
                has_list = true;
            } else if !xades::is_qualifying(document, child) && !is_dsig(document, child, &FORM) {
                has_content = true;
            }
        }
        inside.held = match (has_list, has_content) {
            (true, _) => Held::List,
            (false, false) if others > 0 => Held::Form,
            _ => Held::Content,
        };
        Ok(inside)
    }

    /// Whether a reference covers all of the content: the `Object`, by its text only if it has no elements, or the only
    /// element in it.
    fn is_covered_by(&self, covered: &Covered) -> bool {
        let is_whole = covered.node == self.object || Some(covered.node) == self.only;
        let is_plain = covered.node == self.object && !self.has_elements;
        !covered.is_part() && is_whole && (!covered.is_text || is_plain)
    }
}

/// Looks for content of a signature that is neither signed nor a regular part of a signature.
struct Form<'a> {
    document: &'a Document<'a>,
    signature: NodeIndex,
    /// Whether the signature is intact.
    is_intact: bool,
    /// Nodes that it signs with all their content.
    signed: HashSet<NodeIndex>,
    /// Nodes of which it signs only the text.
    signed_by_text: HashSet<NodeIndex>,
    budget: &'a Budget,
}

impl Form<'_> {
    fn is_kept(&self) -> Result<bool, Exhausted> {
        let document = self.document;
        let end = document.nodes()[self.signature].end;
        let mut node = self.signature;
        // End of the latest element that should be signed, if the signature is not intact.
        let mut claimed_end = node;
        while node < end {
            self.budget.spend(NODE_NS)?;
            let Some(element) = document.element(node) else {
                node += 1;
                continue;
            };
            self.budget
                .spend_each(1 + element.attributes.len(), NAME_NS)?;
            if self.is_passed_over(node) {
                node = document.nodes()[node].end;
                continue;
            }
            let is_claimed = node < claimed_end;
            if !is_claimed && self.is_signed_only(node) {
                if self.is_intact {
                    return Ok(false);
                }
                // Nobody can tell who wrote this element, so only the names in it are checked.
                claimed_end = document.nodes()[node].end;
            }
            let is_known = if is_claimed {
                vocabulary::is_of_signatures(element)
                    && !is_dsig(document, node, &["Object", "Signature"])
            } else {
                self.is_in_place(node, element)
            };
            if !is_known
                || !vocabulary::has_known_attributes(element)
                || !self.has_form_inside(node)?
            {
                return Ok(false);
            }
            node += 1;
        }
        Ok(true)
    }

    /// Whether a node needs no check here: it is signed, or it is a countersignature, which is checked by itself.
    fn is_passed_over(&self, node: NodeIndex) -> bool {
        let document = self.document;
        if node == self.signature {
            return false;
        }
        let is_info = || {
            document.nodes()[node].parent == self.signature
                && is_dsig(document, node, &["SignedInfo"])
        };
        let is_countersignature = || {
            let parent = document.nodes()[node].parent;
            is_dsig(document, node, &["Signature"])
                && xades::is(document, parent, "CounterSignature")
        };
        self.signed.contains(&node) || is_countersignature() || self.is_intact && is_info()
    }

    /// Whether an element is in the place that XMLDSig (XMLDSig 1.1 section 4) or XAdES defines for it.
    fn is_in_place(&self, node: NodeIndex, element: &Element<'_>) -> bool {
        let document = self.document;
        let parent = document.nodes()[node].parent;
        if node == self.signature {
            return true;
        }
        if parent == self.signature {
            const PARTS: [&str; 4] = ["SignedInfo", "SignatureValue", "KeyInfo", "Object"];
            return is_dsig(document, node, &PARTS);
        }
        if is_dsig(document, parent, &["Object"]) {
            const HELD: [&str; 4] = ["KeyInfo", "X509Data", "Manifest", "SignatureProperties"];
            return xades::is_qualifying(document, node) || is_dsig(document, node, &HELD);
        }
        self.is_signed_only(node)
            || vocabulary::is_unsigned_part(element)
                && !is_dsig(document, parent, &["SignatureValue"])
    }

    /// Whether an element states what is signed, so that it must be signed itself.
    fn is_signed_only(&self, node: NodeIndex) -> bool {
        let document = self.document;
        is_dsig(
            document,
            node,
            &["SignedInfo", "Manifest", "SignatureProperty"],
        ) || xades::is(document, node, "SignedProperties")
    }

    /// Whether the node has text only where text is allowed, and no instructions.
    fn has_form_inside(&self, node: NodeIndex) -> Result<bool, Exhausted> {
        let document = self.document;
        let children = || document.children(node);
        self.budget.spend_each(children().count(), NODE_NS)?;
        let parent = document.nodes()[node].parent;
        let is_container = node == self.signature
            || parent == self.signature && !is_dsig(document, node, &["SignatureValue"])
            || is_dsig(document, parent, &["Object"]);
        let has_elements = children().any(|child| document.element(child).is_some());
        let may_have_text = !has_elements && (!is_container || self.signed_by_text.contains(&node));
        Ok(children().all(|child| {
            is_blank(document, child)
                || match document.nodes()[child].kind {
                    Kind::Text(_) => may_have_text,
                    Kind::Instruction(..) => false,
                    _ => true,
                }
        }))
    }
}

/// Whether applications ignore this node: white space or a comment.
fn is_blank(document: &Document<'_>, node: NodeIndex) -> bool {
    match &document.nodes()[node].kind {
        Kind::Text(text) => text.trim_ascii().is_empty(),
        Kind::Comment(_) => true,
        _ => false,
    }
}

fn is_dsig(document: &Document<'_>, node: NodeIndex, locals: &[&str]) -> bool {
    let element = document.element(node);
    element.is_some_and(|it| locals.contains(&it.local) && *it.namespace == *DSIG)
}
