//! A suite that passes everything proves nothing: here each defect of a transport makes the
//! cases fail that are about it.

// Integration tests may unwrap: a failure is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use ferryway_core::{
    Algorithm, Digest, Kind, Operation, RemotePath, TransportError, async_trait,
    bytes::{Meter, Sink, Source},
    error::Reply,
    notice::{Notice, Standing},
    reception::Listener,
    transport::{
        Capabilities, ConfigFault, Download, Partner, Rename, Result, Session, Stat, Stored,
        Transport, Upload,
    },
};
use ferryway_mocks::{
    conformance::{self, Subject},
    memory_transport::{MemoryPartner, MemoryTransport},
    streams::Collected,
};

/// How a transport leaves the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    None,
    FetchIgnoresOffset,
    StoreIgnoresOffset,
    TranslatesLineEnds,
    MiscountsStores,
    ShowsAnotherSize,
    ShowsTheRestAlone,
    TellsAnotherHash,
    ForgetsTheMeter,
    HidesHiddenNames,
    ListsAbsentFolderAsEmpty,
    FindsNothing,
    ReplacesThoughRefusing,
    CopiesInsteadOfMoving,
    HashesTheWholeFile,
    StaysOpen,
    TellsLocalErrorsAsConnection,
    RemovesWithoutLooking,
    AcceptsSettingsLate,
    MakesFoldersOnTheWay,
    MakesFoldersAgain,
    ClaimsRenames,
    ClaimsStores,
    ListsFilesAsEmpty,
    RefusesWithoutReply,
}

#[tokio::test]
async fn every_defect_is_found() {
    use Defect::*;
    for (defect, case) in [
        (FetchIgnoresOffset, "a_fetch_at_an_offset_gives_the_rest"),
        (StoreIgnoresOffset, "a_store_at_an_offset_goes_on"),
        (TranslatesLineEnds, "every_byte_survives"),
        (MiscountsStores, "every_size_round_trips"),
        (ShowsAnotherSize, "every_size_round_trips"),
        (TellsAnotherHash, "every_size_round_trips"),
        (ShowsTheRestAlone, "a_store_at_an_offset_goes_on"),
        (ForgetsTheMeter, "the_meter_counts_every_byte"),
        (HidesHiddenNames, "a_list_has_hidden_names"),
        (ListsAbsentFolderAsEmpty, "an_absent_folder_is_not_an_empty_one"),
        (FindsNothing, "an_absent_name_is_proved_absent"),
        (ReplacesThoughRefusing, "a_rename_over_a_file_does_as_declared"),
        (CopiesInsteadOfMoving, "a_rename_moves_a_file"),
        (HashesTheWholeFile, "a_checksum_is_the_contents"),
        (StaysOpen, "a_closed_session_stays_closed"),
        (TellsLocalErrorsAsConnection, "a_failing_sink_is_a_local_error"),
        (TellsLocalErrorsAsConnection, "a_panicking_source_is_a_local_error"),
        (RemovesWithoutLooking, "a_removal_of_an_absent_file_fails"),
        (AcceptsSettingsLate, "settings_without_faults_connect"),
        (MakesFoldersOnTheWay, "a_store_into_a_folder_that_was_renamed_away_fails"),
        (MakesFoldersAgain, "a_file_in_the_place_of_a_folder_bars_it"),
        (MakesFoldersAgain, "an_existing_folder_is_not_made_again"),
        (ClaimsRenames, "a_rename_out_of_a_folder_that_was_renamed_away_fails"),
        (ClaimsRenames, "a_rename_onto_a_folder_fails"),
        (ClaimsStores, "a_store_onto_a_folder_fails"),
        (ListsFilesAsEmpty, "a_file_lists_no_names"),
        (RefusesWithoutReply, "a_rename_of_an_absent_file_fails"),
    ] {
        let case = conformance::Case::named(case).unwrap();
        assert!(case.run(&subject(None)).await.is_ok(), "{} fails without", case.name);
        let outcome = case.run(&subject(defect)).await;
        assert!(outcome.is_err(), "{} does not find {defect:?}: {outcome:?}", case.name);
    }
}

fn subject(defect: Defect) -> Subject {
    let memory = MemoryTransport::new(MemoryPartner::new());
    let name = "defective".parse().unwrap();
    Subject {
        transport: Arc::new(Defective(memory, defect)),
        partner: Partner {
            name,
            settings: toml::Table::new(),
            source_address: None,
            ours: ferryway_mocks::conformance::introduction(),
        },
        folder: None,
        keep: Vec::new(),
    }
}

struct Defective(MemoryTransport, Defect);

struct DefectiveSession(Box<dyn Session>, Defect);

#[async_trait]
impl Transport for Defective {
    fn name(&self) -> &'static str {
        "defective"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn check_config(&self, _: &toml::Table) -> Vec<ConfigFault> {
        let fault = ConfigFault { key: "host".to_owned(), message: "missing".to_owned() };
        if self.1 == Defect::AcceptsSettingsLate { vec![fault] } else { Vec::new() }
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        Ok(Box::new(DefectiveSession(self.0.connect(partner).await?, self.1)))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}

impl DefectiveSession {
    fn has(&self, defect: Defect) -> bool {
        self.1 == defect
    }

    fn blame<T>(&self, result: Result<T>) -> Result<T> {
        let blames = self.has(Defect::TellsLocalErrorsAsConnection);
        result.map_err(|error| match error.kind() {
            Kind::Local if blames => {
                TransportError::retryable(Kind::Connection, error.operation(), "reset")
            }
            _ => error,
        })
    }
}

#[async_trait]
impl Session for DefectiveSession {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.0.capabilities();
        if self.has(Defect::ReplacesThoughRefusing) {
            capabilities.rename = Rename::RefusesExisting;
        }
        capabilities
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        if self.has(Defect::FindsNothing) {
            let reply = Reply { code: 550, text: "No such file.".to_owned() };
            let error = TransportError::permanent(Kind::NotFound, Operation::Stat, "absent");
            return Err(error.at(path).replied(reply));
        }
        self.0.stat(path).await
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let listed = self.0.list(folder).await;
        match (self.1, listed) {
            (Defect::ListsAbsentFolderAsEmpty | Defect::ListsFilesAsEmpty, Err(_))
            | (Defect::FindsNothing, _) => Ok(Vec::new()),
            (Defect::HidesHiddenNames, Ok(mut names)) => {
                names.retain(|name| !name.starts_with('.'));
                Ok(names)
            }
            (_, listed) => listed,
        }
    }

    async fn fetch(&mut self, mut download: Download) -> Result<u64> {
        if self.has(Defect::FetchIgnoresOffset) {
            download.offset = 0;
        }
        let fetched = self.0.fetch(download).await;
        self.blame(fetched)
    }

    async fn store(&mut self, mut upload: Upload) -> Result<Stored> {
        match self.1 {
            Defect::StoreIgnoresOffset => upload.offset = 0,
            Defect::ForgetsTheMeter => upload.meter = Meter::new(),
            Defect::MakesFoldersOnTheWay => {
                if let Some(folder) = upload.path.parent() {
                    // Most are there already.
                    drop(self.0.make_folder(folder).await);
                }
            }
            Defect::TranslatesLineEnds => upload.source = Source::new(Ascii(upload.source)),
            _ => {}
        }
        let (length, offset) = (upload.length, upload.offset);
        let stored = match self.0.store(upload).await {
            Err(_) if self.has(Defect::ClaimsStores) => {
                Ok(Stored { bytes: length, size: None, digest: None })
            }
            stored => stored,
        };
        self.blame(stored).map(|Stored { bytes, size, digest }| Stored {
            bytes: bytes + u64::from(self.has(Defect::MiscountsStores)),
            size: size.map(|size| match self.1 {
                Defect::ShowsAnotherSize => size + 1,
                Defect::ShowsTheRestAlone => size - offset,
                _ => size,
            }),
            digest: match self.1 {
                Defect::TellsAnotherHash => Digest::from_hex(Algorithm::Crc32, "0"),
                _ => digest,
            },
        })
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        if self.has(Defect::CopiesInsteadOfMoving) {
            let copy = Collected::new();
            let (offset, sink): (_, Sink) = (0, copy.sink());
            let meter = Meter::new();
            self.0.fetch(Download { path: from, offset, sink, meter: meter.clone() }).await?;
            let source = ferryway_mocks::streams::source(copy.bytes());
            self.0.store(Upload { path: to, offset, length: 0, source, meter }).await?;
            return Ok(());
        }
        match self.0.rename(from, to).await {
            Err(_) if self.has(Defect::ClaimsRenames) => Ok(()),
            Err(error) if self.has(Defect::RefusesWithoutReply) => Err(TransportError::permanent(
                Kind::Unavailable,
                error.operation(),
                "it is refused",
            )),
            renamed => renamed,
        }
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        let removed = self.0.remove(path).await;
        if self.has(Defect::RemovesWithoutLooking) { Ok(()) } else { removed }
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        let made = self.0.make_folder(path).await;
        if self.has(Defect::MakesFoldersAgain) { Ok(()) } else { made }
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        self.0.remove_folder(path).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        mut length: u64,
    ) -> Result<Digest> {
        if self.has(Defect::HashesTheWholeFile) {
            length = self.0.stat(path.clone()).await?.size.unwrap_or(length);
        }
        self.0.checksum(path, algorithm, length).await
    }

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        self.0.tell(notice).await
    }

    async fn ping(&mut self) -> Result<()> {
        self.0.ping().await
    }

    async fn close(&mut self) -> Result<()> {
        if self.has(Defect::StaysOpen) { Ok(()) } else { self.0.close().await }
    }
}

/// Drops every CR, as TYPE A does on its way to a Unix disk.
struct Ascii(Source);

impl ferryway_core::bytes::ByteSource for Ascii {
    fn read(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(chunk)?;
        let kept: Vec<u8> = chunk[..read].iter().copied().filter(|byte| *byte != b'\r').collect();
        chunk[..kept.len()].copy_from_slice(&kept);
        Ok(kept.len())
    }
}
