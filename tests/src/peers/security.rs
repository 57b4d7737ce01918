//! How two installations know each other: the keys of their tables.

use ferryway_mocks::authority::Authority;

/// How both know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: both doors are open to everybody.
    Plain,
    /// By a secret.
    Secret,
    /// By certificates of one authority.
    Tls,
}

/// The keys of one side's tables.
#[derive(Clone, Debug)]
pub struct Keys {
    /// For `[listen]`.
    pub door: String,
    /// For the partner's table.
    pub partner: String,
}

impl Security {
    /// The keys of two sides that are to trust each other, their certificates of this authority.
    pub(super) fn keys(self, names: [&str; 2], authority: &Authority) -> [Keys; 2] {
        let same = |keys: &str| Keys { door: keys.to_owned(), partner: keys.to_owned() };
        match self {
            Self::Plain => [(); 2].map(|()| same("security = \"plain\"\n")),
            Self::Secret => [(); 2].map(|()| same(&secret('0'))),
            Self::Tls => {
                let [one, other] = names;
                [(one, other), (other, one)].map(|(own, partner)| {
                    let identity = authority.identity(own);
                    let partner = format!("{identity}server_name = \"{partner}\"\n");
                    Keys { door: identity, partner }
                })
            }
        }
    }
}

/// The keys of a secret that consists of one digit.
pub fn secret(digit: char) -> String {
    format!("security = \"secret\"\nsecret = \"{}\"\n", digit.to_string().repeat(32))
}
