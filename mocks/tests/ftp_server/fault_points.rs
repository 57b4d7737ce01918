//! Every fault at every point of every command: that it fires, what the client sees, and
//! whether the command had its effect.

use std::{fs, path::Path, time::Duration};

use ferryway_mocks::ftp_server::{Action, Behaviour, Cut, Disk, FtpServer, Rule, When};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{LIMIT, client::Client, serve};

/// How long a silence is listened to.
const QUIET: Duration = Duration::from_millis(100);
/// How long a half-open session lives.
const GIVEN_UP: Duration = Duration::from_millis(500);
/// How many servers there are at a time.
const AT_A_TIME: usize = 32;
/// What every file holds, and every upload sends.
const CONTENT: &[u8] = b"0123456789";

/// A command, in a folder with the file `f` and the empty folder `d`.
struct Command {
    /// What is said before, to be answered without an error.
    before: &'static [&'static str],
    line: &'static str,
    /// The last reply when nothing goes wrong.
    code: u16,
    /// The name that the command makes, or with `!` before it takes away.
    effect: Option<&'static str>,
}

const fn command(
    before: &'static [&'static str],
    line: &'static str,
    code: u16,
    effect: Option<&'static str>,
) -> Command {
    Command { before, line, code, effect }
}

const COMMANDS: &[Command] = &[
    command(&[], "USER ferry", 331, None),
    command(&["USER ferry"], "PASS x", 230, None),
    command(&[], "FEAT", 211, None),
    command(&[], "SYST", 215, None),
    command(&[], "NOOP", 200, None),
    command(&[], "TYPE I", 200, None),
    command(&[], "PWD", 257, None),
    command(&[], "CWD d", 250, None),
    command(&[], "CDUP", 250, None),
    command(&[], "EPSV", 229, None),
    command(&[], "PASV", 227, None),
    command(&[], "SIZE f", 213, None),
    command(&[], "MDTM f", 213, None),
    command(&[], "MLST f", 250, None),
    command(&[], "HASH f", 213, None),
    command(&[], "XCRC f", 250, None),
    command(&[], "REST 3", 350, None),
    command(&[], "RNFR f", 350, None),
    command(&["RNFR f"], "RNTO new", 250, Some("new")),
    command(&[], "DELE f", 250, Some("!f")),
    command(&[], "MKD new", 257, Some("new")),
    command(&[], "RMD d", 250, Some("!d")),
    command(&[], "STOR new", 226, Some("new")),
    command(&[], "APPE new", 226, Some("new")),
    command(&[], "RETR f", 226, None),
    command(&[], "LIST", 226, None),
    command(&[], "NLST", 226, None),
    command(&[], "MLSD", 226, None),
    command(&[], "QUIT", 221, None),
];

/// What a client sees of a command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Code(u16),
    Cut,
    Silence,
}

impl Command {
    fn verb(&self) -> &'static str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn moves(&self) -> bool {
        matches!(self.verb(), "STOR" | "APPE" | "RETR" | "LIST" | "NLST" | "MLSD")
    }

    /// Whether its effect is there; `None` when it has none to be seen.
    fn effect(&self, folder: &Path) -> Option<bool> {
        let name = self.effect?;
        Some(match name.strip_prefix('!') {
            Some(gone) => !folder.join(gone).exists(),
            None => folder.join(name).exists(),
        })
    }

    /// What is to be seen when `action` happens at `when`.
    fn expected(&self, when: When, action: &Action) -> Seen {
        match (when, action) {
            // The reply has been sent.
            (When::Reply, _) | (_, Action::Mark | Action::EndOfData | Action::Corrupt) => {
                Seen::Code(self.code)
            }
            (_, Action::Reply(code, _)) => Seen::Code(*code),
            (_, Action::Cut(Cut::Silence) | Action::Stall) => Seen::Silence,
            _ => Seen::Cut,
        }
    }
}

/// A client that says one command to a server with one fault.
struct Scene {
    server: FtpServer,
    folder: TempDir,
    client: Client,
    data: Option<TcpStream>,
    received: Vec<u8>,
}

impl Scene {
    async fn set(action: &Action) -> Self {
        let mut behaviour = Behaviour::default();
        if matches!(action, Action::Cut(Cut::HalfOpen)) {
            (behaviour.idle_timeout, behaviour.data_timeout) = (GIVEN_UP, GIVEN_UP);
        }
        let (server, folder) = serve(behaviour).await;
        fs::write(folder.path().join("f"), CONTENT).unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        let client = Client::login(&server).await;
        Self { server, folder, client, data: None, received: Vec::new() }
    }

    /// Has the command meet the fault, and goes through with what comes of it.
    async fn play(&mut self, command: &Command, when: When, action: Action) {
        let told = format!("{} {when:?} {action:?}", command.line);
        for line in command.before {
            assert!(self.client.code(line).await < 400, "{told}");
        }
        if command.moves() {
            self.data = Some(self.client.passive().await);
        }
        let rule = Rule::new(command.verb(), when, action.clone());
        let fault = self.server.faults().add(rule);
        self.client.send(command.line).await;
        let expected = command.expected(when, &action);
        let seen = self.listen(command, expected == Seen::Silence).await;
        assert_eq!(seen, expected, "{told}\n{}", self.server.transcript());
        fault.wait(LIMIT).await.unwrap();
        let happened = when != When::Before || matches!(action, Action::Mark);
        if let (Some(effect), false) = (command.effect(self.folder.path()), is_data(when)) {
            assert_eq!(effect, happened, "{told}");
        }
        match action {
            Action::Stall => {
                fault.release();
                if when != When::Reply {
                    let seen = self.listen(command, false).await;
                    assert_eq!(seen, Seen::Code(command.code), "{told}");
                }
                assert_ne!(command.effect(self.folder.path()), Some(false), "{told}");
            }
            Action::Cut(cut) => {
                if cut == Cut::Silence {
                    self.server.cut_all(Cut::Fin);
                }
                assert!(self.client.is_cut().await, "{told}");
                assert!(self.server.wait_for_sessions(0, LIMIT).await, "{told}");
            }
            _ if command.verb() == "QUIT" => {}
            _ => assert_eq!(self.client.code("NOOP").await, 200, "{told}"),
        }
        assert_eq!(fault.fired(), 1, "{told}");
    }

    /// The last reply that comes, the data moved on the way.
    async fn listen(&mut self, command: &Command, silent: bool) -> Seen {
        loop {
            let limit = if silent { QUIET } else { LIMIT };
            match (timeout(limit, self.client.try_reply()).await, self.data.take()) {
                (Ok(Some(reply)), Some(data)) if reply.code == 150 => {
                    self.transfer(command, data, limit).await;
                }
                (Ok(Some(reply)), _) => return Seen::Code(reply.code),
                (Ok(None), _) => return Seen::Cut,
                (Err(_), data) => {
                    self.data = data;
                    return Seen::Silence;
                }
            }
        }
    }

    async fn transfer(&mut self, command: &Command, mut data: TcpStream, limit: Duration) {
        // A fault may cut it short; the reply tells.
        if matches!(command.verb(), "STOR" | "APPE") {
            let _cut = data.write_all(CONTENT).await;
            let _cut = data.shutdown().await;
        } else {
            let _cut = timeout(limit, data.read_to_end(&mut self.received)).await;
        }
    }
}

fn is_data(when: When) -> bool {
    matches!(when, When::DataByte(_))
}

/// What may happen anywhere.
fn actions() -> Vec<Action> {
    let cuts = [Cut::Fin, Cut::Rst, Cut::Silence, Cut::HalfOpen].map(Action::Cut);
    let others = [Action::Stall, Action::Mark];
    cuts.into_iter().chain(others).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_fires_at_every_point_of_every_command() {
    let mut scenes = JoinSet::new();
    let refusal = || Action::Reply(450, "Busy.".to_owned());
    for command in COMMANDS {
        for when in [When::Before, When::After, When::Reply] {
            let refusals = (when != When::Reply).then(refusal);
            for action in actions().into_iter().chain(refusals) {
                if scenes.len() == AT_A_TIME {
                    scenes.join_next().await.unwrap().unwrap();
                }
                scenes.spawn(async move {
                    Scene::set(&action).await.play(command, when, action).await;
                });
            }
        }
    }
    scenes.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_fires_at_any_byte_of_the_data() {
    let mut scenes = JoinSet::new();
    let own = || [Action::EndOfData, Action::Corrupt, Action::Reply(452, "Full.".to_owned())];
    let transfers = COMMANDS.iter().filter(|command| matches!(command.code, 226));
    for command in transfers.filter(|command| !matches!(command.verb(), "LIST" | "NLST" | "MLSD")) {
        for byte in [0, 1, 5, 9, 10] {
            for action in actions().into_iter().chain(own()) {
                if scenes.len() == AT_A_TIME {
                    scenes.join_next().await.unwrap().unwrap();
                }
                scenes.spawn(async move {
                    let mut scene = Scene::set(&action).await;
                    scene.play(command, When::DataByte(byte), action.clone()).await;
                    let moved = match command.verb() {
                        "RETR" => scene.received,
                        _ => fs::read(scene.folder.path().join("new")).unwrap(),
                    };
                    let told = format!("{} {byte} {action:?}", command.line);
                    let at = usize::try_from(byte).unwrap();
                    match action {
                        Action::Mark => assert_eq!(moved, CONTENT, "{told}"),
                        // The bytes that a client has read before the silence are not lost.
                        Action::Stall if command.verb() == "RETR" => {}
                        Action::Stall => assert_eq!(moved, CONTENT, "{told}"),
                        Action::Corrupt => {
                            let mut changed = CONTENT.to_vec();
                            changed.iter_mut().skip(at).take(1).for_each(|byte| *byte = !*byte);
                            assert_eq!(moved, changed, "{told}");
                        }
                        // A reset may overtake the bytes before it.
                        Action::Cut(Cut::Rst) if command.verb() == "RETR" => {
                            assert!(CONTENT[..at].starts_with(&moved), "{told}");
                        }
                        _ => assert_eq!(moved, CONTENT[..at], "{told}"),
                    }
                });
            }
        }
    }
    scenes.join_all().await;
}

#[tokio::test]
async fn an_acknowledged_rename_is_undone_by_a_loss_of_power() {
    for cut in [Cut::Fin, Cut::Rst, Cut::Silence] {
        let (server, folder) = serve(Behaviour::default()).await;
        let at = |name: &str| folder.path().join(name);
        fs::write(at("partial"), "new").unwrap();
        fs::write(at("target"), "old").unwrap();
        fs::create_dir(at("e1")).unwrap();
        let fault = server.faults().add(Rule::undone_rnto(cut).on_path("target"));
        let (mut client, mut other) = (Client::login(&server).await, Client::login(&server).await);
        assert_eq!(client.code("RNFR e1").await, 350);
        assert_eq!(client.code("RNTO e2").await, 250);
        assert_eq!(client.code("RNFR partial").await, 350);
        assert_eq!(client.code("RNTO target").await, 250);
        fault.wait(LIMIT).await.unwrap();
        if cut == Cut::Silence {
            other.send("NOOP").await;
            assert!(timeout(QUIET, other.try_reply()).await.is_err(), "a dead server answers");
        } else {
            assert!(client.is_cut().await && other.is_cut().await);
        }
        // It has started again.
        let mut client = Client::login(&server).await;
        assert_eq!(client.download("RETR partial").await, (b"new".to_vec(), 226));
        assert_eq!(client.download("RETR target").await, (b"old".to_vec(), 226));
        // The earlier rename has lasted.
        assert!(at("e2").exists() && !at("e1").exists());
        server.lose_power(Cut::Fin);
        assert!(at("e2").exists(), "a rename that was undone leaves nothing to undo");
    }
}

#[tokio::test]
async fn a_renamed_folder_goes_back_when_the_power_is_lost() {
    let (server, folder) = serve(Behaviour::default()).await;
    fs::create_dir(folder.path().join("e1")).unwrap();
    fs::write(folder.path().join("e1/a"), "x").unwrap();
    let mut client = Client::login(&server).await;
    client.code("RNFR e1").await;
    assert_eq!(client.code("RNTO e2").await, 250);
    server.lose_power(Cut::Rst);
    assert!(client.is_cut().await);
    assert!(folder.path().join("e1/a").exists() && !folder.path().join("e2").exists());
}

/// A client that vanishes in mid-upload: the second writer's code at once, and after the
/// first session has gone.
#[tokio::test]
async fn a_half_open_session_keeps_its_lock_until_it_is_given_up() {
    for (data_timeout, given_up) in [(GIVEN_UP, true), (Duration::MAX, false)] {
        let behaviour = Behaviour { data_timeout, ..Behaviour::pyftpdlib_with_flock() };
        let (server, _folder) = serve(behaviour).await;
        let fault = server.faults().add(Rule::cut_at("STOR", 5, Cut::HalfOpen));
        let mut first = Client::login(&server).await;
        let (mut data, _) = first.begin("STOR target").await;
        data.write_all(CONTENT).await.unwrap();
        fault.wait(LIMIT).await.unwrap();
        let mut second = Client::login(&server).await;
        assert_eq!(second.upload("STOR target", b"second").await, 550);
        if given_up {
            assert!(server.wait_for_sessions(1, LIMIT).await);
            assert_eq!(second.upload("STOR target", b"second").await, 226);
        } else {
            assert!(!server.wait_for_sessions(1, QUIET).await);
            assert_eq!(second.upload("STOR target", b"second").await, 550);
            server.cut_all(Cut::Fin);
            assert!(server.wait_for_sessions(0, LIMIT).await);
        }
    }
}

#[tokio::test]
async fn a_client_that_falls_silent_in_an_upload_is_told_426_and_then_421() {
    let (idle_timeout, data_timeout) = (GIVEN_UP, GIVEN_UP);
    let (server, folder) =
        serve(Behaviour { idle_timeout, data_timeout, ..Behaviour::default() }).await;
    let mut client = Client::login(&server).await;
    let (mut data, _) = client.begin("STOR a").await;
    data.write_all(CONTENT).await.unwrap();
    assert_eq!(client.reply().await.code, 426);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), CONTENT);
    assert_eq!(client.reply().await.code, 421);
    assert!(client.is_cut().await);
}

#[tokio::test]
async fn every_session_can_vanish_at_once() {
    let (server, _folder) =
        serve(Behaviour { idle_timeout: GIVEN_UP, ..Behaviour::default() }).await;
    let mut client = Client::login(&server).await;
    server.cut_all(Cut::HalfOpen);
    client.send("NOOP").await;
    assert!(client.is_cut().await);
    assert!(server.wait_for_sessions(0, LIMIT).await);
}

#[tokio::test]
async fn a_disk_heals_at_the_point_that_is_planned() {
    for (broken, code) in [(Disk::FullAfter(5), 451), (Disk::ReadOnly, 550), (Disk::Vanished, 550)]
    {
        let (server, folder) = serve(Behaviour::default()).await;
        server.set_disk(broken);
        let heals = Rule::new("STOR", When::Before, Action::Disk(Disk::Normal)).nth(2);
        let fault = server.faults().add(heals);
        let mut client = Client::login(&server).await;
        assert_eq!(client.upload("STOR a", CONTENT).await, code, "{broken:?}");
        assert_eq!(client.upload("STOR a", CONTENT).await, 226, "{broken:?}");
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), CONTENT);
        assert_eq!(fault.fired(), 1);
    }
}
