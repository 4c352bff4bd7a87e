//! TLS of the connections: which authorities are trusted, and the handshake.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};
use rustls_platform_verifier::Verifier;

use crate::connection::Wire;
use crate::failure::{Failure, Step, TlsFault};
use crate::target::Host;

/// Certificate authorities that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the operating system.
    #[default]
    System,
    /// Only those in this PEM file: for tests, and for networks with an authority of their own.
    Pem(Vec<u8>),
}

/// Reasons for which [`Roots`] can't be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RootsError {
    /// The file has no certificate, or a broken one.
    #[error("The PEM file with certificate authorities contains no certificate, or a broken one")]
    Pem,
    /// Those of the operating system can't be loaded.
    #[error("The certificate authorities of the operating system can't be loaded")]
    System(#[source] Error),
    /// The cryptographic library does not work.
    #[error("TLS can't be set up")]
    Setup(#[source] Error),
}

/// The settings of all connections.
pub(crate) fn config(roots: &Roots) -> Result<Arc<ClientConfig>, RootsError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(RootsError::Setup)?;
    let mut config = match roots {
        Roots::System => {
            let verifier = Verifier::new(provider).map_err(RootsError::System)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        }
        Roots::Pem(pem) => builder
            .with_root_certificates(store(pem)?)
            .with_no_client_auth(),
    };
    // A resumed session is not verified again, and would tell a peer that it is called by the same server as before.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn store(pem: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| RootsError::Pem)?;
        store.add(certificate).map_err(|_| RootsError::Pem)?;
    }
    if store.is_empty() {
        return Err(RootsError::Pem);
    }
    Ok(store)
}

/// Makes the handshake, within the time that the wire has.
pub(crate) fn handshake(
    config: &Arc<ClientConfig>,
    host: &Host,
    mut wire: Wire,
) -> Result<StreamOwned<ClientConnection, Wire>, Failure> {
    let protocol = Failure::Tls(TlsFault::Protocol);
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| protocol)?,
        Host::Address(IpAddr::V4(address)) => ServerName::from(*address),
        Host::Address(IpAddr::V6(address)) => ServerName::from(*address),
    };
    let mut session = ClientConnection::new(Arc::clone(config), name).map_err(|_| protocol)?;
    while session.is_handshaking() {
        session
            .complete_io(&mut wire)
            .map_err(|error| fault(&error))?;
    }
    Ok(StreamOwned::new(session, wire))
}

/// Reduces an error to words of our own, since those of the library name what the peer sent.
fn fault(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::TimedOut {
        return Failure::Timeout(Step::Tls);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let fault = match inner {
        Some(Error::InvalidCertificate(error)) => match error {
            CertificateError::UnknownIssuer => TlsFault::Issuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::Name
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Validity,
            _ => TlsFault::Certificate,
        },
        Some(_) => TlsFault::Protocol,
        // The peer hung up, which is how many servers refuse a name.
        None => TlsFault::Protocol,
    };
    Failure::Tls(fault)
}
