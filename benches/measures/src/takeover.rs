//! Takeovers by real hosts, from the start of the process on, and what such a host does then: its
//! jobs go to a mock FTP server in this process, which tells when the first byte came.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use ferryway_core::JobId;
use ferryway_host::control::{api::SubmitRequest, client::Client};
use ferryway_mocks::ftp_server::{Behaviour, FtpServer};
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    Failure,
    jobs::{DEFINITION, FILE_BYTES, INSTANCE, PARTNER, source},
    median,
};

/// Nothing here takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// Where the partner keeps its files: in memory. On ext4 without a journal each new file passes over
/// the inodes of all that were removed in the last minutes: each round would slow down the next.
const PARTNER_FOLDER: &str = "/dev/shm";

/// Jobs in one request.
const PORTION: usize = 1000;

/// What is seen of one host.
#[derive(Debug, Default)]
struct Seen {
    /// Seconds from the start of the process until it says that it is ready.
    ready: f64,
    /// Seconds from the start of the process to the first byte at the partner; 0 with nothing to move.
    first_byte: f64,
    /// Resident memory when ready, in MiB.
    resident: f64,
}

/// Lets `rounds` hosts take over the same state of an install directory, one after the other, and
/// the last one move `jobs` more jobs. Prints a line with tabs: seconds until ready (median, least,
/// most), seconds to the first byte (median, least, most), MiB of memory when ready, jobs a second and
/// MiB of memory at their end, and MiB of the journal that was copied.
///
/// # Errors
/// When a host does not start or does not come to its end.
pub async fn measure(
    install: &Path,
    programs: &Path,
    rounds: u32,
    jobs: usize,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(install.parent().ok_or("an install directory has a parent")?)?;
    let root = tempfile::tempdir_in(PARTNER_FOLDER)?;
    fs::create_dir(root.path().join("in"))?;
    let server = FtpServer::builder(root.path()).behaviour(Behaviour::vsftpd()).start().await?;
    prepare(install, programs, server.addr().port())?;
    let saved = Saved::of(install, place.path().join("saved"))?;
    let mut seen = Vec::new();
    let mut worked = (0.0, 0.0);
    for round in 1..=rounds {
        saved.restore()?;
        let run_dir = place.path().join(format!("run{round}"));
        fs::create_dir(&run_dir)?;
        let (one, mut host) = start(install, programs, &run_dir, &server).await?;
        seen.push(one);
        if round == rounds && jobs > 0 {
            worked = work(&run_dir, &host, install, jobs).await?;
        }
        host.kill().await?;
    }
    saved.restore()?;
    print(&seen, worked, saved.bytes()?);
    Ok(())
}

fn print(seen: &[Seen], (jobs, memory): (f64, f64), copied: f64) {
    let spread = |of: fn(&Seen) -> f64| {
        let values: Vec<f64> = seen.iter().map(of).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        format!("{:.3}\t{least:.3}\t{most:.3}", median(&values))
    };
    let resident: Vec<f64> = seen.iter().map(|one| one.resident).collect();
    println!(
        "{}\t{}\t{:.1}\t{jobs:.0}\t{memory:.1}\t{copied:.1}",
        spread(|one| one.ready),
        spread(|one| one.first_byte),
        median(&resident)
    );
}

/// Gives the install directory a configuration, the plugins and the file that all jobs send.
fn prepare(install: &Path, programs: &Path, port: u16) -> Result<(), Failure> {
    for folder in ["definitions", "plugins", "logs", "exits", "tools/master", "data/send"] {
        fs::create_dir_all(install.join(folder))?;
    }
    let plugin = "libferryway_ftp.so";
    fs::copy(programs.join(plugin), install.join("plugins").join(plugin))?;
    fs::write(source(install), vec![7; usize::try_from(FILE_BYTES)?])?;
    let host = format!(
        "[instance]\nname = \"{INSTANCE}\"\n[roots]\nsend = [\"data/send\"]\n\
         [partners.{PARTNER}]\ntransport = \"ftp\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         user = \"anonymous\"\npassword = \"scale\"\ntls = \"off\"\nsessions = 4\n"
    );
    let definition = format!(
        "[[definition]]\nid = \"{DEFINITION}\"\npartner = \"{PARTNER}\"\ndirection = \"send\"\n\
         remote = \"in/{{job}}\"\n"
    );
    let files = [("ferryway.toml", host), ("definitions/scale.toml", definition)];
    for (name, text) in files {
        fs::write(install.join(name), text)?;
        fs::set_permissions(install.join(name), fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

async fn start(
    install: &Path,
    programs: &Path,
    run_dir: &Path,
    server: &FtpServer,
) -> Result<(Seen, Child), Failure> {
    let manager = run_dir.join("notify");
    let ears = UnixDatagram::bind(&manager)?;
    let before = server.transfers().len();
    let started = Instant::now();
    let host = Command::new(programs.join("ferryway"))
        .arg("run")
        .arg(install)
        .env("FERRYWAY_RUN_DIR", run_dir)
        .env("NOTIFY_SOCKET", &manager)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    timeout(LIMIT, hear_ready(&ears)).await.map_err(|_| "the host does not become ready")??;
    let mut seen = Seen { ready: started.elapsed().as_secs_f64(), ..Seen::default() };
    seen.resident = resident(&host)?;
    let client = Client::new(run_dir);
    if client.health().await?.in_flight > 0 || server.transfers().len() > before {
        let first = first_byte(server, before);
        let first = timeout(LIMIT, first).await.map_err(|_| "no byte comes")?;
        seen.first_byte = first.duration_since(started).as_secs_f64();
    }
    Ok((seen, host))
}

async fn hear_ready(ears: &UnixDatagram) -> Result<(), Failure> {
    let mut word = [0; 4096];
    loop {
        let length = ears.recv(&mut word).await?;
        if word[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}

async fn first_byte(server: &FtpServer, before: usize) -> Instant {
    loop {
        let transfers = server.transfers();
        let first = transfers.iter().skip(before).filter_map(|transfer| transfer.first_byte_at);
        if let Some(first) = first.min() {
            return first;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Resident memory of a host, in MiB.
fn resident(host: &Child) -> Result<f64, Failure> {
    let id = host.id().ok_or("the host has ended")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?.parse()?;
    Ok(kib / 1024.0)
}

/// Lets a host move so many jobs: how many a second, and its resident memory at the end.
async fn work(
    run_dir: &Path,
    host: &Child,
    install: &Path,
    jobs: usize,
) -> Result<(f64, f64), Failure> {
    let client = Client::new(run_dir);
    // What was in flight goes first.
    let waiting: Vec<JobId> = client.jobs().await?.into_iter().map(|view| view.job.id).collect();
    all_done(&client, &waiting).await?;
    let request = SubmitRequest {
        definition: DEFINITION.parse()?,
        local: Some(source(install)),
        remote: None,
        key: None,
    };
    let started = Instant::now();
    let mut ids = Vec::with_capacity(jobs);
    let mut left = jobs;
    while left > 0 {
        let portion = left.min(PORTION);
        left -= portion;
        let accepted = client.submit(&vec![request.clone(); portion]).await?;
        ids.extend(accepted.into_iter().map(|job| job.id));
    }
    all_done(&client, &ids).await?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let jobs = jobs as f64;
    Ok((jobs / started.elapsed().as_secs_f64(), resident(host)?))
}

async fn all_done(client: &Client, ids: &[JobId]) -> Result<(), Failure> {
    let deadline = Instant::now() + 5 * LIMIT;
    for portion in ids.chunks(PORTION) {
        while client.wait(portion, LIMIT).await?.iter().any(|job| job.status.in_flight()) {
            if Instant::now() > deadline {
                return Err("the jobs do not come to their end".into());
            }
        }
    }
    Ok(())
}

/// A journal as it was, but for the history: each host takes over the same.
struct Saved {
    journal: PathBuf,
    copy: PathBuf,
    history: Vec<PathBuf>,
}

impl Saved {
    fn of(install: &Path, copy: PathBuf) -> Result<Self, Failure> {
        let journal = install.join("journal");
        let history = names(&journal.join("hist"))?;
        copy_files(&journal, &copy)?;
        Ok(Self { journal, copy, history })
    }

    fn restore(&self) -> Result<(), Failure> {
        for path in names(&self.journal)? {
            match path.is_dir() {
                true if path.ends_with("hist") => {}
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
        for path in names(&self.journal.join("hist"))? {
            if !self.history.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        copy_files(&self.copy, &self.journal)
    }

    /// The size of the newest database that was saved, in MiB.
    fn bytes(&self) -> Result<f64, Failure> {
        let mut most = 0;
        for folder in names(&self.copy)? {
            most = most.max(fs::metadata(folder.join("journal.db")).map_or(0, |file| file.len()));
        }
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        let mib = most as f64 / 1_048_576.0;
        Ok(mib)
    }
}

fn names(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

/// Copies the files of a journal's folder, and those of its epochs' folders.
fn copy_files(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for path in names(from)? {
        let target = to.join(path.file_name().ok_or("a file has a name")?);
        match path.is_dir() {
            true if path.ends_with("hist") => {}
            true => copy_files(&path, &target)?,
            false => drop(fs::copy(path, target)?),
        }
    }
    Ok(())
}
