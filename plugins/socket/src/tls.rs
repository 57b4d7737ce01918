//! The secure channel: TLS 1.3 with certificates on both sides, over rustls.

use std::{fmt, io, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, client,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        client::{WebPkiServerVerifier, verify_server_name},
        crypto::{CryptoProvider, ring},
        server::{ParsedCertificate, WebPkiClientVerifier},
        version::TLS13,
    },
    server,
};

use crate::failure::Failure;

/// The protocol inside the channel, as both ends name it (RFC 7301).
const PROTOCOL: &[u8] = b"ferryway/1";

/// What a host says when it has accepted the visitor's certificate.
const ACCEPTED: u8 = 0;

/// What an identity is made from, as PEM.
pub(crate) struct Texts {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) ca: String,
}

/// Who we are, and whom we trust. `Debug` prints nothing of it.
#[derive(Clone)]
pub(crate) struct Identity {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

type Fault = (&'static str, String);

impl Identity {
    /// Reads the texts.
    ///
    /// # Errors
    /// The key of the configuration whose text is unusable, and why.
    pub(crate) fn parse(texts: Texts) -> Result<Self, Fault> {
        let certificates = certificates("certificate", &texts.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(texts.key.as_bytes())
            .map_err(|error| ("key", format!("holds no private key: {error}")))?;
        let mut roots = RootCertStore::empty();
        for certificate in self::certificates("ca", &texts.ca)? {
            roots.add(certificate).map_err(|error| ("ca", error.to_string()))?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let client = Self::client(&roots, &provider, certificates.clone(), key.clone_key())?;
        let server = Self::server(&roots, &provider, certificates, key)?;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// Secures a connection to the partner of this name.
    ///
    /// # Errors
    /// When the partner cannot prove its name, or does not accept ours.
    pub(crate) async fn connect(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> Result<client::TlsStream<TcpStream>, Failure> {
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::Proof(format!("`{name}` is no name for a certificate")))?;
        let connector = TlsConnector::from(Arc::clone(&self.client));
        let mut stream = connector.connect(server_name, stream).await.map_err(refused)?;
        // Under TLS 1.3 the host judges our certificate after this side is done. Whoever spoke
        // before it has could lose its verdict to a reset connection.
        stream.read_u8().await.map_err(refused)?;
        Ok(stream)
    }

    /// Secures a visitor's connection.
    ///
    /// # Errors
    /// When the visitor has no certificate that is trusted.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<server::TlsStream<TcpStream>, Failure> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        let mut stream = acceptor.accept(stream).await.map_err(refused)?;
        stream.write_u8(ACCEPTED).await?;
        stream.flush().await?;
        Ok(stream)
    }

    fn client(
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ClientConfig, Fault> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
                .build()
                .map_err(|error| ("ca", error.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| ("certificate", error.to_string()))?
            .with_webpki_verifier(verifier)
            .with_client_auth_cert(certificates, key)
            .map_err(|error| ("key", error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    fn server(
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, Fault> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
                .build()
                .map_err(|error| ("ca", error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| ("certificate", error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)
            .map_err(|error| ("key", error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A resumed session would skip the look at the certificate.
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// The certificate that the other end has proved to own; `None` on a channel without.
#[derive(Clone)]
pub(crate) struct Proved(Option<CertificateDer<'static>>);

impl Proved {
    /// Nothing was proved but what the channel as a whole proves.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// What a visitor's channel proves.
    pub(crate) fn by(stream: &server::TlsStream<TcpStream>) -> Self {
        let certificates = stream.get_ref().1.peer_certificates();
        Self(certificates.and_then(|all| all.first()).map(|first| first.clone().into_owned()))
    }

    /// Whether the visitor may call itself so: its certificate, where it has one, is for this
    /// name.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let Some(certificate) = &self.0 else { return true };
        let (Ok(parsed), Ok(name)) =
            (ParsedCertificate::try_from(certificate), ServerName::try_from(name))
        else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
    }
}

fn certificates(key: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err((key, "holds no certificate".to_owned())),
        Err(error) => Err((key, format!("is no PEM text: {error}"))),
    }
}

/// rustls wraps what is wrong with the other end in an error of the kind `InvalidData`; what the
/// network did has its own kinds.
fn refused(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::Proof(format!("no secure channel: {error}")),
        _ => error.into(),
    }
}
