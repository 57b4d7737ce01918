//! What the exits of a lab do: a shell script that notes its runs, may be held in the middle, and
//! ends as it is told.

use std::{fs, path::PathBuf, time::Duration};

use ferryway_host::{
    exits::When,
    journal::record::{Entry, Job},
    judged,
};
use ferryway_mocks::oracle::{Exit, Run};
use tempfile::TempDir;

use crate::disk::in_memory;

/// `runs` has a line for each run that began: the exit, its key, its number, whether it may have
/// run, and the size that it knows. `hold` names a place in the n-th run, at which that stays as
/// long as the file is there; `held` shows that it does. `code.pre` and `code.post` have the exit
/// codes of the next runs.
const SCRIPT: &str = r#"
cd "$1"
hold() {
    if [ "$(cat hold 2>/dev/null)" = "$1 $run" ]; then
        : >held
        while [ -e hold ]; do sleep 0.01; done
    fi
}
run=$(($(cat runs 2>/dev/null | wc -l) + 1))
hold before
know="${FERRYWAY_SIZE:-none}"
echo "$FERRYWAY_EXIT $FERRYWAY_EXIT_KEY $FERRYWAY_EXIT_RUN $FERRYWAY_MAY_HAVE_RUN $know" >>runs
hold after
echo "this is run $run"
code=$(head -n 1 "code.$FERRYWAY_EXIT" 2>/dev/null)
[ -e "code.$FERRYWAY_EXIT" ] && sed -i 1d "code.$FERRYWAY_EXIT"
exit "${code:-0}"
"#;

/// A folder outside of the instance's and the partner's.
pub struct Effects(TempDir);

/// A place in a run of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// It has done nothing yet.
    Before,
    /// It has done what it is for.
    After,
}

impl Effects {
    pub fn new() -> Self {
        let folder = in_memory();
        fs::write(folder.path().join("exit.sh"), SCRIPT).unwrap();
        Self(folder)
    }

    /// The command that a definition names.
    pub fn command(&self) -> String {
        let folder = self.0.path().display();
        format!("[\"/bin/sh\", \"{folder}/exit.sh\", \"{folder}\"]")
    }

    /// The codes with which the next runs of an exit end; 0 after them.
    pub fn will_end_with(&self, exit: &str, codes: &[i32]) {
        let codes: String = codes.iter().map(|code| format!("{code}\n")).collect();
        fs::write(self.path(&format!("code.{exit}")), codes).unwrap();
    }

    /// Holds the `nth` run from now.
    pub fn hold(&self, at: At, nth: u32) {
        let place = if at == At::Before { "before" } else { "after" };
        let run = self.lines().len() + nth as usize;
        fs::write(self.path("hold"), format!("{place} {run}\n")).unwrap();
    }

    /// Whether a run is held.
    pub fn holds(&self) -> bool {
        self.path("held").exists()
    }

    /// Resolves when a run is held, which may be never.
    pub async fn held(&self) {
        while !self.holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Holds no run any more.
    pub fn let_go(&self) {
        for name in ["held", "hold"] {
            drop(fs::remove_file(self.path(name)));
        }
    }

    /// What each run noted, in their order.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The exits of a job, for the judge.
    pub fn of(&self, job: &Job, entries: &[Entry]) -> Vec<Exit> {
        judged::exits(job, entries, |when| self.runs(when))
    }

    fn runs(&self, when: When) -> Vec<Run> {
        let run = |line: &String| {
            let words: Vec<_> = line.split(' ').collect();
            let run = Run { key: words[1].to_owned(), may_have_run: words[3] == "1" };
            (words[0] == when.as_str()).then_some(run)
        };
        self.lines().iter().filter_map(run).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
