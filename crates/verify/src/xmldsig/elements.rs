//! Names of namespaces and algorithms.

use super::document::{Document, NodeIndex};
use crate::pki::hash::Hash;

/// The namespace of `xml:` (Namespaces in XML 1.0 section 3).
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of `xmlns:`.
pub(super) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// The namespace of WS-Security identifiers (OASIS WSS SOAP Message Security 1.1.1 section 4).
pub(super) const WSU: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
/// The namespace of XMLDSig, all versions.
pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// The namespace of the elements that XMLDSig 1.1 adds.
pub(super) const DSIG11: &str = "http://www.w3.org/2009/xmldsig11#";
/// The namespace of the XPath filter 2.0 of XMLDSig.
pub(super) const FILTER2: &str = "http://www.w3.org/2002/06/xmldsig-filter2";
/// The namespace of exclusive canonicalisation, for `InclusiveNamespaces`.
pub(super) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// The namespaces of XAdES: 1.3.2 is that of EN 319 132-1, the others are its predecessors.
pub(super) const XADES: [&str; 3] = [
    "http://uri.etsi.org/01903/v1.3.2#",
    "http://uri.etsi.org/01903/v1.2.2#",
    "http://uri.etsi.org/01903/v1.1.1#",
];
/// The namespace of later additions to XAdES (ETSI EN 319 132-1 clause 4.1).
pub(super) const XADES_141: &str = "http://uri.etsi.org/01903/v1.4.1#";

/// The enveloped-signature transform (XMLDSig 1.1 section 6.6.4).
pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// The base64 transform (XMLDSig 1.1 section 6.6.2).
pub(super) const BASE64: &str = "http://www.w3.org/2000/09/xmldsig#base64";
/// The XPath filtering transform (XMLDSig 1.1 section 6.6.3).
pub(super) const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

/// The URI in an element's `Algorithm` attribute, without surrounding white space, which does not count (XML Schema 2
/// section 3.2.17).
pub(super) fn algorithm<'d>(document: &'d Document<'_>, element: NodeIndex) -> Option<&'d str> {
    let uri = document.attribute(element, "Algorithm")?;
    Some(uri.trim_matches([' ', '\t', '\r', '\n']))
}

/// The digest algorithm with this URI (XMLDSig 1.1 section 6.2, RFC 9231 section 2.1, `CryptoPro` and Kazakhstan's
/// authority for GOST R 34.11). SHA-1 is included to read old signatures.
pub(super) fn digest(uri: &str) -> Option<Hash> {
    Some(match uri {
        "http://www.w3.org/2000/09/xmldsig#sha1" => Hash::Sha1,
        "http://www.w3.org/2001/04/xmldsig-more#sha224" => Hash::Sha224,
        "http://www.w3.org/2001/04/xmlenc#sha256" => Hash::Sha256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Hash::Sha384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => Hash::Sha512,
        "http://www.w3.org/2007/05/xmldsig-more#sha3-224" => Hash::Sha3_224,
        "http://www.w3.org/2007/05/xmldsig-more#sha3-256" => Hash::Sha3_256,
        "http://www.w3.org/2007/05/xmldsig-more#sha3-384" => Hash::Sha3_384,
        "http://www.w3.org/2007/05/xmldsig-more#sha3-512" => Hash::Sha3_512,
        "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256" => Hash::Streebog256,
        "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-512"
        | "urn:ietf:params:xml:ns:pkigovkz:xmlsec:algorithms:gostr34112015-512" => {
            Hash::Streebog512
        }
        _ => return None,
    })
}
