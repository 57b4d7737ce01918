//! The library file itself: its declaration, read as data, and its entry point.

// Running another library's code cannot be proved sound by this compiler. Beside the export
// macro, this file is the only one of the workspace that takes the responsibility over.
#![allow(unsafe_code)]

use std::{
    error::Error,
    fs, io, iter,
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};

use ferryway_core::{
    plugin::{Declaration, Entry, HostContext, SECTION},
    transport::Transport,
};
#[cfg(not(unix))]
use libloading::Library;
#[cfg(unix)]
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use object::{Object, ObjectKind, ObjectSection, ReadCache};

use super::{Refusal, trust};

/// A file that may be mapped: trusted, and declared to be built exactly like this host.
pub(super) struct Vetted {
    /// Absolute and without links, so that the system's loader searches nowhere.
    file: PathBuf,
    declaration: Declaration,
}

impl Vetted {
    /// Judges the file without mapping or running anything of it.
    ///
    /// # Errors
    /// The first reason against it.
    pub(super) fn of(path: &Path) -> Result<Self, Refusal> {
        let file = fs::canonicalize(path).map_err(unreadable)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        for place in [folder, &file] {
            if let Some(distrust) = trust::distrust(&fs::metadata(place).map_err(unreadable)?) {
                return Err(Refusal::Untrusted { place: place.to_owned(), distrust });
            }
        }
        let declaration = read(&file)?;
        declaration.admit().map_err(Refusal::Mismatch)?;
        Ok(Self { file, declaration })
    }

    /// What the plugin says of itself.
    pub(super) fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Maps the library and calls its constructor. The library stays mapped for ever.
    ///
    /// # Errors
    /// When the library does not link, lacks its entry point, or its constructor fails.
    pub(super) fn enter(&self, host: HostContext) -> Result<Arc<dyn Transport>, Refusal> {
        let link = |error: libloading::Error| Refusal::Link(chain(&error));
        let library = open(&self.file).map_err(link)?;
        // Leaked: nothing of a library that has run may ever be unmapped.
        let library: &'static Library = Box::leak(Box::new(library));
        let symbol = self.declaration.entry_symbol();
        // SAFETY: `export_transport!` alone makes symbols of this name, and gives them to a
        // static of type `Entry`. The admitted declaration says that the macro, the compiler
        // and `Entry` are those of this host, so a pointer to `Entry` is what the symbol is.
        let entry = unsafe { library.get::<*const Entry>(symbol) }.map_err(link)?;
        // SAFETY: the pointer is the address of that static, which is initialized, aligned and
        // never written, and lives as long as the library, which is for ever.
        let entry: Entry = unsafe { **entry };
        entry(host).map_err(|error| Refusal::Constructor(chain(&error)))
    }
}

/// Reads the declaration from the file.
fn read(file: &Path) -> Result<Declaration, Refusal> {
    // A pipe might never end, and a device might do anything when read.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(Refusal::NotALibrary("it is not a regular file".into()));
    }
    // Of some megabytes a few kilobytes are read, on the way of every start.
    let content = ReadCache::new(fs::File::open(file).map_err(unreadable)?);
    let broken = |error: object::Error| Refusal::NotALibrary(error.to_string());
    let library = object::File::parse(&content).map_err(broken)?;
    if library.kind() != ObjectKind::Dynamic {
        let kind = library.kind();
        return Err(Refusal::NotALibrary(format!("it is an object of kind {kind:?}")));
    }
    let section = library.section_by_name(SECTION).ok_or(Refusal::NoPlugin)?;
    parse(section.data().map_err(broken)?)
}

/// Reads the bytes of a declaration section.
fn parse(section: &[u8]) -> Result<Declaration, Refusal> {
    const SIZE: usize = size_of::<Declaration>();
    // The magic tells the layout, so it is judged before the length.
    if !section.starts_with(&Declaration::MAGIC) {
        let length = section.len().min(Declaration::MAGIC.len());
        let start = section[..length].escape_ascii();
        return Err(Refusal::UnknownDeclaration(format!("it starts with \"{start}\"")));
    }
    // A plugin that links another one as a library has the declarations of both.
    if section.len() != SIZE {
        let length = section.len();
        let why = format!("it has {length} bytes instead of {SIZE}");
        return Err(Refusal::UnknownDeclaration(why));
    }
    // SAFETY: the source is `SIZE` readable bytes, and `read_unaligned` asks for no alignment.
    // Any bytes are a valid `Declaration`: it is `repr(C)` without padding that matters to a
    // read, of byte arrays and a `TypeId`. That is 16 bytes of hash, which the compiler types
    // as raw pointers for the sake of its constant evaluation; any bit pattern is a valid raw
    // pointer, and nobody follows these: they are only compared and printed. Bytes that another
    // compiler wrote are some other hash, and refused for that compiler's name before it counts.
    Ok(unsafe { ptr::read_unaligned(section.as_ptr().cast::<Declaration>()) })
}

#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: mapping runs the library's initializers: those of Rust's standard library, and
    // any that its author linked in, whose soundness is the author's part as with every
    // dependency. The caller has vetted the file: nobody but the administrator could write it.
    // Every symbol is resolved at once, so that none is missing later, and none is offered to
    // other libraries, so that each keeps its own copy of everything.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: as on Unix.
    unsafe { Library::new(path) }
}

fn unreadable(error: io::Error) -> Refusal {
    Refusal::Unreadable(error.to_string())
}

/// The error with all its causes: libloading's own text is only "dlopen failed".
fn chain(error: &(dyn Error + 'static)) -> String {
    iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_judged_by_its_magic_and_its_length() {
        let mut section = Declaration::MAGIC.to_vec();
        section.resize(size_of::<Declaration>(), b'x');
        assert_eq!(parse(&section).unwrap().core.to_string(), "x".repeat(32));

        // Any address will do.
        let shifted = [&[0], &*section].concat();
        assert_eq!(parse(&shifted[1..]).unwrap().rustc.to_string(), "x".repeat(80));

        let refused = |section: &[u8]| match parse(section) {
            Err(Refusal::UnknownDeclaration(why)) => why,
            _ => panic!("not refused"),
        };
        assert!(refused(&section[..section.len() - 1]).contains("has 335 bytes instead of 336"));
        assert!(refused(&section.repeat(2)).contains("has 672 bytes"));
        assert!(refused(&[]).contains("starts with \"\""));
        section[15] = 2;
        assert!(refused(&section).contains(r#"starts with "ferryway-plugin\x02""#));
    }
}
