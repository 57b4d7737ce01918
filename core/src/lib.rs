//! The vocabulary of Ferryway, shared by the host, its plugins and the operator's tool.
//!
//! Nothing here opens a file or a socket or reads a clock. What crosses the boundary
//! between the host and a plugin is defined here and nowhere else, so that one hash of
//! these sources tells whether two builds fit together.

pub mod bytes;
pub mod digest;
pub mod epoch;
pub mod error;
pub mod id;
pub mod message;
pub mod notice;
pub mod path;
pub mod plugin;
pub mod policy;
pub mod reception;
pub mod settings;
pub mod status;
pub mod transport;

pub use async_trait::async_trait;
pub use digest::{Algorithm, Digest};
pub use epoch::Epoch;
pub use error::{Class, Kind, Operation, TransportError};
pub use id::{DefinitionId, InstanceName, JobId, PartnerName, RunNumber};
pub use path::RemotePath;
pub use policy::{Direction, OnFailure, OnTakeover, Publish, ResumePolicy};
pub use status::{Event, IllegalTransition, Outcome, Status, apply};

// One allocator on both sides of the plugin boundary, by construction: whoever links
// this crate cannot declare another `#[global_allocator]`.
#[global_allocator]
static ALLOCATOR: std::alloc::System = std::alloc::System;
