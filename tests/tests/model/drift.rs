//! Holds the model against the host, as far as that is cheap. Statuses cannot part: the model
//! moves them by the host's own table. Here the names are compared.

use ferryway_core::{Epoch, RemotePath};
use ferryway_host::{
    journal::record::{Staging, StagingState},
    partner::staging::locations,
};
use ferryway_tests::model::{
    journal::Journal,
    names::{Attempt, BASE, File, Folder, Name},
};

/// The model looks for a file at the same places, in the same order, as the host.
#[test]
fn a_moved_file_is_looked_for_where_the_host_looks() {
    let refuge = |of, by, nth| Folder::Refuge { of, by, nth };
    let staging = vec![
        (1, vec![Folder::Epoch(1), refuge(1, 2, 1), refuge(1, 3, 2)]),
        (2, vec![Folder::Epoch(2), refuge(2, 3, 1)]),
        (3, vec![Folder::Epoch(3)]),
    ];
    let records: Vec<_> = staging.iter().map(|(epoch, names)| record(*epoch, names)).collect();
    let journal = Journal { jobs: Vec::new(), staging: staging.clone() };
    let folders = staging.iter().flat_map(|(_, names)| names).copied();
    for folder in folders.chain([Folder::Inbox]) {
        let name = Name { folder, file: File::Part(Attempt { job: 0, epoch: 1, number: 1 }) };
        let path = name.to_string().parse().unwrap();
        let of_host = locations(&records, &path).into_iter().map(|path| path.to_string());
        let of_model = journal.locations(name).into_iter().map(|name| name.to_string());
        assert_eq!(of_host.collect::<Vec<_>>(), of_model.collect::<Vec<_>>(), "{name}");
    }
}

fn record(epoch: u8, names: &[Folder]) -> Staging {
    Staging {
        partner: "BANK".parse().unwrap(),
        base: BASE.parse().unwrap(),
        epoch: Epoch::new(epoch.into()).unwrap(),
        names: names.iter().map(|folder| folder.path().parse::<RemotePath>().unwrap()).collect(),
        state: StagingState::Revoked,
    }
}
