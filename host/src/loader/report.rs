//! The list of plugins as an operator or a program reads it.

use std::{fmt, path::PathBuf};

use ferryway_core::transport::{Capabilities, Rename, Resume};
use serde::Serialize;

use super::{LoadError, Plugin, Plugins, Shadowed};

/// Renders what became of the files found, for `ferryway plugins`. `Display` is for people,
/// `Serialize` for programs.
pub fn plugins_report(plugins: &Plugins) -> Report {
    Report {
        loaded: plugins.loaded.iter().map(Loaded::of).collect(),
        shadowed: plugins.shadowed.iter().map(Left::of).collect(),
        refused: plugins.refused.iter().map(Refused::of).collect(),
        searched: plugins.searched.clone(),
    }
}

/// The list of plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    loaded: Vec<Loaded>,
    shadowed: Vec<Left>,
    refused: Vec<Refused>,
    searched: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loaded.is_empty() {
            writeln!(f, "No plugin is loaded. Searched, in this order:")?;
            for folder in &self.searched {
                writeln!(f, "    {}", folder.display())?;
            }
        }
        for Loaded { transport, name, version, path, capabilities } in &self.loaded {
            writeln!(f, "{transport}  {name} {version}  {}", path.display())?;
            writeln!(f, "    {capabilities}")?;
        }
        for Left { name, version, path, by } in &self.shadowed {
            let (path, by) = (path.display(), by.display());
            writeln!(f, "left out  {name} {version}  {path}\n    {by} was found first")?;
        }
        for Refused { path, reason, cure, .. } in &self.refused {
            writeln!(f, "refused  {}\n    {reason}\n    to do: {cure}", path.display())?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Loaded {
    /// What a configuration calls it.
    transport: String,
    name: String,
    version: String,
    path: PathBuf,
    capabilities: Summary,
}

impl Loaded {
    fn of(plugin: &Plugin) -> Self {
        Self {
            transport: plugin.transport.name().to_owned(),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            path: plugin.path.clone(),
            capabilities: Summary::of(&plugin.transport.capabilities()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Left {
    name: String,
    version: String,
    path: PathBuf,
    by: PathBuf,
}

impl Left {
    fn of(shadowed: &Shadowed) -> Self {
        let Shadowed { path, name, version, by } = shadowed.clone();
        Self { name, version, path, by }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Refused {
    path: PathBuf,
    code: &'static str,
    reason: String,
    cure: String,
}

impl Refused {
    fn of(error: &LoadError) -> Self {
        let LoadError { path, refusal } = error;
        let (reason, cure) = (refusal.to_string(), refusal.cure());
        Self { path: path.clone(), code: refusal.code(), reason, cure }
    }
}

/// Capabilities in words that do not change with the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Summary {
    resume: bool,
    rename: &'static str,
    size: bool,
    folders: bool,
    lists_hidden: bool,
    checksums: Vec<String>,
    epoch_fencing: bool,
    notices: bool,
}

impl Summary {
    fn of(capabilities: &Capabilities) -> Self {
        Self {
            resume: capabilities.resume == Resume::AtOffset,
            rename: match capabilities.rename {
                Rename::Replaces => "replaces",
                Rename::RefusesExisting => "refuses existing",
                Rename::Unknown => "unknown before a try",
                Rename::Unsupported => "unsupported",
            },
            size: capabilities.size,
            folders: capabilities.folders,
            lists_hidden: capabilities.lists_hidden,
            checksums: capabilities.checksums.iter().map(ToString::to_string).collect(),
            epoch_fencing: capabilities.epoch_fencing,
            notices: capabilities.notices,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let checksums = match self.checksums.as_slice() {
            [] => "none".to_owned(),
            some => some.join(" "),
        };
        write!(
            f,
            "resume: {}; rename: {}; size: {}; folders: {}; lists hidden: {}; checksums: \
             {checksums}; epoch fencing: {}; notices: {}",
            yes_no(self.resume),
            self.rename,
            yes_no(self.size),
            yes_no(self.folders),
            yes_no(self.lists_hidden),
            yes_no(self.epoch_fencing),
            yes_no(self.notices),
        )
    }
}
