//! What a reference's transforms make of its target (XMLDSig 1.1 section 6.6).
//!
//! XPath is not evaluated. The few expressions that signers write, all to leave signatures out, are known by their text;
//! any other is unresolved. So are octets that would have to be parsed again.

use super::canonical::{Method, canonicalize};
use super::document::{Document, Kind, NODE_NS, NodeIndex};
use super::elements::{self, BASE64, DSIG, ENVELOPED, EXCLUSIVE, FILTER2, XPATH};
use super::node_set::NodeSet;
use super::text::decode_base64;
use super::work::{Output, Stop};
use crate::pki::work::Work;

type Result<T> = std::result::Result<T, Stop>;

/// What a transform costs for each signature that it may leave out.
const TRANSFORM_NS: u64 = 50;
/// What it costs to copy and decode an octet of base64.
const BASE64_NS: u64 = 4;
/// What it costs to look for the namespace of a prefix.
const LOOK_UP_NS: u64 = 10_000;

/// The node set to hash, and how it becomes octets.
pub(super) struct Transformed<'a> {
    document: &'a Document<'a>,
    nodes: NodeSet,
    octets: Octets<'a>,
}

enum Octets<'a> {
    /// No transform said so far.
    Undecided,
    Canonical(Method<'a>),
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
    /// The target as it is.
    pub(super) fn new(document: &'a Document<'a>, nodes: NodeSet) -> Self {
        Self {
            document,
            nodes,
            octets: Octets::Undecided,
        }
    }

    /// Applies a `Transform` of a reference in the given signature, among all signatures of the document.
    pub(super) fn apply(
        &mut self,
        transform: NodeIndex,
        signature: NodeIndex,
        signatures: &[NodeIndex],
        work: &Work,
    ) -> Result<()> {
        work.spend_each(1 + signatures.len(), TRANSFORM_NS)?;
        if !matches!(self.octets, Octets::Undecided) {
            return Err(Stop::Unresolved);
        }
        match elements::algorithm(self.document, transform) {
            Some(ENVELOPED) => self.exclude(&[signature]),
            Some(BASE64) => self.octets = Octets::Base64,
            Some(XPATH) => {
                let prefix = self.xpath(transform, DSIG, work, |text| {
                    text.strip_prefix("not(ancestor-or-self::")?
                        .strip_suffix(":Signature)")
                })?;
                prefix.ok_or(Stop::Unresolved)?;
                self.exclude(signatures);
            }
            Some(FILTER2) => {
                let prefix = self.xpath(transform, FILTER2, work, |text| {
                    text.strip_prefix("/descendant::")
                        .or_else(|| text.strip_prefix("//"))?
                        .strip_suffix(":Signature")
                })?;
                let xpath = prefix.ok_or(Stop::Unresolved)?;
                if self.document.attribute(xpath, "Filter") != Some("subtract") {
                    return Err(Stop::Unresolved);
                }
                self.exclude(signatures);
            }
            _ => {
                let method = canonicalization(self.document, transform).ok_or(Stop::Unresolved)?;
                self.octets = Octets::Canonical(method);
            }
        }
        Ok(())
    }

    /// Leaves signatures inside of the target out. One that is around the target does not count: by the letter of XPath
    /// it would leave nothing, but signers that cut a counter-signature's target out of its document first (.NET does,
    /// and DSS agrees) hash it all. Accepting that is safe, since the digest must still fit what is there.
    fn exclude(&mut self, signatures: &[NodeIndex]) {
        let apex = self.nodes.apex;
        let inside = signatures
            .iter()
            .filter(|&&it| it != apex && self.document.contains(apex, it));
        self.nodes.excluded.extend(inside);
    }

    /// The transform's one `XPath`, if the pattern finds in it a prefix, and that is the prefix of XMLDSig.
    fn xpath(
        &self,
        transform: NodeIndex,
        namespace: &str,
        work: &Work,
        pattern: fn(&str) -> Option<&str>,
    ) -> Result<Option<NodeIndex>> {
        let Some(xpath) = self.document.only(transform, namespace, "XPath") else {
            return Ok(None);
        };
        let text = self.document.string(xpath, work)?;
        let Some(prefix) = pattern(text.trim_ascii()) else {
            return Ok(None);
        };
        work.spend(LOOK_UP_NS)?;
        let is_of_signatures = self.document.namespace(xpath, prefix) == Some(DSIG);
        Ok(is_of_signatures.then_some(xpath))
    }

    /// Writes the octets; nodes by this method where no transform says otherwise. Where nothing is left, nothing is attested, so
    /// that is broken even if the digest would fit.
    pub(super) fn write(&self, otherwise: &Method<'_>, output: &mut Output<'_>) -> Result<()> {
        if self.nodes.is_empty(self.document) {
            return Err(Stop::Broken);
        }
        match &self.octets {
            Octets::Undecided => canonicalize(self.document, &self.nodes, otherwise, output),
            Octets::Canonical(method) => canonicalize(self.document, &self.nodes, method, output),
            Octets::Base64 => self.write_decoded(output),
        }
    }

    /// The text of the node set, decoded (XMLDSig 1.1 section 6.6.2).
    fn write_decoded(&self, output: &mut Output<'_>) -> Result<()> {
        let mut encoded = String::new();
        let work = output.work();
        for index in self.nodes.iter(self.document) {
            work.spend(NODE_NS)?;
            if let Kind::Text(text) = &self.document.nodes()[index].kind {
                work.spend_each(text.len(), BASE64_NS)?;
                encoded.push_str(text);
            }
        }
        output.write(&decode_base64(&encoded).ok_or(Stop::Broken)?)
    }
}
