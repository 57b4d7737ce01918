//! What the tests of Ferryway as a whole stand on: real FTP servers, real
//! processes that can be killed and frozen, disks that fill up and vanish, and
//! files whose every byte is known.
//!
//! Nothing here uses a fixed port or waits by sleeping. What a machine cannot
//! offer (a server that is not installed, a mount without rights) is an
//! [`Unavailable`]; [`Unavailable::skip`] makes it a visible skip on a
//! developer's machine and a failure where the environment variable `CI` is set.

pub mod cluster;
pub mod cluster_tools;
pub mod container;
pub mod content;
pub mod disk;
pub mod host;
pub mod model;
pub mod net;
pub mod peers;
pub mod probe;
pub mod process;
pub mod raw_ftp;
pub mod relay;
pub mod scene;
pub mod servers;
pub mod slow_line;
mod unavailable;
pub mod wait;

pub use unavailable::Unavailable;
