//! One suite for every transport, linked or loaded: what the contract of
//! [`Session`](ferryway_core::transport::Session) says, case by case.
//!
//! A case skips only what the session's capabilities exclude. Run all of them with
//! [`run_all`], or each as a test of its own with
//! [`conformance_tests!`](crate::conformance_tests):
//!
//! ```ignore
//! async fn subject() -> ferryway_mocks::conformance::Subject { /* ... */ }
//! ferryway_mocks::conformance_tests!(subject().await);
//! ```

mod beyond;
mod fencing;
mod local;
mod look;
mod names;
mod room;
mod transfer;

pub use beyond::{Beyond, beyond};

use std::{any::Any, error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

use ferryway_core::{
    Epoch, InstanceName, RemotePath, TransportError,
    reception::Introduction,
    transport::{Partner, Transport},
};

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What is under test.
pub struct Subject {
    /// The transport.
    pub transport: Arc<dyn Transport>,
    /// A partner that the transport reaches; several sessions at a time must be possible.
    pub partner: Partner,
    /// An existing folder of the partner in which the cases may write; `None` is the folder
    /// where a session starts. Cases leave files behind; their names start with the case's.
    pub folder: Option<RemotePath>,
    /// What the partner needs to stay alive: servers, temporary folders.
    pub keep: Vec<Box<dyn Any + Send + Sync>>,
}

/// One case of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, which is a sentence.
    pub name: &'static str,
    run: Run,
}

type Run = for<'a> fn(&'a Subject) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// How a case ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The contract holds.
    Passed,
    /// The partner or the transport has not what the case is about.
    Skipped(&'static str),
}

/// A case's result.
pub type Outcome = Result<Verdict, Failure>;

/// Where a transport leaves its contract.
#[derive(Debug)]
pub struct Failure(String);

/// The results of a whole run; a test asserts [`is_clean`](Self::is_clean).
#[must_use]
#[derive(Debug, Default)]
pub struct Report {
    /// The cases that hold.
    pub passed: Vec<&'static str>,
    /// The skipped cases with the reasons.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// The cases that fail with what is wrong.
    pub failed: Vec<(&'static str, Failure)>,
}

/// What a subject's partner is told of us, where nothing depends on it.
#[expect(clippy::expect_used, reason = "the text is a constant")]
pub fn introduction() -> Introduction {
    let instance: Result<InstanceName, _> = "suite".parse();
    Introduction {
        host: "suite.example".to_owned(),
        instance: instance.expect("a name of letters"),
        epoch: Epoch::FIRST,
    }
}

/// Runs every case, one after the other, and tells all failures at once.
pub async fn run_all(subject: &Subject) -> Report {
    let mut report = Report::default();
    for case in CASES {
        match case.run(subject).await {
            Ok(Verdict::Passed) => report.passed.push(case.name),
            Ok(Verdict::Skipped(reason)) => report.skipped.push((case.name, reason)),
            Err(failure) => report.failed.push((case.name, failure)),
        }
    }
    report
}

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Runs the case.
    ///
    /// # Errors
    /// When the contract does not hold, or the case takes longer than a minute.
    pub async fn run(&self, subject: &Subject) -> Outcome {
        let too_long = |_| Err(Failure(format!("not done after {LIMIT:?}")));
        tokio::time::timeout(LIMIT, (self.run)(subject)).await.unwrap_or_else(too_long)
    }
}

impl Report {
    /// Whether no case failed.
    pub fn is_clean(&self) -> bool {
        self.is_clean_but(&[])
    }

    /// Whether exactly these cases failed.
    pub fn is_clean_but(&self, beyond: &[Beyond]) -> bool {
        let failed = self.failed.iter().map(|(name, _)| *name);
        failed.eq(beyond.iter().map(|(name, _)| *name))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, failure) in &self.failed {
            writeln!(f, "FAILED  {name}: {failure}")?;
        }
        for (name, reason) in &self.skipped {
            writeln!(f, "skipped {name}: {reason}")?;
        }
        write!(f, "{} cases passed", self.passed.len())
    }
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TransportError> for Failure {
    /// With the chain of causes.
    fn from(error: TransportError) -> Self {
        let mut text = format!("{:?}: {error}", error.kind());
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self(text)
    }
}

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($text)+)));
        }
    };
}
use ensure;

/// Declares the table of the suite.
macro_rules! suite {
    ($($module:ident::$case:ident),+ $(,)?) => {
        /// Every case.
        pub const CASES: &[Case] =
            &[$(Case { name: stringify!($case), run: |subject| Box::pin($module::$case(subject)) }),+];
    };
}

suite! {
    look::settings_without_faults_connect,
    look::a_session_offers_no_more_than_its_transport,
    look::a_ping_is_answered,
    look::stat_tells_a_file,
    look::stat_tells_a_folder,
    look::an_absent_name_is_proved_absent,
    look::an_empty_folder_lists_nothing,
    look::an_absent_folder_is_not_an_empty_one,
    look::a_list_has_every_name,
    look::a_list_has_hidden_names,
    look::a_folder_with_a_leading_dash_is_listed,
    transfer::every_size_round_trips,
    transfer::every_byte_survives,
    transfer::odd_names_round_trip,
    transfer::the_sources_chunks_do_not_matter,
    transfer::the_length_is_only_a_hint,
    transfer::a_store_at_zero_replaces_a_longer_file,
    transfer::a_store_at_an_offset_goes_on,
    transfer::a_fetch_at_an_offset_gives_the_rest,
    transfer::a_fetch_at_the_end_gives_nothing,
    transfer::a_fetch_of_an_absent_file_fails,
    transfer::a_store_into_an_absent_folder_fails,
    transfer::the_meter_counts_every_byte,
    local::a_failing_sink_is_a_local_error,
    local::a_failing_source_is_a_local_error,
    local::a_panicking_source_is_a_local_error,
    local::a_panicking_sink_is_a_local_error,
    local::a_cancelled_store_leaves_other_sessions_working,
    local::a_cancelled_fetch_leaves_other_sessions_working,
    local::two_sessions_work_at_the_same_time,
    local::a_closed_session_stays_closed,
    names::a_rename_moves_a_file,
    names::a_rename_over_a_file_does_as_declared,
    names::a_rename_moves_a_folder_with_its_files,
    names::a_rename_of_an_absent_file_fails,
    names::a_removed_file_is_absent,
    names::a_removal_of_an_absent_file_fails,
    names::folders_come_and_go,
    names::an_existing_folder_is_not_made_again,
    names::a_folder_with_files_is_not_removed,
    names::a_checksum_is_the_contents,
    names::an_unknown_checksum_is_unsupported,
    fencing::a_store_into_a_folder_that_was_renamed_away_fails,
    fencing::a_rename_out_of_a_folder_that_was_renamed_away_fails,
    fencing::a_file_in_the_place_of_a_folder_bars_it,
    fencing::a_file_lists_no_names,
    fencing::a_store_onto_a_folder_fails,
    fencing::a_rename_onto_a_folder_fails,
}

/// Makes a `#[tokio::test]` of every case. The expression gives the [`Subject`] and may
/// await.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests! { $subject;
            settings_without_faults_connect
            a_session_offers_no_more_than_its_transport
            a_ping_is_answered
            stat_tells_a_file
            stat_tells_a_folder
            an_absent_name_is_proved_absent
            an_empty_folder_lists_nothing
            an_absent_folder_is_not_an_empty_one
            a_list_has_every_name
            a_list_has_hidden_names
            a_folder_with_a_leading_dash_is_listed
            every_size_round_trips
            every_byte_survives
            odd_names_round_trip
            the_sources_chunks_do_not_matter
            the_length_is_only_a_hint
            a_store_at_zero_replaces_a_longer_file
            a_store_at_an_offset_goes_on
            a_fetch_at_an_offset_gives_the_rest
            a_fetch_at_the_end_gives_nothing
            a_fetch_of_an_absent_file_fails
            a_store_into_an_absent_folder_fails
            the_meter_counts_every_byte
            a_failing_sink_is_a_local_error
            a_failing_source_is_a_local_error
            a_panicking_source_is_a_local_error
            a_panicking_sink_is_a_local_error
            a_cancelled_store_leaves_other_sessions_working
            a_cancelled_fetch_leaves_other_sessions_working
            two_sessions_work_at_the_same_time
            a_closed_session_stays_closed
            a_rename_moves_a_file
            a_rename_over_a_file_does_as_declared
            a_rename_moves_a_folder_with_its_files
            a_rename_of_an_absent_file_fails
            a_removed_file_is_absent
            a_removal_of_an_absent_file_fails
            folders_come_and_go
            an_existing_folder_is_not_made_again
            a_folder_with_files_is_not_removed
            a_checksum_is_the_contents
            an_unknown_checksum_is_unsupported
            a_store_into_a_folder_that_was_renamed_away_fails
            a_rename_out_of_a_folder_that_was_renamed_away_fails
            a_file_in_the_place_of_a_folder_bars_it
            a_file_lists_no_names
            a_store_onto_a_folder_fails
            a_rename_onto_a_folder_fails
        }
    };
    ($subject:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let subject: $crate::conformance::Subject = $subject;
                let case = $crate::conformance::Case::named(stringify!($case));
                let outcome = case.expect("the suite has the case").run(&subject).await;
                match outcome {
                    Ok($crate::conformance::Verdict::Passed) => {}
                    Ok($crate::conformance::Verdict::Skipped(why)) => eprintln!("SKIPPED: {why}"),
                    Err(failure) => panic!("{failure}"),
                }
            }
        )+

        #[test]
        fn every_case_of_the_suite_is_a_test() {
            let tests = [$(stringify!($case)),+];
            let cases = $crate::conformance::CASES.iter().map(|case| case.name);
            assert!(tests.into_iter().eq(cases), "the macro's list differs from the suite");
        }
    };
}
