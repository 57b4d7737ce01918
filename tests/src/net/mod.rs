//! Machines of a test's own: network namespaces, and links between them. All of it needs root.
//!
//! Addresses need not differ between tests, as nobody else is in these namespaces. They last as
//! long as a process that holds them, which ends with the test, however that ends.

mod lan;
mod namespace;

pub use lan::Lan;
pub use namespace::{DEVICE, Namespace, Place, link};
