//! Stand-ins for the world outside, and the tests that every stand-in and every real
//! transport must pass alike.

pub mod ftp_server;
