//! Looking at what the partner holds: MLST, SIZE, MDTM, MLSD and NLST.

use ferryway_core::{
    RemotePath,
    bytes::Sink,
    transport::{EntryKind, Stat},
};

use crate::{
    classify::Failure,
    connect::Wire,
    control::{Answer, is_unknown_command},
    listing::{self, Entry},
};

/// The most that a listing may have, in bytes: a million long names.
const LISTING_LIMIT: usize = 256 * 1024 * 1024;

impl Wire {
    /// Looks at one path. The replies of FTP do not tell absence from denial, so `NotFound`
    /// comes only where a listing was needed anyway.
    pub(crate) async fn stat(&mut self, path: &RemotePath) -> Result<Stat, Failure> {
        if self.features.mlst {
            match self.stat_by_facts(path).await? {
                Some(stat) => return Ok(stat),
                None => tracing::debug!("MLST tells no type: SIZE and MDTM"),
            }
        }
        self.stat_by_size(path).await
    }

    /// The size of a file that was stored a moment ago; `None` where the partner does not show it.
    pub(crate) async fn stored_size(&mut self, path: &RemotePath) -> Result<Option<u64>, Failure> {
        let shown = match self.features.mlst {
            true => self.stat_by_facts(path).await.map(|stat| stat.and_then(|stat| stat.size)),
            false => self.size(path).await,
        };
        match shown {
            // Whoever looks next hears it.
            Err(Failure::Reply(_)) => Ok(None),
            shown => shown,
        }
    }

    /// MLST (RFC 3659 section 7.2); `None` when the server's facts are of no use.
    async fn stat_by_facts(&mut self, path: &RemotePath) -> Result<Option<Stat>, Failure> {
        let answer = self.control.ask(&format!("MLST {path}")).await?;
        if answer.is_unknown_command() {
            self.features.mlst = false;
            return Ok(None);
        }
        let answer = answer.done()?;
        // The entry is the line between the first and the last.
        let stat = answer.text.lines().nth(1).and_then(Entry::parse).and_then(|e| e.stat());
        Ok(stat.filter(|stat| stat.kind == EntryKind::Folder || stat.size.is_some()))
    }

    /// SIZE and MDTM (RFC 3659 sections 4 and 3). Only files have a size.
    async fn stat_by_size(&mut self, path: &RemotePath) -> Result<Stat, Failure> {
        let commands = [&*format!("SIZE {path}"), &format!("MDTM {path}")];
        let (size, time) = match (self.features.size, self.features.modified) {
            (true, true) => {
                let leads_on = |size: &Answer| size.is_done() || size.is_unknown_command();
                let (size, time) = self.control.ask_pair(commands, leads_on).await?;
                (Some(size), time)
            }
            (true, false) => (Some(self.control.ask(commands[0]).await?), None),
            (false, true) => (None, Some(self.control.ask(commands[1]).await?)),
            (false, false) => (None, None),
        };
        let size = match size.map(|answer| self.told_size(answer)) {
            Some(Err(refused @ Failure::Reply(_))) => return self.folder_or(path, refused).await,
            size => size.transpose()?.flatten(),
        };
        let mut modified = None;
        match time {
            Some(answer) if answer.is_unknown_command() => self.features.modified = false,
            Some(answer) if answer.is_done() => modified = listing::time(answer.body()),
            Some(answer) if size.is_none() => {
                return self.folder_or(path, Failure::Reply(answer.reply())).await;
            }
            _ => {}
        }
        if size.is_none() && modified.is_none() {
            return self.stat_by_listing(path).await;
        }
        Ok(Stat { kind: EntryKind::File, size, modified })
    }

    /// SIZE; `None` when the server does not have it.
    async fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, Failure> {
        if !self.features.size {
            return Ok(None);
        }
        let answer = self.control.ask(&format!("SIZE {path}")).await?;
        self.told_size(answer)
    }

    /// What the answer to SIZE tells; `None` when the server does not have it.
    fn told_size(&mut self, answer: Answer) -> Result<Option<u64>, Failure> {
        if answer.is_unknown_command() {
            self.features.size = false;
            return Ok(None);
        }
        let answer = answer.done()?;
        let size = answer.body().parse();
        size.map(Some).map_err(|_| Failure::Protocol(format!("no size in `{}`", answer.text)))
    }

    /// Where no command looks at a path: what can be entered is a folder, and what else its
    /// folder lists is a file.
    async fn stat_by_listing(&mut self, path: &RemotePath) -> Result<Stat, Failure> {
        let names = match path.parent() {
            None if path.as_str().starts_with('/') => {
                return Err(Failure::Unsupported("the partner cannot look at a path"));
            }
            parent => self.list(parent.as_ref()).await?,
        };
        let hidden = path.name().starts_with('.') && !self.lists_hidden();
        let absent = match hidden {
            true => Failure::Unavailable("the partner does not list hidden names"),
            false => Failure::NotFound,
        };
        if names.iter().any(|name| name == path.name()) {
            let file = Stat { kind: EntryKind::File, size: None, modified: None };
            return match self.folder_or(path, absent).await {
                Err(Failure::NotFound | Failure::Unavailable(_)) => Ok(file),
                folder => folder,
            };
        }
        Err(absent)
    }

    /// Whether a listing shows names that start with a dot, as far as this was seen.
    pub(crate) fn lists_hidden(&self) -> bool {
        self.features.mlst || self.nlst_shows_hidden == Some(true)
    }

    /// The path is a folder when the session can go there; else `failure` stands.
    async fn folder_or(&mut self, path: &RemotePath, failure: Failure) -> Result<Stat, Failure> {
        if matches!(&failure, Failure::Reply(reply) if reply.code == 421) {
            return Err(failure);
        }
        match self.enter(path).await {
            Ok(()) => {
                self.leave().await?;
                Ok(Stat { kind: EntryKind::Folder, size: None, modified: None })
            }
            Err(Failure::Reply(_)) => Err(failure),
            Err(lost) => Err(lost),
        }
    }

    /// The names in a folder.
    pub(crate) async fn list(
        &mut self,
        folder: Option<&RemotePath>,
    ) -> Result<Vec<String>, Failure> {
        if self.features.mlst {
            let command = folder.map_or_else(|| "MLSD".to_owned(), |path| format!("MLSD {path}"));
            match self.listing(&command).await {
                Err(Failure::Reply(reply)) if is_unknown_command(reply.code) => {
                    self.features.mlst = false;
                }
                text => {
                    return listing::mlsd(&text?).ok_or_else(|| {
                        Failure::Protocol("a line of MLSD makes no sense".to_owned())
                    });
                }
            }
        }
        // NLST takes its argument for a pattern, prints names with or without the path, and
        // some servers answer 226 where there is no such folder. Inside the folder none of
        // this matters.
        let Some(path) = folder else { return self.list_here().await };
        self.enter(path).await?;
        match self.list_here().await {
            Err(lost @ (Failure::Io(_) | Failure::Timeout(_) | Failure::Tls(_))) => Err(lost),
            names => {
                self.leave().await?;
                names
            }
        }
    }

    /// NLST (RFC 959 section 4.1.3) with the option `-a`, which is no standard: it works where
    /// the folder itself appears as `.`, as it then does in every folder.
    async fn list_here(&mut self) -> Result<Vec<String>, Failure> {
        if self.nlst_shows_hidden != Some(false) {
            match self.listing("NLST -a").await {
                Ok(text) => {
                    let listed = listing::nlst(&text);
                    if listed.lists_itself {
                        self.nlst_shows_hidden = Some(true);
                        return Ok(listed.names);
                    }
                    if self.nlst_shows_hidden == Some(true) {
                        return Err(Failure::Unavailable("the partner listed nothing at all"));
                    }
                }
                Err(Failure::Reply(reply)) if reply.code != 421 => {
                    if self.nlst_shows_hidden == Some(true) {
                        return Err(Failure::Reply(reply));
                    }
                }
                Err(lost) => return Err(lost),
            }
            self.nlst_shows_hidden = Some(false);
        }
        Ok(listing::nlst(&self.listing("NLST").await?).names)
    }

    async fn listing(&mut self, command: &str) -> Result<String, Failure> {
        let (sink, kept) = Sink::in_memory(LISTING_LIMIT);
        self.receive_listing(command, sink).await?;
        // What is not UTF-8 is replaced: such a name is none of ours.
        Ok(String::from_utf8(kept.take())
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// CWD, with the way back known (PWD, RFC 959 section 4.1.3).
    async fn enter(&mut self, path: &RemotePath) -> Result<(), Failure> {
        if self.home.is_none() {
            let answer = self.control.ask("PWD").await?.done()?;
            let home = quoted(&answer.text)
                .ok_or_else(|| Failure::Protocol(format!("no folder in `{}`", answer.text)))?;
            self.home = Some(home);
        }
        self.control.ask(&format!("CWD {path}")).await?.done().map(|_| ())
    }

    /// Back to where the session started: relative paths count from there.
    async fn leave(&mut self) -> Result<(), Failure> {
        let home = self.home.as_deref().unwrap_or("/");
        match self.control.ask(&format!("CWD {home}")).await?.done() {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Protocol(format!("there is no way back to `{home}`"))),
        }
    }
}

/// The name in a 257 reply, where a quote is doubled (RFC 959 appendix II).
fn quoted(text: &str) -> Option<String> {
    let (start, end) = (text.find('"')? + 1, text.rfind('"')?);
    let name = text.get(start..end)?.replace("\"\"", "\"");
    (!name.is_empty() && !name.contains(['\r', '\n'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_in_a_reply() {
        assert_eq!(quoted("257 \"/in \"\"x\"\" 月\" is here").unwrap(), "/in \"x\" 月");
        for bad in ["257 /in", "257 \"", "257 \"\""] {
            assert_eq!(quoted(bad), None, "{bad}");
        }
    }
}
