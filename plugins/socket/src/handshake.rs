//! How a connection begins: a greeting each, the secure channel or the proofs, then frames.
//!
//! | step | bytes | who | |
//! |---|---|---|---|
//! | 1 | 48 | visitor | greeting: `FERRYWAY`, version, security, 0, silence, nonce |
//! | 2 | 48 | host | greeting: the same fields, with a status in place of the 0 |
//! | 3 | | both | with security `tls`: the TLS 1.3 handshake, and within it a byte 0 of the host |
//! | 4 | 32 | visitor | with security `secret`: its proof |
//! | 5 | 32 | host | with security `secret`: its proof; zeros when the visitor's is wrong |
//!
//! A proof is keyed BLAKE3 over both greetings, so both nonces and every parameter are in it.
//! The keys that tag the frames come from the greetings as well, with `secret` from the secret
//! too: a greeting that changes on the way breaks the first frame. With `plain` a tag is a checksum. With
//! `tls` frames have no tag: each byte is proved by the record that carries it, and the version and
//! security of both ends change nothing else.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::rustls::crypto::ring;

use crate::{
    config::{Secret, Security},
    failure::Failure,
    frame::{Seal, VERSION},
    tls::Proved,
};

/// A connection that is ready for frames.
pub(crate) struct Ready {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// For what comes in.
    pub(crate) incoming: Seal,
    /// For what goes out.
    pub(crate) outgoing: Seal,
    /// How long the other end waits for a sign of life.
    pub(crate) their_silence: Duration,
    /// How long a word takes to the other end and back.
    pub(crate) round_trip: RoundTrip,
    /// What the other end has proved.
    pub(crate) proved: Proved,
}

#[cfg(test)]
impl Ready {
    /// The end of a line in memory of who hears with the key `1` and speaks with the key `2`.
    pub(crate) fn in_memory(line: tokio::io::DuplexStream, silence: Duration) -> Self {
        let (reader, writer) = tokio::io::split(line);
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            incoming: Seal::keyed([1; 32]),
            outgoing: Seal::keyed([2; 32]),
            their_silence: silence,
            round_trip: RoundTrip::Took(Duration::ZERO),
            proved: Proved::nothing(),
        }
    }
}

/// How long a word takes to the other end and back, as far as the handshake knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RoundTrip {
    /// So long, where the other end did nothing else meanwhile.
    Took(Duration),
    /// Until the first frame comes: it answers what was said then.
    Since(Instant),
}

const GREETING_BYTES: usize = 48;
const MAGIC: &[u8; 8] = b"FERRYWAY";

/// In place of the host's proof: the visitor's proof is wrong.
const REFUSED: [u8; 32] = [0; 32];

/// The host's answer in its greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Status {
    Welcome = 0,
    OtherVersion = 1,
    OtherSecurity = 2,
}

struct Greeting {
    bytes: [u8; GREETING_BYTES],
}

/// Greets the host at the other end as a visitor. Callers set the time limit.
///
/// # Errors
/// When the ends do not fit together, or one cannot prove itself.
pub(crate) async fn visit(
    mut stream: TcpStream,
    security: &Security,
    server_name: &str,
    silence: Duration,
) -> Result<Ready, Failure> {
    let ours = Greeting::new(security, silence, Status::Welcome)?;
    let greeted = Instant::now();
    stream.write_all(&ours.bytes).await?;
    let theirs = Greeting::read(&mut stream).await?;
    let round_trip = RoundTrip::Took(greeted.elapsed());
    theirs.check_version()?;
    if theirs.bytes[11] == Status::OtherSecurity as u8 || theirs.bytes[10] != code(security) {
        return Err(other_security(security, theirs.bytes[10]));
    }
    if theirs.bytes[11] != Status::Welcome as u8 {
        return Err(Failure::Garbage("a greeting with an unknown status".to_owned()));
    }
    let keys = Keys::new(security, &ours, &theirs);
    match security {
        Security::Tls(identity) => {
            let stream = identity.connect(server_name, stream).await?;
            Ok(ready(stream, keys.of_visitor(), &theirs, Proved::nothing(), round_trip))
        }
        Security::Secret(_) => {
            stream.write_all(keys.visitors_proof.as_bytes()).await?;
            let proof = read_proof(&mut stream).await?;
            if proof == blake3::Hash::from_bytes(REFUSED) {
                return Err(Failure::Proof("the partner does not accept our secret".to_owned()));
            }
            if proof != keys.hosts_proof {
                return Err(Failure::Proof("the partner does not know the secret".to_owned()));
            }
            Ok(ready(stream, keys.of_visitor(), &theirs, Proved::nothing(), round_trip))
        }
        Security::Plain => {
            Ok(ready(stream, keys.of_visitor(), &theirs, Proved::nothing(), round_trip))
        }
    }
}

/// Greets a visitor. Callers set the time limit.
///
/// # Errors
/// When the ends do not fit together, or one cannot prove itself.
pub(crate) async fn receive(
    mut stream: TcpStream,
    security: &Security,
    silence: Duration,
) -> Result<Ready, Failure> {
    let theirs = Greeting::read(&mut stream).await?;
    let status = match &theirs {
        greeting if greeting.check_version().is_err() => Status::OtherVersion,
        greeting if greeting.bytes[10] != code(security) => Status::OtherSecurity,
        _ => Status::Welcome,
    };
    let ours = Greeting::new(security, silence, status)?;
    stream.write_all(&ours.bytes).await?;
    theirs.check_version()?;
    if status == Status::OtherSecurity {
        return Err(other_security(security, theirs.bytes[10]));
    }
    let keys = Keys::new(security, &theirs, &ours);
    let said_now = || RoundTrip::Since(Instant::now());
    match security {
        Security::Tls(identity) => {
            let stream = identity.accept(stream).await?;
            let proved = Proved::by(&stream);
            Ok(ready(stream, keys.of_host(), &theirs, proved, said_now()))
        }
        Security::Secret(_) => {
            if read_proof(&mut stream).await? != keys.visitors_proof {
                // A line that just breaks is tried again; this is not.
                stream.write_all(&REFUSED).await?;
                return Err(Failure::Proof("the visitor does not know the secret".to_owned()));
            }
            stream.write_all(keys.hosts_proof.as_bytes()).await?;
            Ok(ready(stream, keys.of_host(), &theirs, Proved::nothing(), said_now()))
        }
        Security::Plain => {
            Ok(ready(stream, keys.of_host(), &theirs, Proved::nothing(), said_now()))
        }
    }
}

fn ready(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    seals: Seals,
    theirs: &Greeting,
    proved: Proved,
    round_trip: RoundTrip,
) -> Ready {
    let (reader, writer) = tokio::io::split(stream);
    Ready {
        reader: Box::new(reader),
        writer: Box::new(writer),
        incoming: seals.incoming,
        outgoing: seals.outgoing,
        their_silence: theirs.silence(),
        round_trip,
        proved,
    }
}

/// The seals of both directions, as one end uses them.
struct Seals {
    incoming: Seal,
    outgoing: Seal,
}

async fn read_proof(stream: &mut TcpStream) -> Result<blake3::Hash, Failure> {
    let mut proof = [0; 32];
    stream.read_exact(&mut proof).await?;
    // The comparison of two of these takes the same time wherever they differ.
    Ok(blake3::Hash::from_bytes(proof))
}

impl Greeting {
    fn new(security: &Security, silence: Duration, status: Status) -> Result<Self, Failure> {
        let mut bytes = [0; GREETING_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_be_bytes());
        bytes[10] = code(security);
        bytes[11] = status as u8;
        let silence = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        bytes[12..16].copy_from_slice(&silence.to_be_bytes());
        let random = ring::default_provider().secure_random;
        random.fill(&mut bytes[16..]).map_err(|_| {
            Failure::from(std::io::Error::other("the system gives no random numbers"))
        })?;
        Ok(Self { bytes })
    }

    /// Reads the other end's greeting, and stops at the first byte that is none.
    async fn read(stream: &mut TcpStream) -> Result<Self, Failure> {
        let mut bytes = [0; GREETING_BYTES];
        stream.read_exact(&mut bytes[..8]).await?;
        if &bytes[..8] != MAGIC {
            return Err(Failure::Garbage("it does not greet as a Ferryway host does".to_owned()));
        }
        stream.read_exact(&mut bytes[8..]).await?;
        Ok(Self { bytes })
    }

    fn check_version(&self) -> Result<(), Failure> {
        let theirs = u16::from_be_bytes([self.bytes[8], self.bytes[9]]);
        if theirs == VERSION { Ok(()) } else { Err(Failure::Version { ours: VERSION, theirs }) }
    }

    /// Between a second and an hour, whatever the other end says.
    fn silence(&self) -> Duration {
        let [.., a, b, c, d] = *self.bytes.first_chunk::<16>().unwrap_or(&[0; 16]);
        let told = Duration::from_millis(u32::from_be_bytes([a, b, c, d]).into());
        told.clamp(Duration::from_secs(1), Duration::from_secs(3600))
    }
}

/// Everything that follows from the greetings and the secret.
struct Keys {
    to_host: [u8; 32],
    to_visitor: [u8; 32],
    visitors_proof: blake3::Hash,
    hosts_proof: blake3::Hash,
    /// What tags are made of such a key.
    seal: fn([u8; 32]) -> Seal,
}

impl Keys {
    fn new(security: &Security, visitor: &Greeting, host: &Greeting) -> Self {
        let (secret, seal): (&[u8], fn(_) -> _) = match security {
            Security::Secret(Secret(secret)) => (secret.as_bytes(), Seal::keyed),
            Security::Plain => (&[], Seal::summed),
            Security::Tls(_) => (&[], |_| Seal::of_channel()),
        };
        let root = blake3::derive_key("ferryway socket 1 connection", secret);
        let derive = |purpose: &str| {
            let mut hasher = blake3::Hasher::new_keyed(&root);
            hasher.update(&visitor.bytes).update(&host.bytes).update(purpose.as_bytes());
            hasher.finalize()
        };
        Self {
            to_host: *derive("frames to the host").as_bytes(),
            to_visitor: *derive("frames to the visitor").as_bytes(),
            visitors_proof: derive("proof of the visitor"),
            hosts_proof: derive("proof of the host"),
            seal,
        }
    }

    fn of_visitor(&self) -> Seals {
        Seals { incoming: (self.seal)(self.to_visitor), outgoing: (self.seal)(self.to_host) }
    }

    fn of_host(&self) -> Seals {
        Seals { incoming: (self.seal)(self.to_host), outgoing: (self.seal)(self.to_visitor) }
    }
}

fn code(security: &Security) -> u8 {
    match security {
        Security::Plain => 0,
        Security::Secret(_) => 1,
        Security::Tls(_) => 2,
    }
}

fn other_security(ours: &Security, theirs: u8) -> Failure {
    let word = |code| match code {
        0 => "plain",
        1 => "secret",
        2 => "tls",
        _ => "unknown",
    };
    let (ours, theirs) = (word(code(ours)), word(theirs));
    Failure::Proof(format!("the other end is set to security = \"{theirs}\", we to \"{ours}\""))
}
