//! Stand-ins for the world outside, and the suite that every transport must pass.
//!
//! | module | what it is for |
//! |---|---|
//! | [`ftp_server`] | an FTP and FTPS server on a real folder, with the quirks of real servers and faults at exact points |
//! | [`memory_transport`] | a transport to a partner in memory, for tests of the host that need no wire |
//! | [`conformance`] | the contract of a transport, as cases that run over any of them |
//! | [`oracle`] | the one judge of deliveries, for the tests of all layers and the demo |
//! | [`streams`] | sources and sinks with chosen content, which end, fail, panic or wait |
//!
//! Three rules hold throughout. A fault tells whether it fired, so that no test passes
//! without having met what it is about. Nothing needs a sleep: whoever waits, waits for an
//! event, with a time limit. And a stand-in keeps to what real servers were seen to do; where
//! they differ, [`ftp_server::Behaviour`] has a field for it.

pub mod authority;
pub mod conformance;
pub mod ftp_server;
pub mod memory_transport;
pub mod oracle;
pub mod program;
pub mod streams;
