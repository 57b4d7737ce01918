//! Paths as clients see them, and where they lie on disk.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// An absolute path below the login root. It cannot point out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VirtualPath(Vec<String>);

impl VirtualPath {
    /// The path that `text` means in the folder `self`.
    pub(super) fn resolve(&self, text: &str) -> Self {
        let mut parts = if text.starts_with('/') { Vec::new() } else { self.0.clone() };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                name => parts.push(name.to_owned()),
            }
        }
        Self(parts)
    }

    /// The last part; empty for the root.
    pub(super) fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Where it lies on disk.
    ///
    /// # Errors
    /// When the folder that holds it does not exist, or a symbolic link leads out of `root`.
    pub(super) fn locate(&self, root: &Path) -> io::Result<PathBuf> {
        let Some((name, folders)) = self.0.split_last() else {
            return Ok(root.to_owned());
        };
        let folder = root.join(folders.iter().collect::<PathBuf>()).canonicalize()?;
        let place = folder.join(name);
        let outside = |path: &Path| !path.starts_with(root);
        if outside(&folder) || place.canonicalize().is_ok_and(|real| outside(&real)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(place)
    }
}

impl fmt::Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_root() {
        let folder = VirtualPath::default().resolve("in/月次");
        for (text, expected) in [
            ("a b", "/in/月次/a b"),
            ("../../../../etc/passwd", "/etc/passwd"),
            ("/x//y/./z/..", "/x/y"),
            ("..", "/in"),
        ] {
            assert_eq!(folder.resolve(text).to_string(), expected);
        }
    }

    #[test]
    fn a_symbolic_link_out_of_the_root_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        let root = inside.path().canonicalize().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("door")).unwrap();
        assert!(VirtualPath::default().resolve("door/secret").locate(&root).is_err());
        assert!(VirtualPath::default().resolve("door").locate(&root).is_err());
        assert!(VirtualPath::default().resolve("new").locate(&root).is_ok());
    }
}
