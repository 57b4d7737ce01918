//! The secure channel: explicit FTPS (RFC 4217) over rustls.

use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use ferryway_core::{async_trait, transport::ConfigFault};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use serde::Deserialize;
use suppaftp::{FtpError, FtpResult, tokio::AsyncTlsConnector};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        version::{TLS12, TLS13},
    },
};

use crate::early::{Held, Secured};

/// What the operator says about the secure channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TlsSettings {
    /// The PEM file with the certificates to trust; `None` trusts any partner.
    pub(crate) ca_file: Option<PathBuf>,
    /// The name in the partner's certificate, when it is not the host's.
    pub(crate) server_name: Option<String>,
    /// The newest version to offer.
    pub(crate) max: Version,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub(crate) enum Version {
    /// For servers that lose track of resumed sessions under 1.3, such as proftpd, which then
    /// refuses some data connections.
    #[serde(rename = "1.2")]
    V12,
    #[default]
    #[serde(rename = "1.3")]
    V13,
}

impl TlsSettings {
    /// What is wrong with the files that the settings name, if anything.
    pub(crate) fn fault(&self) -> Option<ConfigFault> {
        let path = self.ca_file.as_ref()?;
        let error = std::fs::read(path).and_then(|pem| self.config(&pem)).err()?;
        let message = format!("{}: {error}", path.display());
        Some(ConfigFault { key: "tls_ca_file".to_owned(), message })
    }

    fn config(&self, pem: &[u8]) -> io::Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match self.max {
            Version::V12 => &[&TLS12],
            Version::V13 => &[&TLS13, &TLS12],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(io::Error::other)?;
        let builder = if self.ca_file.is_some() {
            builder.with_root_certificates(roots(pem)?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        };
        Ok(builder.with_no_client_auth())
    }
}

fn roots(pem: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("holds no certificate"));
    }
    Ok(roots)
}

/// The rustls configurations in use, each with the PEM text that it was made from: a renewed
/// file takes effect with the next session, an unchanged one is parsed once.
#[derive(Debug, Default)]
pub(crate) struct Configs(Mutex<HashMap<TlsSettings, (Vec<u8>, ClientConfig)>>);

impl Configs {
    /// A connector for one session with `host`.
    ///
    /// Data connections must resume the TLS session of their own control connection, or a
    /// server that asks for it (vsftpd `require_ssl_reuse`, proftpd) refuses them; so every
    /// session keeps its tickets to itself.
    pub(crate) async fn connector(
        &self,
        settings: &TlsSettings,
        host: &str,
    ) -> io::Result<Connector> {
        let pem = match &settings.ca_file {
            Some(path) => tokio::fs::read(path).await?,
            None => Vec::new(),
        };
        let mut config = self.config(settings, pem)?;
        config.resumption = Resumption::in_memory_sessions(8);
        let name = settings.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let (failure, held) = (Arc::default(), Held::default());
        Ok(Connector { tls: Arc::new(config).into(), name, failure, held })
    }

    fn config(&self, settings: &TlsSettings, pem: Vec<u8>) -> io::Result<ClientConfig> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, config)) = configs.get(settings)
            && *of == pem
        {
            return Ok(config.clone());
        }
        let config = settings.config(&pem)?;
        configs.insert(settings.clone(), (pem, config.clone()));
        Ok(config)
    }
}

/// Secures the connections of one session.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    /// suppaftp turns an error into text; this keeps the error, whose type decides its class.
    failure: Arc<Mutex<Option<io::Error>>>,
    held: Held,
}

impl Connector {
    /// What goes out ahead on the control connection that suppaftp secures.
    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Does the handshake.
    pub(crate) async fn secure(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.tls.connect(self.name.clone(), stream).await
    }

    /// Why the last handshake that suppaftp asked for failed.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl AsyncTlsConnector for Connector {
    type Stream = Secured;

    async fn connect(&self, _: &str, stream: TcpStream) -> FtpResult<Secured> {
        let secured = self.secure(stream).await;
        secured.map(|stream| Secured::new(stream, self.held())).map_err(|error| {
            let text = error.to_string();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            FtpError::SecureError(text)
        })
    }
}

/// Whether the handshake failed because the partner's certificate is not acceptable: no later
/// try changes that.
pub(crate) fn refused_certificate(error: &io::Error) -> bool {
    matches!(
        error.get_ref().and_then(|inner| inner.downcast_ref()),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    )
}

/// Accepts any certificate, for `tls_verify = false`; the handshake's signature is checked all
/// the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
