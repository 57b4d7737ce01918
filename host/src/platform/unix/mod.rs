//! The side of Unix.

pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod group;
pub(crate) mod lock;
pub(crate) mod machine;
pub(crate) mod manager;
pub(crate) mod orders;
