//! A user's program around a transfer: it notes its runs, may be held in the middle, and ends as
//! it is told.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::oracle::Run;

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

/// How often it is looked whether a run is held.
const LOOK: Duration = Duration::from_millis(2);

/// A program in a folder of its own, outside of the installations.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// A place in a run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// It has done nothing yet.
    Before,
    /// It has done what it is for.
    After,
}

impl Program {
    /// Writes the program into an existing folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::write(folder.join("exit.sh"), SCRIPT)?;
        Ok(Self(folder.to_owned()))
    }

    /// The command, as a definition names it.
    pub fn command(&self) -> String {
        let folder = self.0.display();
        format!("[\"/bin/sh\", \"{folder}/exit.sh\", \"{folder}\"]")
    }

    /// The codes with which the next runs of an exit end; 0 after them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn will_end_with(&self, exit: &str, codes: &[i32]) -> io::Result<()> {
        let codes: String = codes.iter().map(|code| format!("{code}\n")).collect();
        fs::write(self.path(&format!("code.{exit}")), codes)
    }

    /// Holds the `nth` run from now.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn hold(&self, at: At, nth: u32) -> io::Result<()> {
        let place = if at == At::Before { "before" } else { "after" };
        let run = self.lines().len() + nth as usize;
        fs::write(self.path("hold"), format!("{place} {run}\n"))
    }

    /// Whether a run is held.
    pub fn holds(&self) -> bool {
        self.path("held").exists()
    }

    /// Resolves when a run is held, which may be never.
    pub async fn held(&self) {
        while !self.holds() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Holds no run any more.
    pub fn let_go(&self) {
        for name in ["held", "hold"] {
            // It may not be there.
            drop(fs::remove_file(self.path(name)));
        }
    }

    /// What each run noted, in their order.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The runs of an exit, `pre` or `post`, for the judge.
    pub fn runs(&self, exit: &str) -> Vec<Run> {
        let run = |line: &String| {
            let mut words = line.split(' ');
            let is_of = words.next() == Some(exit);
            let key = words.next()?.to_owned();
            let may_have_run = words.nth(1)? == "1";
            is_of.then_some(Run { key, may_have_run })
        };
        self.lines().iter().filter_map(run).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
