//! Imitations of real servers, as measured on vsftpd 3.0.3, proftpd 1.3.8, pure-ftpd 1.0.50
//! and pyftpdlib 1.5.7.

use super::behaviour::{
    Behaviour, HiddenNames, ListAbsent, ListOptions, Lock, NameList, RenameOver, RestBeyondEnd,
    Tail,
};

/// What none of the imitated servers has without extra modules.
const HASHING: [&str; 3] = ["HASH", "RANG", "XCRC"];

impl Behaviour {
    /// vsftpd with its defaults: uploads lock the file, a second one is blocked and then
    /// truncates.
    pub fn vsftpd() -> Self {
        Self {
            greeting: vec!["(vsFTPd 3.0.3)".to_owned()],
            lock: Lock::BlockThenTruncate,
            rest_beyond_end: RestBeyondEnd::Hole,
            size_in_ascii: true,
            hidden_names: HiddenNames::WithDashA,
            restart_in_ascii: true,
            list_absent: ListAbsent::Empty,
            nlst: NameList { absent: ListAbsent::Empty, with_folder: true, ..NameList::default() },
            store_refusal: 553,
            ..Self::default()
        }
        .without(&HASHING)
        .without(&["MLSD", "MLST", "UTF8"])
    }

    /// vsftpd with `lock_upload_files=NO`.
    pub fn vsftpd_without_lock() -> Self {
        Self::vsftpd().with_lock(Lock::None)
    }

    /// proftpd with `AllowOverwrite` and `AllowStoreRestart` on.
    pub fn proftpd() -> Self {
        Self {
            greeting: vec!["ProFTPD Server ready.".to_owned()],
            hidden_names: HiddenNames::WithDashA,
            list_absent: ListAbsent::Late(450),
            nlst: NameList {
                absent: ListAbsent::Refuse(450),
                with_folder: true,
                ..NameList::default()
            },
            ..Self::default()
        }
        .without(&HASHING)
    }

    /// proftpd as it comes: nothing is overwritten and no upload restarted, DELE works.
    pub fn proftpd_defaults() -> Self {
        Self {
            allow_overwrite: false,
            allow_store_restart: false,
            rename_over: RenameOver::Refuses,
            ..Self::proftpd()
        }
    }

    /// proftpd with `HiddenStores` and `AllowOverwrite`, which excludes `AllowStoreRestart`.
    pub fn proftpd_hidden_stores() -> Self {
        Self { allow_store_restart: false, ..Self::proftpd() }.with_lock(Lock::HiddenTemporary)
    }

    /// pure-ftpd: no lock, and a restart cuts off what lies behind its offset.
    pub fn pure_ftpd() -> Self {
        Self {
            greeting: vec![
                "---------- Welcome to Pure-FTPd [privsep] ----------".to_owned(),
                "You will be disconnected after 15 minutes of inactivity.".to_owned(),
            ],
            tail: Tail::CutAtRestart,
            download_broken: 150,
            takes_backslashes: false,
            rest_beyond_end: RestBeyondEnd::Clamp,
            rename_refusal: 451,
            size_in_ascii: true,
            restart_in_ascii: true,
            utf8_option: 504,
            hidden_names: HiddenNames::WithDashA,
            list_absent: ListAbsent::Empty,
            nlst: NameList {
                options: ListOptions::Alone,
                with_folder: true,
                shows_hidden: true,
                lists_files: false,
                ..NameList::default()
            },
            store_refusal: 553,
            ..Self::default()
        }
        .without(&HASHING)
    }

    /// pure-ftpd with `-0`: every upload has a temporary file, the last to end wins.
    pub fn pure_ftpd_atomic() -> Self {
        Self::pure_ftpd().with_lock(Lock::AtomicTemporary)
    }

    /// pyftpdlib: no lock, every name shown, 426 when the disk fails.
    pub fn pyftpdlib() -> Self {
        Self {
            greeting: vec!["pyftpdlib 1.5.7 ready.".to_owned()],
            write_failure: 426,
            append_follows_end: true,
            utf8_option: 501,
            list_options: ListOptions::Alone,
            nlst: NameList { options: ListOptions::Unknown, ..NameList::default() },
            mlsd_refusal: 501,
            ..Self::default()
        }
        .without(&HASHING)
    }

    /// pyftpdlib whose file system layer takes a flock at every open.
    pub fn pyftpdlib_with_flock() -> Self {
        Self::pyftpdlib().with_lock(Lock::refuse())
    }

    /// Every preset with its name, for tests over all of them.
    pub fn presets() -> Vec<(&'static str, Self)> {
        vec![
            ("vsftpd", Self::vsftpd()),
            ("vsftpd_without_lock", Self::vsftpd_without_lock()),
            ("proftpd", Self::proftpd()),
            ("proftpd_defaults", Self::proftpd_defaults()),
            ("proftpd_hidden_stores", Self::proftpd_hidden_stores()),
            ("pure_ftpd", Self::pure_ftpd()),
            ("pure_ftpd_atomic", Self::pure_ftpd_atomic()),
            ("pyftpdlib", Self::pyftpdlib()),
            ("pyftpdlib_with_flock", Self::pyftpdlib_with_flock()),
        ]
    }
}
