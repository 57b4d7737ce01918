//! The catalogue of the operator's messages.

crate::words! {
    /// A language that every message is written in.
    Language {
        /// English.
        English = "en",
        /// Japanese.
        Japanese = "ja",
    }
}
