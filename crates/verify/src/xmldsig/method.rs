//! Signature methods (XMLDSig 1.1 section 6.4, RFC 9231 section 2.3), expressed as algorithm identifiers of CMS.

use super::document::{Document, NodeIndex};
use super::elements::{self, DSIG};
use crate::pki::Algorithm;
use crate::pki::algorithm::AlgorithmIdentifier;
use crate::pki::ber::{tlv, unsigned};
use crate::pki::budget::{Budget, Exhausted};
use crate::pki::hash::Hash;
use crate::pki::public_key::KeyKind;

/// The namespace of the parameters of RSASSA-PSS (RFC 9231 section 2.3.9).
const PSS: &str = "http://www.w3.org/2007/05/xmldsig-more#";
const MGF1: &str = "http://www.w3.org/2007/05/xmldsig-more#MGF1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";

/// A signature method, expressed by OIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    /// The kind of key.
    pub(super) kind: KeyKind,
    /// The OID to report.
    oid: &'static str,
    /// The OID to verify with. XML stores `r` and `s` side by side (XMLDSig 1.1 section 6.4.3), as BSI's plain ECDSA
    /// does.
    verified_as: &'static str,
    /// `RSASSA-PSS-params` (RFC 8017 appendix A.2.3).
    parameters: Option<Vec<u8>>,
}

impl Method {
    /// The method that a `SignatureMethod` names; `None` if the method or its parameters are not supported. SHA-1 is
    /// supported to read old signatures; callers decide whether to trust them.
    pub(super) fn read(
        document: &Document<'_>,
        element: NodeIndex,
        budget: &Budget,
    ) -> Result<Option<Self>, Exhausted> {
        let uri = elements::algorithm(document, element).unwrap_or_default();
        if uri.strip_prefix(PSS) == Some("rsa-pss") {
            let read = PssReader { document, budget };
            return Ok(read.parameters(element)?.map(Self::pss));
        }
        Ok(Self::named(uri))
    }

    fn named(uri: &str) -> Option<Self> {
        let simple = |kind, oid| Self {
            kind,
            oid,
            verified_as: oid,
            parameters: None,
        };
        let ecdsa = |oid, verified_as| Self {
            verified_as,
            ..simple(KeyKind::Ec, oid)
        };
        let (namespace, name) = uri.rsplit_once(['#', ':'])?;
        Some(match (namespace, name) {
            ("http://www.w3.org/2000/09/xmldsig", "rsa-sha1") => {
                simple(KeyKind::Rsa, "1.2.840.113549.1.1.5")
            }
            ("http://www.w3.org/2001/04/xmldsig-more", name) => match name {
                "rsa-sha224" => simple(KeyKind::Rsa, "1.2.840.113549.1.1.14"),
                "rsa-sha256" => simple(KeyKind::Rsa, "1.2.840.113549.1.1.11"),
                "rsa-sha384" => simple(KeyKind::Rsa, "1.2.840.113549.1.1.12"),
                "rsa-sha512" => simple(KeyKind::Rsa, "1.2.840.113549.1.1.13"),
                "ecdsa-sha1" => ecdsa("1.2.840.10045.4.1", "0.4.0.127.0.7.1.1.4.1.1"),
                "ecdsa-sha224" => ecdsa("1.2.840.10045.4.3.1", "0.4.0.127.0.7.1.1.4.1.2"),
                "ecdsa-sha256" => ecdsa("1.2.840.10045.4.3.2", "0.4.0.127.0.7.1.1.4.1.3"),
                "ecdsa-sha384" => ecdsa("1.2.840.10045.4.3.3", "0.4.0.127.0.7.1.1.4.1.4"),
                "ecdsa-sha512" => ecdsa("1.2.840.10045.4.3.4", "0.4.0.127.0.7.1.1.4.1.5"),
                _ => return None,
            },
            // The salt is as long as the digest (RFC 9231 section 2.3.10).
            ("http://www.w3.org/2007/05/xmldsig-more", name) => {
                let hash = match name.strip_suffix("-rsa-MGF1")? {
                    "sha1" => Hash::Sha1,
                    "sha224" => Hash::Sha224,
                    "sha256" => Hash::Sha256,
                    "sha384" => Hash::Sha384,
                    "sha512" => Hash::Sha512,
                    "sha3-224" => Hash::Sha3_224,
                    "sha3-256" => Hash::Sha3_256,
                    "sha3-384" => Hash::Sha3_384,
                    "sha3-512" => Hash::Sha3_512,
                    _ => return None,
                };
                Self::pss(pss(hash, hash, hash.digest_bytes())?)
            }
            ("http://www.w3.org/2021/04/xmldsig-more", name) => match name {
                "ecdsa-sha3-224" => ecdsa("2.16.840.1.101.3.4.3.9", "0.4.0.127.0.7.1.1.4.1.8"),
                "ecdsa-sha3-256" => ecdsa("2.16.840.1.101.3.4.3.10", "0.4.0.127.0.7.1.1.4.1.9"),
                "ecdsa-sha3-384" => ecdsa("2.16.840.1.101.3.4.3.11", "0.4.0.127.0.7.1.1.4.1.10"),
                "ecdsa-sha3-512" => ecdsa("2.16.840.1.101.3.4.3.12", "0.4.0.127.0.7.1.1.4.1.11"),
                "eddsa-ed25519" => simple(KeyKind::Ed25519, "1.3.101.112"),
                "eddsa-ed448" => simple(KeyKind::Ed448, "1.3.101.113"),
                _ => return None,
            },
            ("urn:ietf:params:xml:ns:cpxmlsec:algorithms", name) => match name {
                "gostr34102012-gostr34112012-256" => simple(KeyKind::Gost, "1.2.643.7.1.1.3.2"),
                "gostr34102012-gostr34112012-512" => simple(KeyKind::Gost, "1.2.643.7.1.1.3.3"),
                _ => return None,
            },
            (
                "urn:ietf:params:xml:ns:pkigovkz:xmlsec:algorithms",
                "gostr34102015-gostr34112015-512",
            ) => simple(KeyKind::GostKazakh, "1.2.398.3.10.1.1.2.3.2"),
            _ => return None,
        })
    }

    fn pss(parameters: Vec<u8>) -> Self {
        Self {
            kind: KeyKind::Rsa,
            oid: RSA_PSS,
            verified_as: RSA_PSS,
            parameters: Some(parameters),
        }
    }

    /// The algorithm to verify signatures with.
    pub(super) fn algorithm(&self) -> AlgorithmIdentifier<'_> {
        AlgorithmIdentifier {
            oid: self.verified_as.to_owned(),
            parameters: self.parameters.as_deref(),
        }
    }

    /// The method as reports show it.
    pub(super) fn describe(&self) -> Algorithm {
        crate::pki::oid::algorithm(self.oid.to_owned())
    }
}

/// The parameters of RSASSA-PSS in DER; `None` if one of the digests has no OID.
fn pss(hash: Hash, mask: Hash, salt_bytes: usize) -> Option<Vec<u8>> {
    const MGF1: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 8];
    let algorithm = |hash: Hash| Some(tlv(0x30, &[hash.oid_der()?, &[5, 0]].concat()));
    let mask = tlv(0x30, &[&MGF1[..], &algorithm(mask)?].concat());
    let salt = u16::try_from(salt_bytes).ok()?.to_be_bytes();
    let members = [
        tlv(0xa0, &algorithm(hash)?),
        tlv(0xa1, &mask),
        tlv(0xa2, &tlv(0x02, &unsigned(&salt))),
    ];
    Some(tlv(0x30, &members.concat()))
}

/// Reads the parameters of RSASSA-PSS.
struct PssReader<'d, 'a> {
    document: &'d Document<'a>,
    budget: &'d Budget,
}

impl PssReader<'_, '_> {
    /// Reads `RSAPSSParams` (RFC 9231 section 2.3.9) and returns them in DER. `None` if they can't be read, use an
    /// unsupported digest, or do not say how the mask is made for a digest other than SHA-256.
    fn parameters(&self, method: NodeIndex) -> Result<Option<Vec<u8>>, Exhausted> {
        let document = self.document;
        let mut all = document.named(method, PSS, "RSAPSSParams");
        let Some(parameters) = all.next() else {
            return Ok(pss(Hash::Sha256, Hash::Sha256, 32));
        };
        let Some(hash) = self.digest(parameters) else {
            return Ok(None);
        };
        let mask = match document.only(parameters, PSS, "MaskGenerationFunction") {
            Some(mask) if elements::algorithm(document, mask) == Some(MGF1) => self.digest(mask),
            None if hash == Hash::Sha256 => Some(hash),
            _ => None,
        };
        let salt_bytes = self.number(parameters, "SaltLength", hash.digest_bytes())?;
        let trailer = self.number(parameters, "TrailerField", 1)?;
        let is_plain = trailer == Some(1) && all.next().is_none();
        let read = mask.zip(salt_bytes).filter(|_| is_plain);
        Ok(read.and_then(|(mask, salt_bytes)| pss(hash, mask, salt_bytes)))
    }

    /// The digest that a `DigestMethod` child names; SHA-256 if there is no such child.
    fn digest(&self, parent: NodeIndex) -> Option<Hash> {
        let mut methods = self.document.named(parent, DSIG, "DigestMethod");
        let Some(method) = methods.next() else {
            return Some(Hash::Sha256);
        };
        let uri = elements::algorithm(self.document, method)?;
        elements::digest(uri).filter(|_| methods.next().is_none())
    }

    /// The number in a child element; `default` if there is no such child. `None` if it is not a number or there are
    /// several.
    fn number(
        &self,
        parent: NodeIndex,
        local: &str,
        default: usize,
    ) -> Result<Option<usize>, Exhausted> {
        let mut elements = self.document.named(parent, PSS, local);
        let Some(element) = elements.next() else {
            return Ok(Some(default));
        };
        let text = self.document.string(element, self.budget)?;
        let number = text.trim_ascii().parse().ok();
        Ok(number.filter(|_| elements.next().is_none()))
    }
}
