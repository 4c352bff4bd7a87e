//! Names of the parts of a signature that are not signed content: the elements and attributes that XMLDSig and XAdES
//! define, and the lists that contain detached signatures. Nothing else counts as a part of a signature (`coverage`).

use super::document::Element;
use super::elements::{DSIG, DSIG11, EXCLUSIVE, FILTER2, WSU, XADES, XADES_141, XML};

/// The namespaces of XMLDSig, of what its transforms and keys use (RFC 4050, RFC 9231, `CryptoPro`, and WS-Security,
/// which names keys), of XAdES, and of the evidence records among its unsigned properties (EN 319 132-3, RFC 6283).
const NAMESPACES: [&str; 14] = [
    DSIG,
    DSIG11,
    EXCLUSIVE,
    FILTER2,
    "http://www.w3.org/2001/04/xmldsig-more#",
    "http://www.w3.org/2007/05/xmldsig-more#",
    "urn:ietf:params:xml:ns:cpxmlsec",
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    XADES[0],
    XADES[1],
    XADES[2],
    XADES_141,
    "http://uri.etsi.org/19132/v1.1.1#",
    "urn:ietf:params:xml:ns:ers",
];

/// Elements that occur in keys and unsigned properties, in alphabetical order.
const ELEMENTS: &[&str] = &[
    "A",
    "ASN1EvidenceRecord",
    "AnyValidationData",
    "ArchiveTimeStamp",
    "ArchiveTimeStampChain",
    "ArchiveTimeStampSequence",
    "AttrAuthoritiesCertValues",
    "Attribute",
    "AttributeCertificateRefs",
    "AttributeCertificateRefsV2",
    "AttributeRevocationRefs",
    "AttributeRevocationValues",
    "Attributes",
    "B",
    "Base",
    "BasePoint",
    "BasePointParams",
    "ByKey",
    "ByName",
    "CRLIdentifier",
    "CRLRef",
    "CRLRefs",
    "CRLValues",
    "CanonicalizationMethod",
    "Cert",
    "CertDigest",
    "CertRefs",
    "CertificateValues",
    "CoFactor",
    "Cofactor",
    "CompleteCertificateRefs",
    "CompleteCertificateRefsV2",
    "CompleteRevocationRefs",
    "CounterSignature",
    "CryptographicInformation",
    "CryptographicInformationList",
    "Curve",
    "CurveParams",
    "DEREncodedKeyValue",
    "DSAKeyValue",
    "Description",
    "DigestAlgAndValue",
    "DigestMethod",
    "DigestValue",
    "DocumentationReference",
    "DocumentationReferences",
    "DomainParameters",
    "ECDSAKeyValue",
    "ECKeyValue",
    "ECParameters",
    "EncapsulatedCRLValue",
    "EncapsulatedOCSPValue",
    "EncapsulatedPKIData",
    "EncapsulatedTimeStamp",
    "EncapsulatedX509Certificate",
    "EncryptionInformation",
    "EncryptionInformationType",
    "EncryptionInformationValue",
    "EvidenceRecord",
    "ExplicitParams",
    "Exponent",
    "FieldID",
    "FieldParams",
    "G",
    "GOSTKeyValue",
    "GnB",
    "HashDataInfo",
    "HashTree",
    "Identifier",
    "Include",
    "InclusiveNamespaces",
    "IssueTime",
    "Issuer",
    "IssuerSerial",
    "IssuerSerialV2",
    "J",
    "K",
    "K1",
    "K2",
    "K3",
    "KeyIdentifier",
    "KeyInfoReference",
    "KeyName",
    "KeyValue",
    "M",
    "MgmtData",
    "Modulus",
    "NamedCurve",
    "NewSDODigestValue",
    "Number",
    "OCSPIdentifier",
    "OCSPRef",
    "OCSPRefs",
    "OCSPResponse",
    "OCSPValues",
    "Order",
    "OriginalRefDigest",
    "OtherCertificate",
    "OtherRef",
    "OtherRefs",
    "OtherTimeStamp",
    "OtherValue",
    "OtherValues",
    "P",
    "PGPData",
    "PGPKeyID",
    "PGPKeyPacket",
    "PgenCounter",
    "PnB",
    "Prime",
    "ProducedAt",
    "PublicKey",
    "PublicKeyParameters",
    "Q",
    "QualifyingPropertiesReference",
    "RSAKeyValue",
    "RecomputedDigestValue",
    "Reference",
    "ReferenceInfo",
    "RefsOnlyTimeStamp",
    "RefsOnlyTimeStampV2",
    "RenewedDigests",
    "RenewedDigestsV2",
    "ResponderID",
    "RetrievalMethod",
    "RevocationValues",
    "SPDocSpecification",
    "SPKIData",
    "SPKISexp",
    "SealingEvidenceRecords",
    "SecurityTokenReference",
    "Seed",
    "Sequence",
    "SigAndRefsTimeStamp",
    "SigAndRefsTimeStampV2",
    "SigPolDocLocalURI",
    "SignaturePolicyDocument",
    "SignaturePolicyStore",
    "SignatureTimeStamp",
    "SupportingInformation",
    "SupportingInformationList",
    "TimeStamp",
    "TimeStampToken",
    "TimeStampValidationData",
    "TnB",
    "Transform",
    "Transforms",
    "UnsignedDataObjectProperties",
    "UnsignedDataObjectProperty",
    "UnsignedProperties",
    "UnsignedSignatureProperties",
    "ValidationData",
    "X",
    "X509CRL",
    "X509Certificate",
    "X509Data",
    "X509Digest",
    "X509IssuerName",
    "X509IssuerSerial",
    "X509SKI",
    "X509SerialNumber",
    "X509SubjectName",
    "XAdESTimeStamp",
    "XMLTimeStamp",
    "XPath",
    "Y",
    "digestParamSet",
    "encryptionParamSet",
    "publicKeyParamSet",
    "seed",
];

/// Attributes of these elements that have no namespace, in alphabetical order.
const ATTRIBUTES: &[&str] = &[
    "Algorithm",
    "Encoding",
    "EncodingType",
    "Filter",
    "ID",
    "Id",
    "MimeType",
    "ObjectReference",
    "Order",
    "PrefixList",
    "Qualifier",
    "Target",
    "Type",
    "URI",
    "URN",
    "Value",
    "ValueType",
    "Version",
    "hashAlgorithm",
    "id",
    "referencedData",
    "uri",
];

/// Attributes that any element may have, with their namespaces (XML 1.0, Namespaces in XML, xml:id, XML Base, XML
/// Schema 1 section 2.6), and the version of the `OpenDocument` list.
const OTHER_ATTRIBUTES: [(&str, &str); 10] = [
    (XML, "base"),
    (XML, "id"),
    (XML, "lang"),
    (XML, "space"),
    (XSI, "nil"),
    (XSI, "noNamespaceSchemaLocation"),
    (XSI, "schemaLocation"),
    (XSI, "type"),
    (WSU, "Id"),
    (OPEN_DOCUMENT, "version"),
];

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const OPEN_DOCUMENT: &str = "urn:oasis:names:tc:opendocument:xmlns:digitalsignature:1.0";

/// Lists of detached signatures: of `ASiC` (EN 319 162-1 clause 4.4.3.2, TS 102 918), of `OpenDocument` (part 3 of
/// version 1.2, section 5.2) and its predecessor, and of EPUB (Open Container Format 3.2 section 3.5.2.6).
const LISTS: [(&str, &str); 7] = [
    ("http://uri.etsi.org/02918/v1.2.1#", "XAdESSignatures"),
    ("http://uri.etsi.org/02918/v1.1.1#", "XAdESSignatures"),
    ("http://uri.etsi.org/2918/v1.2.1#", "XAdESSignatures"),
    ("http://uri.etsi.org/2918/v1.1.1#", "XAdESSignatures"),
    (OPEN_DOCUMENT, "document-signatures"),
    (
        "http://openoffice.org/2004/documentsignatures",
        "document-signatures",
    ),
    (
        "urn:oasis:names:tc:opendocument:xmlns:container",
        "signatures",
    ),
];

/// Whether an element is in one of the namespaces of signatures.
pub(super) fn is_of_signatures(element: &Element<'_>) -> bool {
    NAMESPACES.contains(&&*element.namespace)
}

/// Whether an element may occur in keys and unsigned properties.
pub(super) fn is_unsigned_part(element: &Element<'_>) -> bool {
    is_of_signatures(element) && ELEMENTS.binary_search(&element.local).is_ok()
}

/// Whether an element is a list of signatures.
pub(super) fn is_list(element: &Element<'_>) -> bool {
    LISTS
        .iter()
        .any(|(namespace, local)| element.is(namespace, local))
}

/// Whether all attributes of an element are known.
pub(super) fn has_known_attributes(element: &Element<'_>) -> bool {
    let mut attributes = element.attributes.iter();
    attributes.all(|attribute| match &*attribute.namespace {
        "" => ATTRIBUTES.binary_search(&attribute.local).is_ok(),
        namespace => OTHER_ATTRIBUTES.contains(&(namespace, attribute.local)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        assert!(ELEMENTS.is_sorted() && ATTRIBUTES.is_sorted());
    }
}
