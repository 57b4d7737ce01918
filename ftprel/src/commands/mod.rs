//! The commands, one file each.

mod cancel;
mod completions;
mod health;
mod history;
mod hold;
mod list;
mod man;
mod order;
mod probe;
mod release;
mod reload;
mod restart;
mod show;
mod submit;
mod watch;

use ferryway_host::control::client::Client;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Result},
    place::Place,
};

/// What every command that talks to a host needs.
#[derive(Debug)]
struct Context {
    place: Place,
    client: Client,
    json: bool,
}

/// Does what the command line says.
///
/// # Errors
/// When it is not done.
pub(crate) async fn run(cli: Cli) -> Result<Exit> {
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        _ => {}
    }
    let place = Place::resolve(&cli.place)?;
    let client = Client::new(&place.run_dir);
    let context = Context { place, client, json: cli.json };
    match cli.command {
        Command::Submit(args) => submit::run(args, &context).await,
        Command::List(args) => list::run(args, &context).await,
        Command::Show(args) => show::run(args, &context).await,
        Command::Watch(args) => watch::run(args, &context).await,
        Command::Restart(args) => restart::run(args, &context).await,
        Command::Hold(args) => hold::run(args, &context).await,
        Command::Release(args) => release::run(args, &context).await,
        Command::Cancel(args) => cancel::run(args, &context).await,
        Command::History(args) => history::run(args, &context).await,
        Command::Health(args) => health::run(args, &context).await,
        Command::Probe(args) => probe::run(args, &context).await,
        Command::Reload => reload::run(&context).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
