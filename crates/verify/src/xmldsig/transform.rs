//! Applies the transforms of a reference (XMLDSig 1.1 section 6.6).
//!
//! XPath is not evaluated. [`super::xpath`] reads the expressions that signers write, all of which leave elements out;
//! any other expression is unresolved. So is any transform of octets, except another canonicalisation.

use super::canonical::{Method, canonicalize};
use super::document::{Document, Kind, NODE_NS, NodeIndex};
use super::elements::{self, BASE64, DSIG, ENVELOPED, EXCLUSIVE, FILTER2, XPATH};
use super::node_set::NodeSet;
use super::output::{Output, Stop};
use super::parse::parse;
use super::text::decode_base64;
use super::xpath::{self, Omitted, QName};
use super::{Omission, XmlError};
use crate::pki::budget::Budget;

type Result<T> = std::result::Result<T, Stop>;

/// Cost of a transform for each signature that it may leave out.
const TRANSFORM_NS: u64 = 50;
/// Cost of copying and decoding an octet of base64.
const BASE64_NS: u64 = 4;
/// Cost of leaving an element out.
const EXCLUDE_NS: u64 = 150;
/// Cost of looking up the namespace of a prefix.
const LOOK_UP_NS: u64 = 10_000;

/// The node set to hash, and how to turn it into octets.
pub(super) struct Transformed<'a> {
    document: &'a Document<'a>,
    nodes: NodeSet,
    omits: Omission,
    octets: Octets<'a>,
}

enum Octets<'a> {
    /// No transform has decided so far.
    Undecided,
    /// Written by the first method, then parsed and written again by each next one.
    Canonical(Vec<Method<'a>>),
    Base64,
}

/// The method of a `CanonicalizationMethod` or `Transform`, with its parameters.
pub(super) fn canonicalization<'d>(
    document: &'d Document<'_>,
    index: NodeIndex,
) -> Option<Method<'d>> {
    let method = Method::named(elements::algorithm(document, index)?)?;
    let inclusive = document
        .named(index, EXCLUSIVE, "InclusiveNamespaces")
        .next();
    let prefixes = inclusive.and_then(|it| document.attribute(it, "PrefixList"));
    Some(method.with_prefixes(prefixes.unwrap_or_default()))
}

impl<'a> Transformed<'a> {
    /// Starts with the target unchanged.
    pub(super) fn new(document: &'a Document<'a>, nodes: NodeSet) -> Self {
        Self {
            document,
            nodes,
            omits: Omission::Nothing,
            octets: Octets::Undecided,
        }
    }

    /// The kind of elements that the transforms have left out.
    pub(super) fn omits(&self) -> Omission {
        self.omits
    }

    /// Applies a `Transform` of a reference in this signature. `signatures` are all signatures of the document.
    pub(super) fn apply(
        &mut self,
        transform: NodeIndex,
        signature: NodeIndex,
        signatures: &[NodeIndex],
        budget: &Budget,
    ) -> Result<()> {
        budget.spend_each(1 + signatures.len(), TRANSFORM_NS)?;
        let document = self.document;
        let algorithm = elements::algorithm(document, transform);
        match (&mut self.octets, algorithm) {
            (Octets::Undecided, Some(ENVELOPED)) => {
                self.exclude(&[signature], Omission::Itself);
            }
            (Octets::Undecided, Some(BASE64)) => self.octets = Octets::Base64,
            (Octets::Undecided, Some(XPATH)) => {
                let xpath = document.only(transform, DSIG, "XPath");
                let xpath = xpath.ok_or(Stop::Unresolved)?;
                let text = document.string(xpath, budget)?;
                for omitted in xpath::condition(&text).ok_or(Stop::Unresolved)? {
                    self.leave_out(xpath, omitted, signatures, budget)?;
                }
            }
            (Octets::Undecided, Some(FILTER2)) => {
                let mut paths = document.named(transform, FILTER2, "XPath").peekable();
                paths.peek().ok_or(Stop::Unresolved)?;
                for xpath in paths {
                    if document.attribute(xpath, "Filter") != Some("subtract") {
                        return Err(Stop::Unresolved);
                    }
                    let text = document.string(xpath, budget)?;
                    let omitted = xpath::path(&text).ok_or(Stop::Unresolved)?;
                    self.leave_out(xpath, omitted, signatures, budget)?;
                }
            }
            (octets @ (Octets::Undecided | Octets::Canonical(_)), _) => {
                let method = canonicalization(document, transform).ok_or(Stop::Unresolved)?;
                match octets {
                    Octets::Canonical(methods) => methods.push(method),
                    _ => *octets = Octets::Canonical(vec![method]),
                }
            }
            (Octets::Base64, _) => return Err(Stop::Unresolved),
        }
        Ok(())
    }

    /// Leaves out the elements that an expression in this element selects.
    fn leave_out(
        &mut self,
        xpath: NodeIndex,
        omitted: Omitted<'_>,
        signatures: &[NodeIndex],
        budget: &Budget,
    ) -> Result<()> {
        let document = self.document;
        let (Omitted::Named(name) | Omitted::Around(name)) = omitted;
        let QName { prefix, local } = name;
        budget.spend(LOOK_UP_NS)?;
        let namespace = match prefix {
            // Names without a prefix have no namespace (XPath 1.0 section 2.3).
            "" => "",
            prefix => document.namespace(xpath, prefix).ok_or(Stop::Unresolved)?,
        };
        let has_name = |node: &NodeIndex| {
            let element = document.element(*node);
            element.is_some_and(|element| element.is(namespace, local))
        };
        let is_signature = (namespace, local) == (DSIG, "Signature");
        match omitted {
            Omitted::Named(_) if is_signature => self.exclude(signatures, Omission::Signatures),
            Omitted::Named(_) => {
                let apex = self.nodes.apex;
                let end = document.nodes().get(apex).map_or(apex, |node| node.end);
                budget.spend_each(end - apex, NODE_NS)?;
                budget.spend_each(document.ancestors(apex).count(), NODE_NS)?;
                // If the target is in such an element, nothing of it is left.
                if has_name(&apex) || document.ancestors(apex).any(|it| has_name(&it)) {
                    return Err(Stop::Broken);
                }
                let found: Vec<_> = (apex..end).filter(has_name).collect();
                budget.spend_each(found.len(), EXCLUDE_NS)?;
                self.exclude(&found, Omission::Elements);
            }
            Omitted::Around(_) => {
                budget.spend_each(document.ancestors(xpath).count(), NODE_NS)?;
                let around = document.ancestors(xpath).find(has_name);
                // If there is no such element, nothing is left.
                let around = around.ok_or(Stop::Broken)?;
                let omission = if is_signature {
                    Omission::Itself
                } else {
                    Omission::Elements
                };
                self.exclude(&[around], omission);
            }
        }
        Ok(())
    }

    /// Leaves out those of the elements that are inside of the target.
    ///
    /// An element around the target does not count. By the letter of XPath it would leave nothing, but signers that
    /// first cut the target of a countersignature out of its document (.NET does, and DSS agrees) hash all of it.
    /// Accepting that is safe, because the digest must still match what is there.
    fn exclude(&mut self, elements: &[NodeIndex], omission: Omission) {
        self.omits = self.omits.max(omission);
        let apex = self.nodes.apex;
        let inside = elements
            .iter()
            .filter(|&&it| it != apex && self.document.contains(apex, it));
        self.nodes.excluded.extend(inside);
    }

    /// Writes the octets; `otherwise` writes nodes that no transform canonicalises. If nothing is left, nothing is
    /// attested, so that is broken even if the digest would match.
    pub(super) fn write(&self, otherwise: &Method<'_>, output: &mut Output<'_>) -> Result<()> {
        if self.nodes.is_empty(self.document) {
            return Err(Stop::Broken);
        }
        match &self.octets {
            Octets::Undecided => canonicalize(self.document, &self.nodes, otherwise, output),
            Octets::Canonical(methods) => self.write_canonical(methods, output),
            Octets::Base64 => self.write_decoded(output),
        }
    }

    /// Writes the node set by several methods, each applied to the output of the one before.
    fn write_canonical(&self, methods: &[Method<'_>], output: &mut Output<'_>) -> Result<()> {
        let Some((first, others)) = methods.split_first() else {
            return Err(Stop::Unresolved);
        };
        let Some((last, between)) = others.split_last() else {
            return canonicalize(self.document, &self.nodes, first, output);
        };
        let budget = output.budget();
        let mut written = Output::collect(budget);
        canonicalize(self.document, &self.nodes, first, &mut written)?;
        for method in between {
            let octets = written.finish()?;
            written = Output::collect(budget);
            write_again(&octets, method, &mut written)?;
        }
        write_again(&written.finish()?, last, output)
    }

    /// Writes the decoded text of the node set (XMLDSig 1.1 section 6.6.2).
    fn write_decoded(&self, output: &mut Output<'_>) -> Result<()> {
        let mut encoded = String::new();
        let budget = output.budget();
        for index in self.nodes.iter(self.document) {
            budget.spend(NODE_NS)?;
            if let Kind::Text(text) = &self.document.nodes()[index].kind {
                budget.spend_each(text.len(), BASE64_NS)?;
                encoded.push_str(text);
            }
        }
        output.write(&decode_base64(&encoded).ok_or(Stop::Broken)?)
    }
}

/// Parses octets and writes them by another method (XMLDSig 1.1 section 4.4.3.2).
fn write_again(octets: &[u8], method: &Method<'_>, output: &mut Output<'_>) -> Result<()> {
    let text = std::str::from_utf8(octets).map_err(|_| Stop::Broken)?;
    let document = match parse(text, output.budget()) {
        Ok(document) => document,
        Err(error @ XmlError::TooLarge(_)) => return Err(Stop::Refused(error)),
        Err(_) => return Err(Stop::Broken),
    };
    let nodes = NodeSet::whole(0);
    canonicalize(&document, &nodes, method, output)
}
