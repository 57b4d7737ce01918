//! The server's side of FTPS (RFC 4217).

use std::{fmt, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
        version::{TLS12, TLS13},
    },
};

/// FTPS with a self-signed certificate for `localhost` and 127.0.0.1, made with the value.
#[derive(Clone)]
pub struct TlsConfig {
    certificate: CertificateDer<'static>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
    pem: String,
    pub(super) required: bool,
    pub(super) session_reuse_required: bool,
    pub(super) implicit: bool,
    newest_is_tls12: bool,
}

/// No certificate could be made, or the TLS settings do not fit each other.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the mock FTP server")]
pub struct TlsSetupError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl TlsConfig {
    /// TLS on demand (AUTH TLS), versions 1.2 and 1.3.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn self_signed() -> Result<Self, TlsSetupError> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(setup_error)?;
        Ok(Self {
            certificate: made.cert.der().clone(),
            key: Arc::new(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der())),
            pem: made.cert.pem(),
            required: false,
            session_reuse_required: false,
            implicit: false,
            newest_is_tls12: false,
        })
    }

    /// Login without TLS gets 530, data connections without TLS 522.
    #[must_use]
    pub fn require_tls(mut self) -> Self {
        self.required = true;
        self
    }

    /// A data connection that does not resume a TLS session gets 522, as with vsftpd's
    /// `require_ssl_reuse`. Under TLS 1.3 the server gives two tickets a connection, each for
    /// one use, and a client that only uploads reads none from its data connections: it runs
    /// out of them, as with proftpd. With [`tls12_only`](Self::tls12_only) it does not.
    #[must_use]
    pub fn require_session_reuse(mut self) -> Self {
        self.session_reuse_required = true;
        self
    }

    /// The control connection starts with TLS, as on port 990.
    #[must_use]
    pub fn implicit(mut self) -> Self {
        self.implicit = true;
        self
    }

    /// Only TLS 1.2 is offered.
    #[must_use]
    pub fn tls12_only(mut self) -> Self {
        self.newest_is_tls12 = true;
        self
    }

    /// The certificate, for the clients' trust.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// An acceptor with a session cache of its own: a restarted server resumes nothing.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TlsSetupError> {
        let versions: &[_] = if self.newest_is_tls12 { &[&TLS12] } else { &[&TLS13, &TLS12] };
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(setup_error)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(setup_error)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("required", &self.required)
            .field("session_reuse_required", &self.session_reuse_required)
            .finish_non_exhaustive()
    }
}

/// Whether a handshake went on from an earlier session.
pub(super) fn resumed(connection: &rustls::ServerConnection) -> bool {
    connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

fn setup_error(error: impl std::error::Error + Send + Sync + 'static) -> TlsSetupError {
    TlsSetupError(Box::new(error))
}
