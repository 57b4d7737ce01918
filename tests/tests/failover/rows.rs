//! Rows by servers by deaths, and the outcome of `direct` in each cell as measured.

use ferryway_tests::servers::ServerKind::{
    Proftpd, ProftpdDefaults, ProftpdHiddenStores, PureFtpd, PureFtpdAtomic, Pyftpdlib,
    PyftpdlibLocking, Vsftpd, VsftpdNoLock,
};

use crate::{
    client::{
        Cell,
        Death::{CutOff, Frozen, Killed, PowerCut, Unaware},
        Direct::{CutShort, Mixed, NeverOverwrites, Overwrites, Refused, Waits},
        Disk::{Local, Shared},
        Moment::{Finished, Sending},
    },
    server::{
        self,
        Service::{OnBoth, Switched},
    },
};

/// A module for each row of the client's, in it one for each cell, in that a test for each policy.
macro_rules! client_rows {
    ($($(#[$row_doc:meta])* $row:ident($disk:expr, $moment:expr) {
        $($cell:ident: $server:expr, $death:expr => $direct:expr;)*
    })*) => {$(
        $(#[$row_doc])*
        mod $row {$(
            mod $cell {
                use super::super::*;

                const CELL: Cell = Cell {
                    disk: $disk,
                    moment: $moment,
                    server: $server,
                    death: $death,
                    direct: $direct,
                };

                #[test]
                fn direct() {
                    CELL.direct();
                }

                #[test]
                fn atomic() {
                    CELL.atomic();
                }
            }
        )*}
    )*};
}

client_rows! {
    /// The peer locks, shared disk.
    c1(Shared, Sending) {
        vsftpd_frozen: Vsftpd, Frozen => Waits;
        vsftpd_power_cut: Vsftpd, PowerCut => Waits;
        vsftpd_killed: Vsftpd, Killed => Overwrites;
        proftpd_hidden_stores_frozen: ProftpdHiddenStores, Frozen => Refused;
        proftpd_hidden_stores_power_cut: ProftpdHiddenStores, PowerCut => Refused;
        proftpd_hidden_stores_killed: ProftpdHiddenStores, Killed => Overwrites;
        pyftpdlib_locking_frozen: PyftpdlibLocking, Frozen => Refused;
        pyftpdlib_locking_power_cut: PyftpdlibLocking, PowerCut => Refused;
        pyftpdlib_locking_killed: PyftpdlibLocking, Killed => Overwrites;
    }
    /// No lock, shared disk.
    c2(Shared, Sending) {
        vsftpd_without_locks_frozen: VsftpdNoLock, Frozen => Overwrites;
        vsftpd_without_locks_power_cut: VsftpdNoLock, PowerCut => Overwrites;
        proftpd_frozen: Proftpd, Frozen => Overwrites;
        proftpd_killed: Proftpd, Killed => Overwrites;
        proftpd_defaults_killed: ProftpdDefaults, Killed => NeverOverwrites;
        pure_ftpd_power_cut: PureFtpd, PowerCut => Overwrites;
        pure_ftpd_cut_off: PureFtpd, CutOff => Overwrites;
        pure_ftpd_atomic_killed: PureFtpdAtomic, Killed => Overwrites;
        pure_ftpd_atomic_cut_off: PureFtpdAtomic, CutOff => CutShort;
        pyftpdlib_frozen: Pyftpdlib, Frozen => Overwrites;
        pyftpdlib_killed: Pyftpdlib, Killed => Overwrites;
    }
    /// The peer locks, each node has its disk, the former owner is still sending.
    c3a(Local, Sending) {
        vsftpd_frozen: Vsftpd, Frozen => Waits;
        vsftpd_unaware: Vsftpd, Unaware => Overwrites;
        proftpd_hidden_stores_frozen: ProftpdHiddenStores, Frozen => Refused;
        pyftpdlib_locking_frozen: PyftpdlibLocking, Frozen => Refused;
    }
    /// The same, and the former owner had finished.
    c3b(Local, Finished) {
        vsftpd_frozen: Vsftpd, Frozen => Overwrites;
        vsftpd_killed: Vsftpd, Killed => Overwrites;
        proftpd_hidden_stores_killed: ProftpdHiddenStores, Killed => Overwrites;
        pyftpdlib_locking_frozen: PyftpdlibLocking, Frozen => Overwrites;
    }
    /// No lock, each node has its disk, the former owner is still sending.
    c4a(Local, Sending) {
        vsftpd_without_locks_cut_off: VsftpdNoLock, CutOff => Mixed;
        vsftpd_without_locks_unaware: VsftpdNoLock, Unaware => Overwrites;
        proftpd_cut_off: Proftpd, CutOff => Mixed;
        proftpd_unaware: Proftpd, Unaware => Overwrites;
        proftpd_defaults_cut_off: ProftpdDefaults, CutOff => NeverOverwrites;
        pure_ftpd_cut_off: PureFtpd, CutOff => Mixed;
        pure_ftpd_unaware: PureFtpd, Unaware => Overwrites;
        pure_ftpd_atomic_cut_off: PureFtpdAtomic, CutOff => CutShort;
        pyftpdlib_cut_off: Pyftpdlib, CutOff => Mixed;
        pyftpdlib_unaware: Pyftpdlib, Unaware => Overwrites;
    }
    /// The same, and the former owner had finished.
    c4b(Local, Finished) {
        vsftpd_without_locks_killed: VsftpdNoLock, Killed => Overwrites;
        proftpd_frozen: Proftpd, Frozen => Overwrites;
        proftpd_defaults_killed: ProftpdDefaults, Killed => NeverOverwrites;
        pure_ftpd_frozen: PureFtpd, Frozen => Overwrites;
        pure_ftpd_atomic_killed: PureFtpdAtomic, Killed => Overwrites;
        pyftpdlib_frozen: Pyftpdlib, Frozen => Overwrites;
    }
}

/// The same for the server's rows, where both policies have the same end.
macro_rules! server_rows {
    ($($(#[$row_doc:meta])* $row:ident($service:expr, $disk:expr) { $($server:ident: $kind:expr;)* })*) => {$(
        $(#[$row_doc])*
        mod $row {$(
            mod $server {
                use super::super::*;

                const CELL: server::Cell =
                    server::Cell { service: $service, disk: $disk, server: $kind };

                #[test]
                fn direct() {
                    CELL.direct();
                }

                #[test]
                fn atomic() {
                    CELL.atomic();
                }
            }
        )*}
    )*};
}

server_rows! {
    /// The FTP service is switched, shared disk.
    s1_shared(Switched, Shared) {
        vsftpd: Vsftpd;
        proftpd: Proftpd;
        pure_ftpd: PureFtpd;
        pyftpdlib: Pyftpdlib;
    }
    /// The FTP service is switched, each node has its disk.
    s1_local(Switched, Local) {
        vsftpd: Vsftpd;
        proftpd: Proftpd;
    }
    /// The FTP service runs on both nodes, and the shared disk goes from under one of them.
    s2(OnBoth, Shared) {
        vsftpd: Vsftpd;
        proftpd: Proftpd;
        pure_ftpd: PureFtpd;
        pyftpdlib: Pyftpdlib;
    }
    /// The FTP service runs on both nodes, each has its disk, and the virtual address moves.
    s3(OnBoth, Local) {
        vsftpd: Vsftpd;
        proftpd: Proftpd;
        pure_ftpd: PureFtpd;
        pyftpdlib: Pyftpdlib;
    }
}
