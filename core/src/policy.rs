//! What a transfer definition decides about its jobs.

/// Defines an enum whose values configuration, journal and messages write as one lower-case
/// word each: `as_str`, `from_word`, `EACH`, `WORDS`, `Display` and serde agree on it.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const EACH: &'static [Self] = &[$(Self::$variant),+];

            /// The words of [`EACH`](Self::EACH), in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that stands for the value.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value that `word` stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::EACH.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// Which way the bytes of a job go.
    Direction {
        /// From a local file to the partner.
        Send = "send",
        /// From the partner to a local file.
        Fetch = "fetch",
    }
}

words! {
    /// How a target comes into being.
    Publish {
        /// The bytes go to a partial, which is renamed onto the target when it is proved.
        Atomic = "atomic",
        /// The bytes go straight to the target, which a reader can see half-written.
        Direct = "direct",
    }
}

words! {
    /// When an interrupted transfer goes on where it stopped.
    ResumePolicy {
        /// Only after the bytes already there are proved to be the source's.
        Verified = "verified",
        /// When the partial is not longer than what the journal knows to have been sent.
        Size = "size",
        /// Never: every attempt starts at the first byte.
        Never = "never",
    }
}

words! {
    /// What a new owner does with a job whose post-exit was started and whose end is not known.
    OnTakeover {
        /// Leaves it, logs 0215E, and waits for an operator.
        Ask = "ask",
        /// Runs the exit again.
        Rerun = "rerun",
        /// Takes the exit for done.
        Skip = "skip",
    }
}

words! {
    /// What becomes of a job whose post-exit failed.
    OnFailure {
        /// The job ends as delivered; the failure is on its record.
        Continue = "continue",
        /// The job waits for an operator.
        Ask = "ask",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_its_value_belong_together() {
        for &policy in ResumePolicy::EACH {
            assert_eq!(ResumePolicy::from_word(policy.as_str()), Some(policy));
        }
        assert_eq!(Direction::from_word("Send"), None);
        assert_eq!(format!("{:>7}|", Publish::Atomic), " atomic|");
    }
}
