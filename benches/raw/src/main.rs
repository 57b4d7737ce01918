//! The least that moves a file from one end of a connection to the other, on loopback, with both
//! ends in this process. No journal, no hash, no partial name: what these add is the difference.
//! And files by FTP from or to a server, with as little, or with all of it but the journal.
//!
//!     raw-copy sendfile FROM TO [--sync]       sendfile(2) at one end, read and write at the other
//!     raw-copy rustls FROM TO [--sync]         the same through TLS 1.3
//!     raw-copy certificates FOLDER NAME...     an authority, and a certificate for each name
//!     raw-copy ftp least|dialogue|durable up|down PORT LIST FOLDER     files by FTP
//!     raw-copy line MILLISECONDS PERCENT       a long line between two networks, with this round trip,
//!                                              on which so many of a hundred packets are lost
//!
//! With `--sync` the copy is on the disk in the end, as a file is that Ferryway has confirmed.

mod ftp;
mod line;

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use ftp::{Care, Way};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    version::TLS13,
};

/// What is read and written at a time, as in the transport.
const CHUNK_BYTES: usize = 256 * 1024;

/// The name that the receiving end proves.
const NAME: &str = "raw.example";

const USAGE: &str = "usage: raw-copy sendfile|rustls FROM TO [--sync], certificates FOLDER NAME..., \
                     ftp least|dialogue|durable up|down PORT LIST FOLDER, or line MILLISECONDS PERCENT";

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["sendfile", from, to] => plain(from, to, false),
        ["sendfile", from, to, "--sync"] => plain(from, to, true),
        ["rustls", from, to] => tls(from, to, false),
        ["rustls", from, to, "--sync"] => tls(from, to, true),
        ["certificates", folder, ref names @ ..] => certificates(Path::new(folder), names),
        ["ftp", care, way, port, list, folder] => {
            let care = match care {
                "least" => Care::Least,
                "dialogue" => Care::Dialogue,
                "durable" => Care::Durable,
                _ => return Err(USAGE.into()),
            };
            let way = match way {
                "up" => Way::Up,
                "down" => Way::Down,
                _ => return Err(USAGE.into()),
            };
            ftp::run(care, way, port.parse()?, (list, folder))
        }
        ["line", round_trip, percent] => {
            let lost = percent.parse::<f64>()? / 100.0;
            Ok(line::serve(Duration::from_millis(round_trip.parse()?), lost)?)
        }
        _ => Err(USAGE.into()),
    }
}

fn plain(from: &str, to: &str, sync: bool) -> Result<(), Failure> {
    let (near, far) = connection()?;
    let receiver = receive(far, to, sync);
    let file = File::open(from)?;
    while rustix::fs::sendfile(&near, &file, None, 1 << 30)? > 0 {}
    drop(near);
    end(receiver)
}

fn tls(from: &str, to: &str, sync: bool) -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let client = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = connection()?;
    let far = StreamOwned::new(ServerConnection::new(Arc::new(server))?, far);
    let receiver = receive(far, to, sync);
    let name = ServerName::try_from(NAME)?;
    let mut near = StreamOwned::new(ClientConnection::new(Arc::new(client), name)?, near);
    copy(&mut File::open(from)?, &mut near, &mut chunk())?;
    near.conn.send_close_notify();
    near.conn.complete_io(&mut near.sock)?;
    end(receiver)
}

fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    Ok((near, listener.accept()?.0))
}

type Receiver = thread::JoinHandle<io::Result<()>>;

fn receive(mut from: impl Read + Send + 'static, to: &str, sync: bool) -> Receiver {
    let to = to.to_owned();
    thread::spawn(move || {
        let mut file = File::create(to)?;
        copy(&mut from, &mut file, &mut chunk())?;
        if sync { file.sync_all() } else { Ok(()) }
    })
}

fn end(receiver: Receiver) -> Result<(), Failure> {
    Ok(receiver.join().map_err(|_| "the receiving end broke")??)
}

fn chunk() -> Vec<u8> {
    vec![0; CHUNK_BYTES]
}

fn copy(from: &mut impl Read, to: &mut impl Write, chunk: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(chunk)? {
            0 => return to.flush(),
            read => to.write_all(&chunk[..read])?,
        }
    }
}

/// Writes `ca.pem`, and `NAME.pem` and `NAME.key` for each name.
fn certificates(folder: &Path, names: &[&str]) -> Result<(), Failure> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    for name in names {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![(*name).to_owned()])?.signed_by(&key, &authority)?;
        fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
