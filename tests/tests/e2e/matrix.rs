//! Scenarios by servers: each cell is a test of its own.

use ferryway_tests::{scene::Kind, servers::ServerKind};

use crate::{deliver, interrupted, probe, takeover};

/// A module for each row, with a test for each server.
macro_rules! matrix {
    ($($row:ident: $scenario:path;)*) => {$(
        mod $row {
            use super::*;

            matrix! { @cells $scenario;
                mock: Kind::Mock,
                vsftpd: Kind::Real(ServerKind::Vsftpd),
                vsftpd_without_locks: Kind::Real(ServerKind::VsftpdNoLock),
                proftpd: Kind::Real(ServerKind::Proftpd),
                proftpd_with_its_defaults: Kind::Real(ServerKind::ProftpdDefaults),
                proftpd_with_hidden_stores: Kind::Real(ServerKind::ProftpdHiddenStores),
                pure_ftpd: Kind::Real(ServerKind::PureFtpd),
                pure_ftpd_with_atomic_uploads: Kind::Real(ServerKind::PureFtpdAtomic),
                pyftpdlib: Kind::Real(ServerKind::Pyftpdlib),
            }
        }
    )*};
    (@cells $scenario:path; $($server:ident: $kind:expr,)*) => {$(
        #[test]
        fn $server() {
            $scenario($kind);
        }
    )*};
}

matrix! {
    habits: probe::habits;
    send: deliver::send;
    fetch: deliver::fetch;
    odd_names: deliver::odd_names;
    empty_files: deliver::empty_files;
    replace: deliver::replace;
    send_while_the_server_restarts: interrupted::send;
    fetch_while_the_server_restarts: interrupted::fetch;
    send_survives_a_killed_host: takeover::killed_in_a_send;
    fetch_survives_a_killed_host: takeover::killed_in_a_fetch;
    zombie_wakes_after_the_send: takeover::zombie_after_a_send;
    zombie_wakes_during_the_send: takeover::zombie_during_a_send;
    zombie_beside_wakes_after_the_send: takeover::zombie_after_a_send_beside;
    zombie_beside_wakes_during_the_send: takeover::zombie_during_a_send_beside;
    zombie_wakes_after_the_fetch: takeover::zombie_after_a_fetch;
    kills_at_random_moments: takeover::random_kills;
}
