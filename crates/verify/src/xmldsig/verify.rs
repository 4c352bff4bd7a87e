//! Verifies the signature value (XMLDSig 1.1 section 6.4) with the keys of certificates.

use super::ValueIntegrity;
use super::method::Method;
use crate::pki::budget::Budget;
use crate::pki::certificate::Parsed;
use crate::pki::public_key::{self, Unsupported};

/// Whether the method with this certificate's key is too weak to prove anything today, even if the value matches. An
/// unknown method counts as weak.
pub(super) fn is_weak(method: Option<&Method>, certificate: &Parsed<'_>) -> bool {
    method.is_none_or(|method| {
        public_key::is_weak(certificate.x509().public_key(), &method.algorithm(), None)
    })
}

/// The order in which certificates are tried.
#[derive(Clone, Copy)]
pub(super) struct Order<'o> {
    /// Indices of the certificates.
    pub(super) places: &'o [usize],
    /// Whether the signature contains or names the certificate at an index. Only such a certificate proves, by not
    /// verifying the value, that the value is broken.
    pub(super) is_own: &'o dyn Fn(usize) -> bool,
}

/// Finds the certificate whose key verifies this value. `None` if the method is not supported for any certificate that
/// the signature contains or names.
pub(super) fn verify(
    method: &Method,
    certificates: &[&Vec<u8>],
    order: Order<'_>,
    message: &[u8],
    value: &[u8],
    budget: &Budget,
) -> Option<ValueIntegrity> {
    let algorithm = method.algorithm();
    let mut outcome = Some(ValueIntegrity::NoCertificate);
    for &index in order.places {
        let Some(certificate) = Parsed::from_der_within(certificates[index], budget) else {
            continue;
        };
        let key = certificate.x509().public_key();
        let fits = if public_key::kind(key) == method.kind {
            public_key::verify(key, &algorithm, None, message, value, budget)
        } else {
            Ok(false)
        };
        match fits {
            Ok(true) => return Some(ValueIntegrity::Intact(index)),
            _ if !(order.is_own)(index) => {}
            Ok(false) => outcome = Some(ValueIntegrity::Broken),
            Err(Unsupported) if outcome == Some(ValueIntegrity::NoCertificate) => outcome = None,
            Err(Unsupported) => {}
        }
    }
    outcome
}
