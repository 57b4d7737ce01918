//! How two installations know each other: the keys of their tables.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

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

/// Who signs certificates that nobody else trusts.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

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

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The keys of who shows a certificate of this name, and trusts this authority.
    pub fn identity(&self, name: &str) -> String {
        self.identity_that_trusts(name, self)
    }

    /// The keys of who shows a certificate of this name, and trusts another authority.
    pub fn identity_that_trusts(&self, name: &str, trusted: &Self) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        format!(
            "security = \"tls\"\ncertificate = '''{}'''\nkey = '''{}'''\nca = '''{}'''\n",
            certificate.pem(),
            key.serialize_pem(),
            trusted.0.pem()
        )
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
