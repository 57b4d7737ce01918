//! The handshake between host and plugin: a plain declaration, read from the plugin's *file*
//! before any of its code is mapped, and an entry point, called once the declaration passed.
//!
//! It is a check of compatibility, not of trust: whoever may write into the plugin folder
//! may run code as the host.

mod relay;
mod remote;
mod side;

use std::{any::TypeId, fmt, sync::Arc};

use crate::{TransportError, transport::Transport};

pub use relay::lend_reception;
#[doc(hidden)]
pub use remote::enter;
pub use side::threads;

/// Section of the library that holds the declaration (PE names have 8 characters at most; Mach-O
/// wants a segment before it).
#[cfg(not(any(target_vendor = "apple", windows)))]
pub const SECTION: &str = ".ferryway";
/// Section of the library that holds the declaration.
#[cfg(windows)]
pub const SECTION: &str = ".ferry";
/// Section of the library that holds the declaration.
#[cfg(target_vendor = "apple")]
pub const SECTION: &str = "__ferryway";

/// What a plugin says of itself.
///
/// The layout never changes; a successor gets another magic. The identity stands last and
/// the compiler is compared first, so that a compiler with another layout still gets the
/// right message.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Declaration {
    magic: [u8; 16],
    /// Release and commit of the compiler.
    pub rustc: Text<80>,
    /// Version of this crate.
    pub core: Text<32>,
    /// Target, profile, panic strategy, and hashes of this crate's sources and of the flags.
    pub build: Text<128>,
    /// Name of the plugin's package.
    pub name: Text<32>,
    /// Version of the plugin's package.
    pub version: Text<32>,
    /// The compiler's identity of this crate. Through cargo's `-C metadata` it covers its
    /// features, its profile, and the version and features of every crate below it.
    identity: TypeId,
}

impl Declaration {
    /// The first bytes of every declaration.
    pub const MAGIC: [u8; 16] = *b"ferryway-plugin\x01";

    /// The declaration of the plugin being compiled.
    pub const fn new(name: &str, version: &str) -> Self {
        Self {
            magic: Self::MAGIC,
            rustc: Text::new(env!("FERRYWAY_RUSTC")),
            core: Text::new(env!("CARGO_PKG_VERSION")),
            build: Text::new(env!("FERRYWAY_BUILD")),
            name: Text::new(name),
            version: Text::new(version),
            identity: TypeId::of::<dyn Transport>(),
        }
    }

    /// Name of the entry point. It carries the package's name, so that several plugins also
    /// link into one executable.
    pub fn entry_symbol(&self) -> String {
        format!("ferryway_entry_{}", self.name)
    }

    /// Compares a plugin's declaration with this side's.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn admit(&self) -> Result<(), Mismatch> {
        let host = Self::new("", "");
        let same = |what, host: String, plugin: String| {
            if host == plugin { Ok(()) } else { Err(Mismatch { what, host, plugin }) }
        };
        same("the compiler", host.rustc.to_string(), self.rustc.to_string())?;
        same("the version of ferryway-core", host.core.to_string(), self.core.to_string())?;
        same("the build", host.build.to_string(), self.build.to_string())?;
        if host.identity != self.identity {
            let [host, plugin] = [host, *self].map(|side| format!("{:?}", side.identity));
            return Err(Mismatch {
                what: "a dependency or feature below ferryway-core",
                host,
                plugin,
            });
        }
        Ok(())
    }
}

/// How a plugin's build differs from the host's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} differs\n    host:   {host}\n    plugin: {plugin}")]
pub struct Mismatch {
    /// What differs.
    pub what: &'static str,
    /// The host's side.
    pub host: String,
    /// The plugin's side.
    pub plugin: String,
}

/// A text without a pointer, so that it can be read from a file.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// A text of at most `N` bytes; a longer one does not compile.
    pub const fn new(text: &str) -> Self {
        let (mut bytes, mut i) = ([0; N], 0);
        while i < text.len() {
            bytes[i] = text.as_bytes()[i];
            i += 1;
        }
        Self(bytes)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(String::from_utf8_lossy(&self.0).trim_end_matches('\0'))
    }
}

/// What the host lends a plugin. Rust types: touched only after the handshake.
pub struct HostContext {
    /// Takes the plugin's log events.
    pub dispatch: tracing::Dispatch,
}

/// The type of a plugin's entry point.
pub type Entry = fn(HostContext) -> Result<Arc<dyn Transport>, TransportError>;

/// Makes a cdylib a transport plugin: `export_transport!(Ftp::default());`
///
/// The expression builds the transport, once, when the host loads the library. Its author
/// writes plain async Rust: every operation runs as a task of the plugin's own runtime, and a
/// panic becomes an error.
#[macro_export]
macro_rules! export_transport {
    ($transport:expr) => {
        // SAFETY: the section is this crate's own and read as plain data only; the symbol
        // carries the package's name, so that no other definition of it can be linked in.
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::plugin::{Declaration, Entry, enter};

            #[used]
            #[cfg_attr(
                not(any(target_vendor = "apple", windows)),
                unsafe(link_section = ".ferryway")
            )]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__ferryway"))]
            // Linkers of Windows drop what nothing refers to, unless it is exported.
            #[cfg_attr(
                windows,
                unsafe(link_section = ".ferry"),
                unsafe(export_name = concat!("ferryway_declaration_", env!("CARGO_PKG_NAME")))
            )]
            static DECLARATION: Declaration =
                Declaration::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));

            #[unsafe(export_name = concat!("ferryway_entry_", env!("CARGO_PKG_NAME")))]
            static ENTRY: Entry = |host| enter(host, || ::std::sync::Arc::new($transport));
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_of_the_same_build_is_admitted_and_names_its_entry() {
        let declaration = Declaration::new("ferryway-x", "1.2.3");
        assert_eq!(declaration.admit(), Ok(()));
        assert_eq!(declaration.entry_symbol(), "ferryway_entry_ferryway-x");
    }

    #[test]
    fn every_difference_is_named_with_both_sides() {
        type Change = fn(&mut Declaration);
        let cases: [(&str, Change); 4] = [
            ("the compiler", |d| d.rustc = Text::new("1.0.0 abc")),
            ("the version of ferryway-core", |d| d.core = Text::new("9.9.9")),
            ("the build", |d| d.build = Text::new("other")),
            ("a dependency or feature below ferryway-core", |d| d.identity = TypeId::of::<u8>()),
        ];
        for (what, change) in cases {
            let mut declaration = Declaration::new("x", "1");
            change(&mut declaration);
            let mismatch = declaration.admit().unwrap_err();
            assert_eq!(mismatch.what, what);
            assert_ne!(mismatch.host, mismatch.plugin);
        }
    }
}
