//! What the host tells: the operator's log, one stable line for each message of the
//! catalogue, and tracing for those who look into the host itself.

mod file;
mod operator;
mod reference;
mod set_up;

pub use operator::{Clock, OperatorLog, system_clock};
pub use reference::reference;
#[cfg(windows)]
pub(crate) use set_up::set_up_file;
pub use set_up::{FILTER_VARIABLE, LogFormat, SetUpError, set_up};
