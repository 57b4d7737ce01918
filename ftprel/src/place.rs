//! Which installation and which host the command line means.

use std::{
    env,
    path::{Path, PathBuf},
};

use ferryway_host::config::{Environment, InstallDir};

use crate::{
    args::PlaceArgs,
    exit::{Exit, Failure, Result},
};

/// An installation and its host.
#[derive(Debug)]
pub(crate) struct Place {
    /// The install directory; `None` when only the run directory is known.
    pub(crate) install: Option<InstallDir>,
    /// The run directory.
    pub(crate) run_dir: PathBuf,
}

impl Place {
    /// What the flags, the environment and the current directory say, in this order.
    ///
    /// # Errors
    /// When they name no installation, or its `ferryway.toml` cannot be read.
    pub(crate) fn resolve(args: &PlaceArgs) -> Result<Self> {
        let environment = Environment::of_process();
        let install = match (&args.dir, environment.variable("FERRYWAY_DIR")) {
            (Some(dir), _) => Some(install_dir(dir)?),
            (None, Some(dir)) => Some(install_dir(Path::new(dir))?),
            (None, None) => {
                let here = env::current_dir().ok().and_then(|here| InstallDir::new(&here).ok());
                here.filter(|here| here.config_file().is_file())
            }
        };
        let given = args.run_dir.clone();
        let given = given.or_else(|| environment.variable("FERRYWAY_RUN_DIR").map(PathBuf::from));
        let run_dir = match (given, &install) {
            (Some(run_dir), _) => run_dir,
            (None, Some(install)) => configured_run_dir(install, &environment)?,
            (None, None) => {
                return Err(Failure::new(Exit::Usage, "no installation is named").hint(
                    "name one with --dir or FERRYWAY_DIR, or call ftprel in an install directory",
                ));
            }
        };
        Ok(Self { install, run_dir })
    }
}

fn install_dir(path: &Path) -> Result<InstallDir> {
    let install = InstallDir::new(path).map_err(|error| unusable(path, &error.to_string()))?;
    match install.config_file().try_exists() {
        Ok(true) => Ok(install),
        Ok(false) => Err(unusable(path, "it has no `ferryway.toml`")),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unusable(path: &Path, reason: &str) -> Failure {
    Failure::new(Exit::Usage, format!("`{}` is no install directory: {reason}", path.display()))
}

fn configured_run_dir(install: &InstallDir, environment: &Environment) -> Result<PathBuf> {
    install.run_dir(environment).map_err(|reason| {
        Failure::new(Exit::Failed, reason)
            .hint("`ferryway check` tells more; --run-dir works without the file")
    })
}
