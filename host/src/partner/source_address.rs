//! The address that new connections to partners leave from, as the files say and the machine
//! allows at this moment.

use std::{
    io,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ferryway_core::{Kind, Operation, TransportError, transport::Result};

use crate::{
    config::{
        Fault, InstallDir,
        source_address::{self, SourceAddress},
    },
    locks::lock,
    notices::Notices,
};

/// Tells the address. One for all partners of a host.
pub struct SourceAddresses {
    file: PathBuf,
    notices: Arc<Notices>,
    known: Mutex<Known>,
}

/// How it stands with the source address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None is named: the system chooses.
    System,
    /// This one, which the machine has.
    Ours(SourceAddress),
    /// This one, which the machine does not have now.
    NotOurs(SourceAddress),
    /// Nobody can tell which.
    Unclear(Fault),
}

struct Known {
    /// What `ferryway.toml` names.
    configured: Option<SourceAddress>,
    /// The file's bytes as last seen; `None` before the first look.
    bytes: Option<Bytes>,
    /// What the operator was told last.
    told: Standing,
}

/// The file's bytes; `None` without a file.
type Bytes = Option<Vec<u8>>;

/// How long to wait until a look that found no usable address is worth another: it costs
/// nothing, and after a takeover the address may be here a moment later. With a random part, so
/// that partners do not start at one moment.
pub fn look_again() -> Duration {
    Duration::from_secs(2).mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// Whether this machine has the address and may connect from it. Where the system lets programs
/// use any address (`net.ipv4.ip_nonlocal_bind`), that cannot be told; no connection comes about
/// from a foreign one all the same, as no answer comes back to it.
pub fn is_ours(address: IpAddr) -> bool {
    // Binding sends nothing. For any other error the transport's own try has better words.
    !UdpSocket::bind((address, 0))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

impl SourceAddresses {
    /// Looks into this install directory. Nothing was configured beside the file yet.
    pub fn new(install: &InstallDir, notices: Arc<Notices>) -> Arc<Self> {
        let known = Known { configured: None, bytes: None, told: Standing::System };
        Arc::new(Self { file: install.source_address_file(), notices, known: Mutex::new(known) })
    }

    /// The address that counts where the file names none.
    pub fn configure(&self, configured: Option<SourceAddress>) {
        lock(&self.known).configured = configured;
    }

    /// The address for a connection that is made now, `None` for the system's choice. The
    /// operator is told when it is another than before, and when there is none to be had.
    ///
    /// # Errors
    /// `SourceAddress`, retryable: nothing may connect.
    pub async fn now(self: &Arc<Self>) -> Result<Option<IpAddr>> {
        let this = Arc::clone(self);
        // The shared disk may be slow to answer.
        let standing = tokio::task::spawn_blocking(move || this.look()).await.map_err(|error| {
            refuse("the look at the source address broke".to_owned()).caused_by(error)
        })?;
        match standing {
            Standing::System => Ok(None),
            Standing::Ours(source) => Ok(Some(source.address)),
            Standing::NotOurs(source) => {
                Err(refuse(format!("the source address {source} is not one of this machine's")))
            }
            Standing::Unclear(fault) => {
                Err(refuse(format!("the source address cannot be told: {fault}")))
            }
        }
    }

    fn look(&self) -> Standing {
        let standing = match self.named() {
            Err(fault) => Standing::Unclear(fault),
            Ok(None) => Standing::System,
            Ok(Some(source)) if is_ours(source.address) => Standing::Ours(source),
            Ok(Some(source)) => Standing::NotOurs(source),
        };
        let told = std::mem::replace(&mut lock(&self.known).told, standing.clone());
        if told != standing {
            self.notices.source_address(&standing);
        }
        standing
    }

    fn named(&self) -> std::result::Result<Option<SourceAddress>, Fault> {
        let seen = lock(&self.known).bytes.clone();
        let bytes = settled(|| source_address::read(&self.file), seen.as_ref())
            .map_err(|error| source_address::unreadable(&self.file, &error))?;
        lock(&self.known).bytes = Some(bytes.clone());
        let named = match bytes {
            None => None,
            // `ferryway check` has the others.
            Some(bytes) => source_address::parse(&self.file, &bytes)
                .map_err(|mut faults| faults.swap_remove(0))?,
        };
        Ok(named.or_else(|| lock(&self.known).configured.clone()))
    }
}

/// The file's bytes. The file is read at every look, as that is as cheap as asking for its time,
/// is right where an edit keeps time and size, and sees what another node of the cluster wrote.
///
/// Bytes that differ from those seen before count when they stay: an editor may be in the middle
/// of its work, with a file that is cut short or absent for a moment.
fn settled(mut read: impl FnMut() -> io::Result<Bytes>, seen: Option<&Bytes>) -> io::Result<Bytes> {
    const STAYS: Duration = Duration::from_millis(50);
    const LOOKS: usize = 20;
    let mut bytes = read()?;
    for _ in 0..LOOKS {
        if seen.is_none_or(|seen| *seen == bytes) {
            break;
        }
        std::thread::sleep(STAYS);
        let again = read()?;
        if again == bytes {
            break;
        }
        bytes = again;
    }
    Ok(bytes)
}

fn refuse(message: String) -> TransportError {
    TransportError::retryable(Kind::SourceAddress, Operation::Connect, message)
}

impl std::fmt::Debug for SourceAddresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = lock(&self.known);
        f.debug_struct("SourceAddresses").field("standing", &known.told).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        config::{Config, Environment},
        install,
    };

    /// Reserved for documentation (RFC 5737): no machine has it.
    const NOBODYS: &str = "192.0.2.1";

    /// An install directory whose source address changes.
    pub(in crate::partner) struct Lab {
        dir: tempfile::TempDir,
        pub(in crate::partner) sources: Arc<SourceAddresses>,
    }

    impl Lab {
        pub(in crate::partner) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let install = install::init(dir.path(), &"pay".parse().unwrap()).unwrap();
            let environment = Environment::with_variables::<&str, &str>(7, "node1", []);
            let config = Config::load_in(dir.path(), environment).unwrap();
            let notices = Arc::new(Notices::open(&config));
            Self { dir, sources: SourceAddresses::new(&install, notices) }
        }

        /// Names the address in `ferryway.toml`.
        pub(in crate::partner) fn configure(&self, address: &str) {
            let text = format!("[Common]\nS_Address={address}\n");
            let configured = source_address::parse(Path::new("ferryway.toml"), text.as_bytes());
            self.sources.configure(configured.unwrap());
        }

        fn write(&self, text: &str) {
            fs::write(self.dir.path().join("tools/master/SrcAdr.dat"), text).unwrap();
        }

        async fn now(&self) -> Option<String> {
            self.sources.now().await.unwrap().map(|address| address.to_string())
        }

        async fn refusal(&self) -> String {
            let error = self.sources.now().await.unwrap_err();
            assert_eq!(error.kind(), Kind::SourceAddress);
            assert!(!error.outcome_unknown(), "nothing was sent");
            error.to_string()
        }
    }

    #[tokio::test]
    async fn the_file_goes_before_the_configuration_and_every_change_of_it_counts() {
        let lab = Lab::new();
        assert_eq!(lab.now().await, None, "as made by init");
        lab.configure("127.0.0.7");
        assert_eq!(lab.now().await.as_deref(), Some("127.0.0.7"));
        // As long as the one before, within the same tick of the file system's clock.
        for address in ["127.0.0.8", "127.0.0.9"] {
            lab.write(&format!("[Common]\nS_Address={address}\n"));
            assert_eq!(lab.now().await.as_deref(), Some(address));
        }
        fs::remove_file(lab.dir.path().join("tools/master/SrcAdr.dat")).unwrap();
        assert_eq!(lab.now().await.as_deref(), Some("127.0.0.7"));
    }

    #[tokio::test]
    async fn nothing_connects_from_a_foreign_or_an_unclear_address() {
        let lab = Lab::new();
        lab.write(&format!("[Common]\nS_Address={NOBODYS}\n"));
        let refusal = lab.refusal().await;
        assert!(refusal.contains(NOBODYS) && refusal.contains("SrcAdr.dat:2"), "{refusal}");
        lab.write("[Common]\nS_Addres=127.0.0.9\n");
        let refusal = lab.refusal().await;
        assert!(refusal.contains("SrcAdr.dat:2:1: S_Addres: unknown key"), "{refusal}");
        lab.write("[Common]\nS_Address=127.0.0.9\n");
        assert_eq!(lab.now().await.as_deref(), Some("127.0.0.9"));
    }

    #[test]
    fn an_edit_counts_when_the_editor_is_done_with_it() {
        let [old, cut, new] = ["old", "", "new"].map(|text| Some(text.as_bytes().to_vec()));
        let settle = |looks: &[&Bytes], seen: Option<&Bytes>| {
            let mut looks = looks.iter().map(|bytes| (*bytes).clone());
            let bytes = settled(|| Ok(looks.next().expect("one look too many")), seen).unwrap();
            assert_eq!(looks.next(), None, "one look too few");
            bytes
        };
        // Cut short and removed for a moment, as by editors that write the file anew.
        assert_eq!(settle(&[&cut, &None, &new, &new], Some(&old)), new);
        assert_eq!(settle(&[&cut, &old], Some(&old)), old);
        assert_eq!(settle(&[&None, &None], Some(&old)), None, "it is gone for good");
        // What was seen before, or comes first, costs no second look.
        assert_eq!(settle(&[&old], Some(&old)), old);
        assert_eq!(settle(&[&new], None), new);
    }
}
