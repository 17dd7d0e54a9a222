//! TLS for mail and for Telegram: whom this host trusts, and what was wrong with a certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use crate::report::{Class, Failure};

/// The one implementation of TLS's ciphers that is linked; named, so that nothing depends on a process-wide default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates of a file, or the system's.
pub(super) fn roots(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = |what: String| Failure::config(Class::CaFile, what);
    let Some(path) = ca_file else {
        let certificates = rustls_native_certs::load_native_certs().certs;
        if certificates.is_empty() {
            return Err(wrong(
                "this host has no certificates to trust; install ca-certificates, or name a ca_file".to_owned(),
            ));
        }
        return Ok(certificates);
    };
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            wrong(format!(
                "{shown}: {error}; write a file of certificates in PEM"
            ))
        })?;
    if certificates.is_empty() {
        return Err(wrong(format!(
            "{shown} holds no certificate; write a file of certificates in PEM"
        )));
    }
    Ok(certificates)
}

/// What a connection to a mail server is protected by.
pub(super) fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(roots(ca_file)?);
    if usable == 0 {
        return Err(Failure::config(
            Class::CaFile,
            "none of the certificates to trust can be read; write a file of certificates in PEM",
        ));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::config(Class::Tls, error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What rustls has against the other side, if it was rustls that gave up.
pub(super) fn failure_of(error: &io::Error, host: &str) -> Option<Failure> {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .map(|error| failure(error, host))
}

/// What rustls has against the other side.
pub(super) fn failure(error: &rustls::Error, host: &str) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Failure::retry(
                Class::CertificateExpired,
                format!("the certificate of {host} is not valid at this time"),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::config(
                    Class::CertificateName,
                    format!(
                        "the certificate is not one of {host}; write the name that it carries as host"
                    ),
                )
            }
            _ => Failure::config(
                Class::CertificateUntrusted,
                format!(
                    "the certificate of {host} was made by nobody whom this host trusts; ca_file can name them"
                ),
            ),
        },
        _ => Failure::retry(Class::Tls, format!("no TLS with {host}: {error}")),
    }
}
