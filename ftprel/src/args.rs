//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ferryway_core::{DefinitionId, JobId, PartnerName, RemotePath};
use jiff::Timestamp;

use ferryway_host::control::api::SILENCE_LIMIT;

use crate::{exit::Exit, filter::StatusFilter, time};

/// The operator's tool of Ferryway: submits, watches and steers transfer jobs.
#[derive(Debug, Parser)]
#[command(name = "ftprel", version, about, after_help = exit_codes(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which installation is meant.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// The install directory [default: FERRYWAY_DIR, else the current directory]
    #[arg(long, global = true, value_name = "INSTALL")]
    pub(crate) dir: Option<PathBuf>,
    /// The run directory with the host's socket [default: FERRYWAY_RUN_DIR, else the
    /// configured one]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit jobs: one for each file, or one for the definition's own file
    Submit(SubmitArgs),
    /// List the jobs in flight
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show everything on record about a job
    Show(ShowArgs),
    /// Watch jobs until they have ended or are suspended; without ids, all in flight
    Watch(WatchArgs),
    /// Try jobs at once, or once more
    Restart(RestartArgs),
    /// Stop jobs and keep them until they are released
    Hold(JobsArgs),
    /// Let held or suspended jobs go on
    Release(JobsArgs),
    /// End jobs
    Cancel(JobsArgs),
    /// List jobs that ended, the newest first
    History(HistoryArgs),
    /// Tell how the host is
    #[command(visible_alias = "status")]
    Health(HealthArgs),
    /// Try out what a partner's server does, and tell the settings that suit it
    Probe(ProbeArgs),
    /// Have the host read its definitions again
    Reload,
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Write the manual pages, one for the tool and one for each command
    Man(ManArgs),
}

/// Arguments of `submit`.
#[derive(Args, Debug)]
pub(crate) struct SubmitArgs {
    /// The definition
    #[arg(value_name = "DEF")]
    pub(crate) definition: DefinitionId,
    /// Files on this side, each a job of its own
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Read more files from a list, one a line; `-` is the standard input
    #[arg(long, value_name = "LIST")]
    pub(crate) from_file: Option<PathBuf>,
    /// The file on the partner's side; ending in `/`, the folder to put the files in
    #[arg(long, value_name = "PATH", value_parser = remote)]
    pub(crate) remote: Option<String>,
    /// A key of your own: submitting twice with one key makes one job. With several files
    /// each gets the key KEY:FILE
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Wait until the jobs have ended or are suspended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait at most so many seconds
    #[arg(long, value_name = "S", requires = "wait")]
    pub(crate) timeout: Option<u32>,
}

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// The last hundred finished jobs too
    #[arg(long)]
    pub(crate) all: bool,
    /// Only jobs of this definition
    #[arg(long, value_name = "DEF")]
    pub(crate) definition: Option<DefinitionId>,
    /// Only jobs of this status: two digits such as 05, or a word such as suspended or failed
    #[arg(long)]
    pub(crate) status: Option<StatusFilter>,
}

/// Arguments of `show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The job, such as PRDY014
    pub(crate) job: JobId,
}

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// The jobs, such as PRDY014
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<JobId>,
}

/// Arguments of `hold`, `release` and `cancel`.
#[derive(Args, Debug)]
pub(crate) struct JobsArgs {
    /// The jobs, such as PRDY014
    #[arg(value_name = "JOB", required = true)]
    pub(crate) jobs: Vec<JobId>,
}

/// Arguments of `restart`.
#[derive(Args, Debug)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Also when a job is delivered already, or a newer one delivered to the same target
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `history`.
#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// Only jobs of this definition
    #[arg(long, value_name = "DEF")]
    pub(crate) definition: Option<DefinitionId>,
    /// Only jobs that ended at or after this time: such as `2000-03-01 10:06`, or `2h` for two
    /// hours ago
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) since: Option<Timestamp>,
    /// Only jobs that ended before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub(crate) until: Option<Timestamp>,
    /// At most so many jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Go on after the last job of an earlier page, by its sequence number
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) before: Option<u64>,
}

/// Arguments of `health`.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    /// How deep to look
    #[arg(long, value_enum, default_value_t = Depth::Host)]
    pub(crate) depth: Depth,
    /// Wait at most so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,
}

/// Arguments of `probe`.
#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// The partner
    #[arg(value_name = "PARTNER")]
    pub(crate) partner: PartnerName,
    /// The folder on the partner to try it in [default: where sessions start]
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<RemotePath>,
    /// Also leave a session silent for so many seconds, and see whether it still answers
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=SILENCE_LIMIT.as_secs()))]
    pub(crate) silent: Option<u64>,
}

/// How deep a look at the host goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Depth {
    /// The host answers
    Host,
    /// Its journal also writes durably, and reads what it wrote
    Journal,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The folder for the pages, such as /usr/local/share/man/man1; it must exist
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

/// A path, or a folder with a `/` at its end.
fn remote(text: &str) -> Result<String, String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    path.parse::<RemotePath>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn exit_codes() -> String {
    let line = |exit: Exit| format!("  {}  {}\n", exit.code(), exit.meaning());
    let lines: String = Exit::EACH.into_iter().map(line).collect();
    format!(
        "Exit codes:\n{lines}\nOf several jobs, the first that fails decides.\n\nWhen no host is \
         running, list, show and history read the journal."
    )
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    const REFERENCE: &str = include_str!("../../docs/ftprel.md");

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_has_every_command_option_and_exit_code() {
        let mut command = Cli::command();
        command.build();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = sub.get_name();
            let heading = format!("\n### `ftprel {name}");
            let (_, section) = REFERENCE.split_once(&heading).expect(name);
            let section = section.split("\n### ").next().unwrap_or_default();
            for alias in sub.get_visible_aliases() {
                assert!(section.contains(&format!("`{alias}`")), "{name}: {alias}");
            }
            let own = sub.get_arguments().filter(|arg| !arg.is_global_set());
            for long in own.filter_map(|arg| arg.get_long()).filter(|long| *long != "help") {
                assert!(section.contains(&format!("`--{long}")), "{name} --{long}");
            }
        }
        for long in ["dir", "run-dir", "json"] {
            assert!(REFERENCE.contains(&format!("`--{long}")), "--{long}");
        }
        for exit in Exit::EACH {
            let line = format!("| {} | `{}` | {} |", exit.code(), exit.word(), exit.meaning());
            assert!(REFERENCE.contains(&line), "{line}");
        }
    }

    #[test]
    fn odd_job_ids_and_values_are_usage_errors() {
        let refused = |args: &[&str]| {
            let args = ["ftprel"].iter().chain(args);
            Cli::try_parse_from(args).expect_err("refused").kind()
        };
        for id in ["", "prdy014", "PRDY 014", "../x", "A\r\nB", "日本", &"X".repeat(27)] {
            assert_eq!(refused(&["show", id]), ErrorKind::ValueValidation, "{id:?}");
            assert_eq!(refused(&["hold", "A1", id]), ErrorKind::ValueValidation, "{id:?}");
        }
        assert_eq!(refused(&["submit", "TOOLONG1"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["submit", "A", "--remote", "../x"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["submit", "A", "--timeout", "1"]), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused(&["list", "--status", "sleeping"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["history", "--since", "soon"]), ErrorKind::ValueValidation);
        assert_eq!(refused(&["cancel"]), ErrorKind::MissingRequiredArgument);
    }
}
