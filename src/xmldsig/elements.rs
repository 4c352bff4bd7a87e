//! Names of namespaces and algorithms.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA224, SHA256, SHA384, SHA512};

/// Of `xml:` (Namespaces in XML 1.0 section 3).
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Of `xmlns:`.
pub(super) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// Of XMLDSig, all versions.
pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Of XMLDSig's XPath filter 2.0.
pub(super) const FILTER2: &str = "http://www.w3.org/2002/06/xmldsig-filter2";
/// Of exclusive canonicalisation, for `InclusiveNamespaces`.
pub(super) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// Of XAdES: 1.3.2 is that of EN 319 132-1, the others are its predecessors.
pub(super) const XADES: [&str; 3] = [
    "http://uri.etsi.org/01903/v1.3.2#",
    "http://uri.etsi.org/01903/v1.2.2#",
    "http://uri.etsi.org/01903/v1.1.1#",
];

/// The enveloped-signature transform (XMLDSig 1.1 section 6.6.4).
pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// The base64 transform (XMLDSig 1.1 section 6.6.2).
pub(super) const BASE64: &str = "http://www.w3.org/2000/09/xmldsig#base64";
/// The XPath filtering transform (XMLDSig 1.1 section 6.6.3).
pub(super) const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

/// The digest of this URI (XMLDSig 1.1 section 6.2, RFC 9231 section 2.1). SHA-1 is here to read old signatures.
pub(super) fn digest(uri: &str) -> Option<&'static Algorithm> {
    Some(match uri {
        "http://www.w3.org/2000/09/xmldsig#sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
        "http://www.w3.org/2001/04/xmldsig-more#sha224" => &SHA224,
        "http://www.w3.org/2001/04/xmlenc#sha256" => &SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => &SHA384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => &SHA512,
        _ => return None,
    })
}
