//! What the host tells: the operator's log, one stable line for each message of the
//! catalogue, and tracing for those who look into the host itself.

mod file;
mod operator;
mod reference;
mod set_up;

pub use operator::{Clock, OperatorLog, system_clock};
pub use reference::reference;
pub use set_up::{FILTER_VARIABLE, LogFormat, SetUpError, set_up};
