//! The Ferryway service.

pub mod control;
pub mod journal;
