//! The certificates of a `KeyInfo` (XMLDSig 1.1 section 4.5): those in it, and those that it refers to in the same
//! document.

use super::XmlError;
use super::document::{Document, NODE_NS, NodeIndex, Target};
use super::elements::{self, BASE64, DSIG, DSIG11};
use super::reference::xpointer_id;
use super::text::decode_base64;
use crate::pki::budget::Budget;

type Result<T> = std::result::Result<T, XmlError>;

/// Greatest number of certificates in a signature; more are refused.
const MAX_CERTIFICATES: usize = 100;
/// Greatest number of references in a `KeyInfo`; more are refused.
const MAX_REFERENCES: usize = 100;

/// Types of data that a `RetrievalMethod` retrieves (XMLDSig 1.1 sections 4.5.3 and 4.5.4).
const X509_DATA: &str = "http://www.w3.org/2000/09/xmldsig#X509Data";
const RAW_CERTIFICATE: &str = "http://www.w3.org/2000/09/xmldsig#rawX509Certificate";

/// The certificates of a signature, in DER, without those that are not valid base64.
pub(super) fn certificates(
    document: &Document<'_>,
    signature: NodeIndex,
    budget: &Budget,
) -> Result<Vec<Vec<u8>>> {
    let mut reader = Reader {
        document,
        budget,
        references: 0,
        certificates: Vec::new(),
    };
    for info in document.named(signature, DSIG, "KeyInfo") {
        reader.key_info(info, true)?;
    }
    Ok(reader.certificates)
}

struct Reader<'d, 'a> {
    document: &'d Document<'a>,
    budget: &'d Budget,
    /// Number of references followed so far.
    references: usize,
    certificates: Vec<Vec<u8>>,
}

impl Reader<'_, '_> {
    /// Reads a `KeyInfo`. If another one refers to it, it may not refer to a third one.
    fn key_info(&mut self, info: NodeIndex, is_own: bool) -> Result<()> {
        for child in self.document.children(info) {
            self.budget.spend(NODE_NS)?;
            let Some(element) = self.document.element(child) else {
                continue;
            };
            if element.is(DSIG, "X509Data") {
                self.x509_data(child)?;
            } else if element.is(DSIG, "RetrievalMethod") {
                self.retrieve(child)?;
            } else if is_own
                && element.is(DSIG11, "KeyInfoReference")
                && let Some(target) = self.target(child, "KeyInfo")?
            {
                self.key_info(target, false)?;
            }
        }
        Ok(())
    }

    fn x509_data(&mut self, data: NodeIndex) -> Result<()> {
        for child in self.document.children(data) {
            self.budget.spend(NODE_NS)?;
            let element = self.document.element(child);
            if element.is_some_and(|element| element.is(DSIG, "X509Certificate")) {
                self.certificate(child)?;
            }
        }
        Ok(())
    }

    fn certificate(&mut self, element: NodeIndex) -> Result<()> {
        if self.certificates.len() == MAX_CERTIFICATES {
            return Err(XmlError::TooLarge("certificates"));
        }
        let text = self.document.string(element, self.budget)?;
        self.certificates.extend(decode_base64(&text));
        Ok(())
    }

    /// Follows a `RetrievalMethod` to an `X509Data`, or to the text of a certificate.
    fn retrieve(&mut self, method: NodeIndex) -> Result<()> {
        let document = self.document;
        let kind = document.attribute(method, "Type").unwrap_or(X509_DATA);
        let mut transforms = document.named(method, DSIG, "Transforms");
        match (kind, transforms.next()) {
            (X509_DATA, None) => {
                if let Some(data) = self.target(method, "X509Data")? {
                    self.x509_data(data)?;
                }
            }
            // Only the base64 transform turns text into octets.
            (RAW_CERTIFICATE, Some(transforms)) => {
                let transform = document.only(transforms, DSIG, "Transform");
                let algorithm = transform.and_then(|it| elements::algorithm(document, it));
                if algorithm == Some(BASE64)
                    && let Some(text) = self.target(method, "")?
                {
                    self.certificate(text)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The element that a reference leads to, if it has this XMLDSig name. If `local` is empty, any name will do.
    fn target(&mut self, reference: NodeIndex, local: &str) -> Result<Option<NodeIndex>> {
        self.references += 1;
        if self.references > MAX_REFERENCES {
            return Err(XmlError::TooLarge("references"));
        }
        let document = self.document;
        let uri = document.attribute(reference, "URI");
        let fragment = uri.and_then(|uri| uri.strip_prefix('#'));
        let id = fragment.map(|fragment| xpointer_id(fragment).unwrap_or(fragment));
        let Some(Target::One(target)) = id.and_then(|id| document.target(id)) else {
            return Ok(None);
        };
        let is_named = document
            .element(target)
            .is_some_and(|element| local.is_empty() || element.is(DSIG, local));
        Ok(is_named.then_some(target))
    }
}
