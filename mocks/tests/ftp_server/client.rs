//! A client that says what the test wants, and no more.

use std::net::SocketAddr;

use ferryway_mocks::ftp_server::FtpServer;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::LIMIT;

pub(crate) struct Client {
    control: BufReader<TcpStream>,
    peer: SocketAddr,
}

/// A reply: its code and all its lines.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(server: &FtpServer) -> (Self, Reply) {
        let peer = server.addr();
        let control = BufReader::new(TcpStream::connect(peer).await.unwrap());
        let mut client = Self { control, peer };
        let greeting = client.reply().await;
        (client, greeting)
    }

    /// Connects, logs in and sets TYPE I.
    pub(crate) async fn login(server: &FtpServer) -> Self {
        let (mut client, greeting) = Self::connect(server).await;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        assert_eq!(client.code("USER ferry").await, 331);
        assert_eq!(client.code("PASS secret").await, 230);
        assert_eq!(client.code("TYPE I").await, 200);
        client
    }

    pub(crate) async fn send(&mut self, command: &str) {
        self.control.get_mut().write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    }

    /// The next reply; `None` when the connection ends instead.
    pub(crate) async fn try_reply(&mut self) -> Option<Reply> {
        let mut text = String::new();
        let read = async {
            loop {
                let mut line = String::new();
                match self.control.read_line(&mut line).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => text.push_str(&line),
                }
                if line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && &line[3..4] == " " {
                    return Some(Reply { code: line[..3].parse().unwrap(), text });
                }
            }
        };
        timeout(LIMIT, read).await.expect("no reply")
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect("the control connection ended")
    }

    pub(crate) async fn command(&mut self, command: &str) -> Reply {
        self.send(command).await;
        self.reply().await
    }

    pub(crate) async fn code(&mut self, command: &str) -> u16 {
        self.command(command).await.code
    }

    /// A data connection for the next transfer.
    pub(crate) async fn passive(&mut self) -> TcpStream {
        let reply = self.command("EPSV").await;
        assert_eq!(reply.code, 229, "{reply:?}");
        let port = reply.text.split('|').nth(3).unwrap().parse().unwrap();
        TcpStream::connect((self.peer.ip(), port)).await.unwrap()
    }

    /// A data connection and the first reply to a transfer command.
    pub(crate) async fn begin(&mut self, command: &str) -> (TcpStream, Reply) {
        let data = self.passive().await;
        let reply = self.command(command).await;
        (data, reply)
    }

    /// A whole upload; the final reply's code.
    pub(crate) async fn upload(&mut self, command: &str, bytes: &[u8]) -> u16 {
        let (mut data, reply) = self.begin(command).await;
        if reply.code != 150 {
            return reply.code;
        }
        // A server that refuses in mid-transfer closes the connection.
        let _written = timeout(LIMIT, data.write_all(bytes)).await.expect("the upload hangs");
        let _closed = data.shutdown().await;
        self.reply().await.code
    }

    /// A whole download or listing, and the final reply's code.
    pub(crate) async fn download(&mut self, command: &str) -> (Vec<u8>, u16) {
        let (mut data, reply) = self.begin(command).await;
        if reply.code != 150 {
            return (Vec::new(), reply.code);
        }
        let mut bytes = Vec::new();
        let _read = timeout(LIMIT, data.read_to_end(&mut bytes)).await.expect("it hangs");
        (bytes, self.reply().await.code)
    }

    /// The names of a listing command, one a line.
    pub(crate) async fn lines(&mut self, command: &str) -> Vec<String> {
        let (bytes, code) = self.download(command).await;
        assert_eq!(code, 226);
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    /// Whether the control connection is over.
    pub(crate) async fn is_cut(&mut self) -> bool {
        self.try_reply().await.is_none()
    }
}
