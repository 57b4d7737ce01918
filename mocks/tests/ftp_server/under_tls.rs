//! FTPS.

use std::{fs, net::SocketAddr, sync::Arc};

use ferryway_mocks::ftp_server::{FtpServer, TlsConfig};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        client::Resumption,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{LIMIT, client::Client};

/// A control connection under TLS.
struct Secure {
    control: BufReader<TlsStream<TcpStream>>,
    peer: SocketAddr,
    data_connector: TlsConnector,
}

async fn serve(tls: &TlsConfig) -> (FtpServer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let server = FtpServer::builder(folder.path()).tls(tls.clone()).start().await.unwrap();
    (server, folder)
}

fn connector(tls: &TlsConfig, resumes: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(tls.certificate_pem().as_bytes());
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    TlsConnector::from(Arc::new(config))
}

async fn shake_hands(connector: &TlsConnector, tcp: TcpStream) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    timeout(LIMIT, connector.connect(name, tcp)).await.unwrap().unwrap()
}

impl Secure {
    async fn login(server: &FtpServer, tls: &TlsConfig, resumes: bool) -> Self {
        let connector = connector(tls, resumes);
        let mut plain = BufReader::new(TcpStream::connect(server.addr()).await.unwrap());
        let mut line = String::new();
        plain.read_line(&mut line).await.unwrap();
        plain.get_mut().write_all(b"AUTH TLS\r\n").await.unwrap();
        line.clear();
        plain.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("234 "), "{line}");
        Self::over(plain.into_inner(), connector).await
    }

    async fn over(tcp: TcpStream, connector: TlsConnector) -> Self {
        let peer = tcp.peer_addr().unwrap();
        let control = BufReader::new(shake_hands(&connector, tcp).await);
        let mut client = Self { control, peer, data_connector: connector };
        for (command, code) in
            [("USER ferry", 331), ("PASS x", 230), ("TYPE I", 200), ("PBSZ 0", 200)]
        {
            assert_eq!(client.code(command).await, code);
        }
        client
    }

    async fn reply(&mut self) -> String {
        let mut line = String::new();
        timeout(LIMIT, self.control.read_line(&mut line)).await.unwrap().unwrap();
        line
    }

    async fn command(&mut self, command: &str) -> String {
        let line = format!("{command}\r\n");
        self.control.get_mut().write_all(line.as_bytes()).await.unwrap();
        self.reply().await
    }

    async fn code(&mut self, command: &str) -> u16 {
        self.command(command).await[..3].parse().unwrap()
    }

    async fn passive(&mut self) -> TcpStream {
        let reply = self.command("EPSV").await;
        let port: u16 = reply.split('|').nth(3).unwrap().parse().unwrap();
        TcpStream::connect((self.peer.ip(), port)).await.unwrap()
    }

    /// Stores under PROT P; the final reply's code.
    async fn store(&mut self, bytes: &[u8]) -> u16 {
        let tcp = self.passive().await;
        assert_eq!(self.code("STOR a").await, 150);
        let mut data = shake_hands(&self.data_connector, tcp).await;
        // A server that misses a resumed session hangs up.
        let _sent = data.write_all(bytes).await;
        let _closed = data.shutdown().await;
        self.reply().await[..3].parse().unwrap()
    }
}

#[tokio::test]
async fn bytes_go_up_and_come_back_under_tls() {
    for tls in [TlsConfig::self_signed().unwrap(), TlsConfig::self_signed().unwrap().tls12_only()] {
        let (server, folder) = serve(&tls).await;
        let mut client = Secure::login(&server, &tls, true).await;
        assert_eq!(client.code("PROT P").await, 200);
        let bytes = ferryway_mocks::streams::content(1_000_000, 1);
        assert_eq!(client.store(&bytes).await, 226);
        assert!(fs::read(folder.path().join("a")).unwrap() == bytes);
        let tcp = client.passive().await;
        assert_eq!(client.code("RETR a").await, 150);
        let mut data = shake_hands(&client.data_connector, tcp).await;
        let mut back = Vec::new();
        // An end without close_notify would be an error here.
        timeout(LIMIT, data.read_to_end(&mut back)).await.unwrap().unwrap();
        assert!(back == bytes);
        assert!(client.reply().await.starts_with("226 "));
    }
}

#[tokio::test]
async fn a_server_that_requires_tls_refuses_to_go_without() {
    let tls = TlsConfig::self_signed().unwrap().require_tls();
    let (server, _folder) = serve(&tls).await;
    let (mut plain, _) = Client::connect(&server).await;
    assert_eq!(plain.code("USER ferry").await, 530);
    let mut client = Secure::login(&server, &tls, true).await;
    let _data = client.passive().await;
    assert_eq!(client.code("STOR a").await, 522);
    assert_eq!(client.code("PROT P").await, 200);
    assert_eq!(client.store(b"x").await, 226);
}

#[tokio::test]
async fn a_server_that_requires_session_reuse_tells_522_without() {
    let tls = || TlsConfig::self_signed().unwrap().require_session_reuse();
    // Under TLS 1.3 the third upload has no ticket left; 1.2 resumes without an end.
    for (tls, resumes, times, code) in [
        (tls(), true, 2, 226),
        (tls().tls12_only(), true, 6, 226),
        (tls(), false, 2, 522),
        (tls().tls12_only(), false, 2, 522),
    ] {
        let (server, _folder) = serve(&tls).await;
        let mut client = Secure::login(&server, &tls, resumes).await;
        client.code("PROT P").await;
        for _ in 0..times {
            assert_eq!(client.store(b"x").await, code, "{}", server.transcript());
        }
    }
}

#[tokio::test]
async fn implicit_tls_starts_at_once() {
    let tls = TlsConfig::self_signed().unwrap().implicit();
    let (server, _folder) = serve(&tls).await;
    let connector = connector(&tls, true);
    let tcp = TcpStream::connect(server.addr()).await.unwrap();
    let peer = tcp.peer_addr().unwrap();
    let control = BufReader::new(shake_hands(&connector, tcp).await);
    let mut client = Secure { control, peer, data_connector: connector };
    assert!(client.reply().await.starts_with("220 "));
    assert_eq!(client.code("USER ferry").await, 331);
    assert_eq!(client.code("AUTH TLS").await, 503);
}
