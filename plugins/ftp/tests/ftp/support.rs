//! A server, a session with it, and bytes to move.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use ferryway_core::{
    RemotePath,
    bytes::{ByteSink, ByteSource, Meter, Sink, Source},
    transport::{Download, Partner, Result, Session, Transport, Upload},
};
use ferryway_ftp::Ftp;
use ferryway_mocks::ftp_server::{Behaviour, FtpServer, FtpServerBuilder};
use tempfile::TempDir;

pub(crate) struct Lab {
    pub(crate) server: FtpServer,
    folder: TempDir,
}

impl Lab {
    pub(crate) async fn new(behaviour: Behaviour) -> Self {
        Self::with(|builder| builder.behaviour(behaviour)).await
    }

    pub(crate) async fn with(change: impl FnOnce(FtpServerBuilder) -> FtpServerBuilder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builder = change(FtpServer::builder(folder.path()).user("ferry", "secret"));
        let server = builder.start().await.unwrap();
        Self { server, folder }
    }

    /// The least settings; one second is the time limit, so that faults show soon.
    pub(crate) fn settings(&self) -> toml::Table {
        let port = self.server.addr().port();
        format!(
            "host = '127.0.0.1'\nport = {port}\nuser = 'ferry'\npassword = 'secret'\n\
             tls = 'off'\ntimeout_s = 1"
        )
        .parse()
        .unwrap()
    }

    pub(crate) fn partner(&self) -> Partner {
        let (name, settings) = ("MOCK".parse().unwrap(), self.settings());
        Partner {
            name,
            settings,
            source_address: None,
            ours: ferryway_mocks::conformance::introduction(),
        }
    }

    pub(crate) async fn session(&self) -> Box<dyn Session> {
        Ftp::default().connect(self.partner()).await.unwrap()
    }

    pub(crate) async fn session_with(&self, settings: &str) -> Result<Box<dyn Session>> {
        let mut partner = self.partner();
        partner.settings.extend(settings.parse::<toml::Table>().unwrap());
        Ftp::default().connect(partner).await
    }

    pub(crate) fn on_disk(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The commands since the last login.
    pub(crate) fn commands(&self) -> Vec<String> {
        let commands = self.server.transcript().commands();
        let login = commands.iter().rposition(|command| command == "TYPE I").unwrap();
        commands[login + 1..].to_vec()
    }
}

pub(crate) fn path(text: &str) -> RemotePath {
    text.parse().unwrap()
}

/// Bytes that differ everywhere.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

struct Given(io::Cursor<Vec<u8>>);

impl ByteSource for Given {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, chunk)
    }
}

pub(crate) fn upload(to: &str, offset: u64, content: &[u8]) -> Upload {
    Upload {
        path: path(to),
        offset,
        length: content.len() as u64,
        source: Source::new(Given(io::Cursor::new(content.to_vec()))),
        meter: Meter::new(),
    }
}

/// A sink that keeps what it gets.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl ByteSink for Kept {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(chunk);
        Ok(())
    }
}

pub(crate) fn download(from: &str, offset: u64, sink: impl ByteSink + 'static) -> Download {
    Download { path: path(from), offset, sink: Sink::new(sink), meter: Meter::new() }
}

/// A local file that fails after so many bytes.
pub(crate) struct Failing(pub(crate) u64);

impl ByteSource for Failing {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let given = self.0.min(chunk.len() as u64);
        self.0 -= given;
        if given == 0 { Err(io::Error::other("the disk is gone")) } else { Ok(given as usize) }
    }
}

impl ByteSink for Failing {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let left = self.0.checked_sub(chunk.len() as u64);
        self.0 = left.ok_or_else(|| io::Error::other("the disk is full"))?;
        Ok(())
    }
}
