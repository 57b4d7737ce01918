//! Paths on a partner.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A path on a partner: `/` between its parts, without CR, LF or NUL (RFC 959 section 5.3.2
/// ends a command at CR LF, so such a name would inject a command), without empty, `.` and
/// `..` parts. It may start with `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemotePath(String);

/// Why a text is no path on a partner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("remote path `{}`: {reason}", text.escape_debug())]
pub struct InvalidPath {
    text: String,
    reason: &'static str,
}

impl RemotePath {
    /// The longest path allowed, in bytes.
    pub const LIMIT: usize = 1024;

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The folder that holds the path; `None` when the path is a single name, which lies in
    /// the folder where the session starts.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            None | Some(("", _)) => None,
            Some((folder, _)) => Some(Self(folder.to_owned())),
        }
    }

    /// The path of `name` in the same folder as `self`.
    ///
    /// # Errors
    /// When `name` is no path.
    pub fn sibling(&self, name: &str) -> Result<Self, InvalidPath> {
        match self.0.rsplit_once('/') {
            None => name.parse(),
            Some((folder, _)) => format!("{folder}/{name}").parse(),
        }
    }

    /// The path of `name` below `self`.
    ///
    /// # Errors
    /// When `name` is no path.
    pub fn join(&self, name: &str) -> Result<Self, InvalidPath> {
        format!("{}/{name}", self.0).parse()
    }
}

impl FromStr for RemotePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |reason| Err(InvalidPath { text: text.to_owned(), reason });
        if text.is_empty() || text == "/" {
            return refuse("it names no file");
        }
        if text.len() > Self::LIMIT {
            return refuse("it is longer than 1024 bytes");
        }
        if text.contains(['\r', '\n', '\0']) {
            return refuse("CR, LF and NUL are not allowed in a name");
        }
        let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
        if parts.any(|part| matches!(part, "" | "." | "..")) {
            return refuse("empty, `.` and `..` parts are not allowed");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RemotePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<RemotePath> for String {
    fn from(path: RemotePath) -> String {
        path.0
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_folder_or_break_a_command_are_refused() {
        for text in ["", "/", "a//b", "a/../b", "..", "./a", "a\r\nDELE b", "a\0", "a/"] {
            assert!(text.parse::<RemotePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn parts_of_a_path() {
        let path: RemotePath = "in/月次 'a\".csv".parse().unwrap();
        assert_eq!(path.name(), "月次 'a\".csv");
        assert_eq!(path.parent().unwrap().as_str(), "in");
        assert_eq!(path.sibling("b").unwrap().as_str(), "in/b");
        let top: RemotePath = "/a".parse().unwrap();
        assert_eq!(top.parent(), None);
        assert_eq!(top.sibling("b").unwrap().as_str(), "/b");
        let bare: RemotePath = "a".parse().unwrap();
        assert_eq!(bare.sibling("b").unwrap().as_str(), "b");
    }
}
