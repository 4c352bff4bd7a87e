//! The time stamps of a signature and the data that each must cover. They stamp its value (ETSI EN 319 132-1 clause
//! 5.3), or archive all of it (clause 5.5.2, and TS 101 903 clause 8.2.1 before that).

use std::collections::HashSet;
use std::ops::Range;

use super::canonical::{Method, canonicalize};
use super::document::{Document, NODE_NS, NodeIndex};
use super::elements::{DSIG, XADES_141};
use super::node_set::NodeSet;
use super::output::{Output, Stop};
use super::reference::{self, Context};
use super::text::decode_base64;
use super::transform::canonicalization;
use super::xades;
use super::{Omission, Stamped, TimeStamp, TimeStampToken, XmlError};
use crate::cms::timestamp::{Imprint, MAX_TIMESTAMPS};
use crate::digest::sha256;
use crate::pki::budget::Sha256;
use crate::pki::hash::Hash;

type Result<T> = std::result::Result<T, XmlError>;

/// The time stamps of a signature, in the order of the file.
pub(super) fn read(context: &Context<'_>) -> Result<Vec<TimeStamp>> {
    let document = context.document;
    let properties: Vec<_> = xades::unsigned_properties(document, context.signature).collect();
    let mut stamps = Vec::new();
    for (place, &property) in properties.iter().enumerate() {
        let Some(stamped) = stamped(document, property) else {
            continue;
        };
        if stamps.len() == MAX_TIMESTAMPS {
            break;
        }
        let before = properties.get(..place).unwrap_or_default();
        let stamp = Stamp {
            context,
            property,
            stamped,
            before,
        };
        let tokens = stamp.tokens()?;
        let certificates = if tokens.iter().any(|token| token.fits) {
            stamp.certificates()?
        } else {
            Vec::new()
        };
        stamps.push(TimeStamp {
            stamped,
            tokens,
            along: stamp.signatures(),
            certificates,
        });
    }
    Ok(stamps)
}

/// The data that a property stamps; `None` if it is no supported time stamp.
fn stamped(document: &Document<'_>, property: NodeIndex) -> Option<Stamped> {
    if xades::is(document, property, "SignatureTimeStamp") {
        Some(Stamped::Value)
    } else if is_of_141(document, property) || xades::is(document, property, "ArchiveTimeStamp") {
        Some(Stamped::Everything)
    } else {
        None
    }
}

fn is_of_141(document: &Document<'_>, property: NodeIndex) -> bool {
    let element = document.element(property);
    element.is_some_and(|element| element.is(XADES_141, "ArchiveTimeStamp"))
}

/// One time stamp.
struct Stamp<'c> {
    context: &'c Context<'c>,
    property: NodeIndex,
    stamped: Stamped,
    /// Unsigned properties before it.
    before: &'c [NodeIndex],
}

impl Stamp<'_> {
    /// The nodes of the properties that it stamps.
    fn properties(&self) -> Range<NodeIndex> {
        let first = self.before.first().copied();
        let first = first.filter(|_| self.stamped == Stamped::Everything);
        first.map_or(0..0, |first| first..self.property)
    }

    /// Digests of the certificates that it stamps: those in `KeyInfo` and those in properties.
    fn certificates(&self) -> Result<Vec<Sha256>> {
        let Context {
            document,
            signature,
            budget,
            ..
        } = *self.context;
        if self.stamped != Stamped::Everything {
            return Ok(Vec::new());
        }
        let infos = document.named(signature, DSIG, "KeyInfo");
        let data = infos.flat_map(|info| document.named(info, DSIG, "X509Data"));
        let own = data.flat_map(|data| document.named(data, DSIG, "X509Certificate"));
        let embedded = self
            .properties()
            .filter(|&node| xades::is(document, node, "EncapsulatedX509Certificate"));
        budget.spend_each(self.properties().len(), NODE_NS)?;
        let mut digests = Vec::new();
        for element in own.chain(embedded) {
            if let Some(der) = decode_base64(&document.string(element, budget)?) {
                budget.spend_hash(Hash::Sha256, der.len())?;
                digests.push(sha256(&der));
            }
        }
        Ok(digests)
    }

    /// Indices of the signatures in the properties that it stamps.
    fn signatures(&self) -> Vec<usize> {
        let stamped = self.properties();
        let signatures = self.context.signatures.iter().enumerate();
        let inside = signatures.filter(|(_, signature)| stamped.contains(*signature));
        inside.map(|(place, _)| place).collect()
    }

    fn tokens(&self) -> Result<Vec<TimeStampToken>> {
        let Context {
            document, budget, ..
        } = *self.context;
        let named = document.only(self.property, DSIG, "CanonicalizationMethod");
        let named = named.filter(|&method| document.attribute(method, "Algorithm") != Some(""));
        let method = match named {
            Some(method) => canonicalization(document, method),
            None => Some(Method::implicit()),
        };
        let mut digests: Vec<(Hash, Option<Vec<u8>>)> = Vec::new();
        let mut tokens = Vec::new();
        for token in xades::tokens(document, self.property, budget)? {
            let Some(imprint) = Imprint::read(&token, budget) else {
                continue;
            };
            let mut fits = false;
            if let (Some(hash), Some(method)) = (imprint.hash(), &method) {
                let known = digests.iter().position(|(other, _)| *other == hash);
                let place = match known {
                    Some(place) => place,
                    None => {
                        digests.push((hash, self.digest(hash, method)?));
                        digests.len() - 1
                    }
                };
                let digest = digests.get(place).and_then(|(_, digest)| digest.as_ref());
                fits = digest.is_some_and(|digest| imprint.is(digest));
            }
            tokens.push(TimeStampToken {
                time_ms: imprint.time_ms,
                der: token,
                fits,
            });
        }
        Ok(tokens)
    }

    /// The digest of the data that it must stamp; `None` if that can't be computed here.
    fn digest(&self, hash: Hash, method: &Method<'_>) -> Result<Option<Vec<u8>>> {
        let mut output = Output::hash(self.context.budget, hash);
        let written = match self.stamped {
            Stamped::Value => self.write_named("SignatureValue", method, &mut output),
            Stamped::Everything => self.write_everything(method, &mut output),
        };
        match written.and_then(|()| output.finish()) {
            Ok(digest) => Ok(Some(digest)),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Unresolved | Stop::Broken) => Ok(None),
        }
    }

    /// Writes all signed data, the signature, the properties before this one, and the other objects of the signature.
    fn write_everything(
        &self,
        method: &Method<'_>,
        output: &mut Output<'_>,
    ) -> std::result::Result<(), Stop> {
        let Context {
            document,
            signature,
            ..
        } = *self.context;
        let info = document
            .only(signature, DSIG, "SignedInfo")
            .ok_or(Stop::Broken)?;
        let mut uris = HashSet::new();
        for reference in document.named(info, DSIG, "Reference") {
            uris.extend(document.attribute(reference, "URI"));
            let mut omits = Omission::default();
            reference::write(self.context, reference, method, output, &mut omits)?;
        }
        self.write(info, method, output)?;
        self.write_named("SignatureValue", method, output)?;
        for key in document.named(signature, DSIG, "KeyInfo") {
            self.write(key, method, output)?;
        }
        for &property in self.before {
            self.write(property, method, output)?;
        }
        for object in document.named(signature, DSIG, "Object") {
            let mut inside = document.children(object);
            let is_signed = || {
                let id = document.attribute(object, "Id");
                id.is_some_and(|id| uris.iter().any(|uri| uri.strip_prefix('#') == Some(id)))
            };
            let is_left_out = inside.any(|child| xades::is_qualifying(document, child))
                // Before version 1.4.1, objects that are signed were not stamped again.
                || !is_of_141(document, self.property) && is_signed();
            if !is_left_out {
                self.write(object, method, output)?;
            }
        }
        Ok(())
    }

    fn write_named(
        &self,
        local: &str,
        method: &Method<'_>,
        output: &mut Output<'_>,
    ) -> std::result::Result<(), Stop> {
        let Context {
            document,
            signature,
            ..
        } = *self.context;
        let node = document.only(signature, DSIG, local).ok_or(Stop::Broken)?;
        self.write(node, method, output)
    }

    fn write(
        &self,
        node: NodeIndex,
        method: &Method<'_>,
        output: &mut Output<'_>,
    ) -> std::result::Result<(), Stop> {
        let nodes = NodeSet::whole(node);
        canonicalize(self.context.document, &nodes, method, output)
    }
}
