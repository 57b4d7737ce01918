//! One control connection: login, the order of things, and small commands.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use tokio::{net::TcpStream, time::timeout};

use super::{
    data::DataPort,
    faults::{Armed, When},
    hashing::HashChoice,
    reply::Reply,
    shared::{Shared, Turn},
    tree::VirtualPath,
    wire::{Condition, Control, Socket, Wire},
};

/// The session is over; nothing more can be said.
#[derive(Debug)]
pub(super) struct Ended;

/// The state of a control connection.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Control,
    pub(super) condition: Arc<Condition>,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    user: Option<String>,
    logged_in: bool,
    pub(super) folder: VirtualPath,
    pub(super) ascii: bool,
    /// What REST said; the next transfer takes it.
    pub(super) restart: u64,
    /// What RNFR named.
    pub(super) renaming: Option<VirtualPath>,
    pub(super) data: DataPort,
    /// Whether data connections are under TLS (PROT P).
    pub(super) private: bool,
    pub(super) hash: HashChoice,
    /// The faults of the command in execution.
    pub(super) armed: Armed,
    /// The size that a fault wants told instead of the true one.
    pub(super) size_lie: Option<u64>,
}

/// Commands that need no login.
const PUBLIC: [&str; 11] =
    ["USER", "PASS", "AUTH", "PBSZ", "PROT", "FEAT", "OPTS", "SYST", "NOOP", "QUIT", "ABOR"];

impl Session {
    pub(super) fn new(shared: Arc<Shared>, tcp: TcpStream, id: u64) -> io::Result<Self> {
        let (local, peer) = (tcp.local_addr()?, tcp.peer_addr()?);
        let condition = Arc::<Condition>::default();
        let wire = Wire::Plain(Socket::new(tcp, Arc::clone(&condition)));
        let control = Control::new(wire, Arc::clone(&condition), id, shared.transcript.clone());
        control.note(format!("control connection from {peer}"));
        Ok(Self {
            shared,
            control,
            condition,
            local,
            peer,
            user: None,
            logged_in: false,
            folder: VirtualPath::default(),
            ascii: true,
            restart: 0,
            renaming: None,
            data: DataPort::None,
            private: false,
            hash: HashChoice::default(),
            armed: Armed::default(),
            size_lie: None,
        })
    }

    /// Serves until the client or a fault ends the session, or all sessions are cut.
    pub(super) async fn run(mut self) {
        let (shared, condition) = (Arc::clone(&self.shared), Arc::clone(&self.condition));
        let mut cuts = shared.cuts.subscribe();
        let converse = async {
            let Err(Ended) = self.converse().await;
        };
        let mut converse = std::pin::pin!(converse);
        tokio::select! {
            () = &mut converse => {}
            _ = cuts.changed() => {
                // Meanwhile the conversation stays as it is, with its sockets and locks; only
                // another cut ends it earlier.
                loop {
                    let cut = cuts.borrow_and_update().1;
                    tokio::select! {
                        Ended = shared.cut(cut, &condition) => return,
                        _ = cuts.changed() => {}
                    }
                }
            }
        }
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Ended> {
        self.greet().await?;
        loop {
            let limit = self.shared.behaviour.idle_timeout;
            let Ok(line) = timeout(limit, self.control.next_line()).await else {
                self.control.send(&Reply::new(421, "Timeout.")).await?;
                self.control.hang_up().await;
                return Err(Ended);
            };
            let line = line?;
            if self.shared.behaviour.loses_early_commands {
                self.control.lose_early();
            }
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            self.execute(&verb.to_ascii_uppercase(), argument).await?;
        }
    }

    async fn greet(&mut self) -> Result<(), Ended> {
        let shared = Arc::clone(&self.shared);
        if let Some((_, acceptor)) = shared.tls.as_ref().filter(|(tls, _)| tls.implicit) {
            self.control.secure(acceptor).await?;
        }
        self.armed = shared.faults.arm("CONNECT", "");
        let behaviour = &shared.behaviour;
        let full = behaviour.max_sessions.is_some_and(|most| *shared.open.borrow() > most);
        let reply = match self.meet(When::Before).await? {
            Some(reply) => reply,
            None if full => Reply::new(421, "There are too many connected users."),
            None => Reply::lines(220, behaviour.greeting.clone()),
        };
        self.conclude("CONNECT", reply).await
    }

    async fn execute(&mut self, verb: &str, argument: &str) -> Result<(), Ended> {
        self.armed = self.shared.faults.arm(verb, argument);
        self.size_lie = None;
        let reply = match self.meet(When::Before).await? {
            Some(reply) => reply,
            None => self.dispatch(verb, argument).await?,
        };
        // RFC 3659 section 5.3 wants the transfer right behind REST; servers wait for it, and
        // a listing is none.
        if matches!(verb, "STOR" | "APPE" | "RETR") {
            self.restart = 0;
        }
        self.conclude(verb, reply).await
    }

    /// Sends the final reply of a command, and does what depends on it.
    async fn conclude(&mut self, verb: &str, reply: Reply) -> Result<(), Ended> {
        self.condition.moving.store(false, Ordering::Relaxed);
        let reply = self.meet(When::After).await?.unwrap_or(reply);
        self.control.send(&reply).await?;
        self.meet(When::Reply).await?;
        let shared = Arc::clone(&self.shared);
        if let (Some((_, acceptor)), 234) = (&shared.tls, reply.code) {
            self.control.secure(acceptor).await?;
        }
        if verb == "QUIT" || reply.code == 421 {
            self.control.hang_up().await;
            return Err(Ended);
        }
        Ok(())
    }

    /// Fires the faults of this point; a reply takes the place of the true one.
    async fn meet(&mut self, when: When) -> Result<Option<Reply>, Ended> {
        let mut reply = None;
        while let Some(fault) = self.armed.fire(when) {
            match self.shared.perform(&fault, &self.condition).await? {
                Turn::Reply(instead) => reply = Some(instead),
                Turn::Size(size) => self.size_lie = Some(size),
                Turn::GoOn | Turn::EndOfData | Turn::Corrupt => {}
            }
        }
        Ok(reply)
    }

    async fn dispatch(&mut self, verb: &str, argument: &str) -> Result<Reply, Ended> {
        if !self.shared.behaviour.knows(verb) {
            return Ok(Reply::new(500, format!("{verb} not understood.")));
        }
        if !self.logged_in && !PUBLIC.contains(&verb) {
            return Ok(Reply::new(530, "Please login with USER and PASS."));
        }
        let names = matches!(verb, "STOR" | "APPE" | "MKD" | "RNTO" | "DELE");
        if names && !self.shared.behaviour.takes_backslashes && argument.contains('\\') {
            return Ok(Reply::new(553, format!("Prohibited file name: {argument}")));
        }
        Ok(match verb {
            "USER" => self.name_user(argument),
            "PASS" => self.log_in(argument),
            "AUTH" => self.authenticate(argument),
            "PBSZ" => Reply::new(200, "PBSZ=0"),
            "PROT" => self.protect(argument),
            "TYPE" => self.set_type(argument),
            "MODE" => only(argument, "S", "Mode"),
            "STRU" => only(argument, "F", "Structure"),
            "NOOP" => Reply::new(200, "NOOP ok."),
            "SYST" => Reply::new(215, "UNIX Type: L8"),
            "STAT" if argument.is_empty() => Reply::new(211, "All is well."),
            "FEAT" => self.features(),
            "OPTS" => self.set_option(argument),
            "REST" => self.set_restart(argument),
            "ABOR" => Reply::new(226, "No transfer to abort."),
            "QUIT" => Reply::new(221, "Goodbye."),
            "EPSV" => self.extended_passive(argument).await,
            "PASV" => self.passive().await,
            "EPRT" => self.extended_port(argument),
            "PORT" => self.port(argument),
            "STOR" | "APPE" => self.store(verb, argument).await?,
            "RETR" => self.retrieve(argument).await?,
            "LIST" | "NLST" | "MLSD" => self.list(verb, argument).await?,
            "HASH" => self.hash_file(argument).await,
            "RANG" => self.set_range(argument),
            "XCRC" => self.crc(argument).await,
            _ => self.file_command(verb, argument),
        })
    }

    fn name_user(&mut self, name: &str) -> Reply {
        let shared = &self.shared;
        self.logged_in = false;
        if shared.tls.as_ref().is_some_and(|(tls, _)| tls.required) && !self.control.is_tls() {
            return Reply::new(530, "Sessions must use encryption.");
        }
        self.user = Some(name.to_owned());
        Reply::new(331, "Please specify the password.")
    }

    fn log_in(&mut self, password: &str) -> Reply {
        let Some(name) = &self.user else {
            return Reply::new(503, "Login with USER first.");
        };
        let shared = &self.shared;
        let user = shared.users.iter().find(|user| user.name == *name);
        let anyone = shared.anonymous
            && (shared.users.is_empty() || matches!(name.as_str(), "anonymous" | "ftp"));
        let home = match user {
            Some(user) if user.password == password => user.home.as_str(),
            None if anyone => "/",
            _ => return Reply::new(530, "Login incorrect."),
        };
        self.folder = VirtualPath::default().resolve(home);
        self.logged_in = true;
        Reply::new(230, "Login successful.")
    }

    /// RFC 4217 section 4.
    fn authenticate(&self, mechanism: &str) -> Reply {
        match mechanism.to_ascii_uppercase().as_str() {
            _ if self.shared.tls.is_none() => Reply::new(502, "TLS is not set up."),
            _ if self.control.is_tls() => Reply::new(503, "TLS is already on."),
            "TLS" | "TLS-C" | "SSL" => Reply::new(234, "Proceed with negotiation."),
            _ => Reply::new(504, "Unknown AUTH type."),
        }
    }

    /// RFC 4217 section 9.
    fn protect(&mut self, level: &str) -> Reply {
        match level.to_ascii_uppercase().as_str() {
            _ if !self.control.is_tls() => Reply::new(503, "AUTH TLS first."),
            level @ ("P" | "C") => {
                self.private = level == "P";
                Reply::new(200, "PROT set.")
            }
            _ => Reply::new(536, "Only P and C are known."),
        }
    }

    fn set_type(&mut self, kind: &str) -> Reply {
        match kind.to_ascii_uppercase().as_str() {
            "I" | "L 8" => self.ascii = false,
            "A" | "A N" => self.ascii = true,
            _ => return Reply::new(504, "Unknown type."),
        }
        Reply::new(200, "Type set.")
    }

    /// RFC 3659 section 5. In TYPE A most servers have no restart.
    fn set_restart(&mut self, offset: &str) -> Reply {
        let refuses = self.ascii && !self.shared.behaviour.restart_in_ascii;
        match offset.trim().parse() {
            Ok(_) if refuses => Reply::new(501, "REST is not possible in ASCII mode."),
            Ok(offset) => {
                self.restart = offset;
                Reply::new(350, format!("Restarting at {offset}."))
            }
            Err(_) => Reply::new(501, "REST wants a number."),
        }
    }

    /// RFC 2389 section 3.
    fn features(&self) -> Reply {
        let tls = self.shared.tls.is_some();
        let known = |command| self.shared.behaviour.knows(command);
        let all = [
            ("AUTH TLS".to_owned(), tls),
            ("PBSZ".to_owned(), tls),
            ("PROT".to_owned(), tls),
            ("EPRT".to_owned(), known("EPRT")),
            ("EPSV".to_owned(), known("EPSV")),
            (self.hash.feature(), known("HASH")),
            ("MDTM".to_owned(), known("MDTM")),
            ("MLST type*;size*;modify*;".to_owned(), known("MLST")),
            ("RANG STREAM".to_owned(), known("RANG")),
            ("REST STREAM".to_owned(), known("REST")),
            ("SIZE".to_owned(), known("SIZE")),
            ("TVFS".to_owned(), true),
            ("UTF8".to_owned(), known("UTF8")),
            ("XCRC".to_owned(), known("XCRC")),
        ];
        let mut lines = vec!["Features:".to_owned()];
        lines.extend(all.into_iter().filter(|(_, offered)| *offered).map(|(line, _)| line));
        lines.push("End".to_owned());
        Reply::lines(211, lines)
    }

    fn set_option(&mut self, option: &str) -> Reply {
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        match name.to_ascii_uppercase().as_str() {
            "UTF8" | "UTF-8" => {
                Reply::new(self.shared.behaviour.utf8_option, "Always in UTF8 mode.")
            }
            "MLST" if self.shared.behaviour.knows("MLST") => {
                Reply::new(200, "MLST OPTS type;size;modify;")
            }
            "HASH" if self.shared.behaviour.knows("HASH") => self.hash.choose(value),
            _ => Reply::new(501, "Option not understood."),
        }
    }
}

fn only(value: &str, known: &str, what: &str) -> Reply {
    if value.eq_ignore_ascii_case(known) {
        Reply::new(200, format!("{what} set."))
    } else {
        Reply::new(504, format!("{what} {value} is not implemented."))
    }
}
