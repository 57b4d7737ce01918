//! The catalogue of the operator's messages.
