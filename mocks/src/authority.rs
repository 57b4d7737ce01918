//! An authority whose certificates two ends of the socket transport show each other.

#![allow(clippy::unwrap_used, reason = "these functions fail the test that calls them")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Who signs certificates that nobody else trusts.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

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
