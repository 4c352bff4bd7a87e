//! The signature value (XMLDSig 1.1 section 6.4) against the keys of certificates.

use super::ValueIntegrity;
use super::method::Method;
use crate::pki::certificate::Parsed;
use crate::pki::public_key::{self, Unsupported};
use crate::pki::work::Work;

/// Whether a signature with this certificate's key, though its value may fit, proves nothing today.
pub(super) fn is_weak(method: Option<&Method>, certificate: &Parsed<'_>) -> bool {
    method.is_none_or(|method| {
        public_key::is_weak(certificate.x509().public_key(), &method.algorithm(), None)
    })
}

/// Looks for the certificate whose key made this value, in the given order of their indices. None where the method is not known for
/// any of them.
pub(super) fn verify(
    method: &Method,
    certificates: &[&Vec<u8>],
    order: &[usize],
    message: &[u8],
    value: &[u8],
    work: &Work,
) -> Option<ValueIntegrity> {
    let algorithm = method.algorithm();
    let mut outcome = Some(ValueIntegrity::NoCertificate);
    for &index in order {
        let Some(certificate) = Parsed::from_der_within(certificates[index], work) else {
            continue;
        };
        let key = certificate.x509().public_key();
        let fits = if public_key::kind(key) == method.kind {
            public_key::verify(key, &algorithm, None, message, value, work)
        } else {
            Ok(false)
        };
        match fits {
            Ok(true) => return Some(ValueIntegrity::Intact(index)),
            Ok(false) => outcome = Some(ValueIntegrity::Broken),
            Err(Unsupported) if outcome == Some(ValueIntegrity::NoCertificate) => outcome = None,
            Err(Unsupported) => {}
        }
    }
    outcome
}
