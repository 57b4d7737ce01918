//! The operator of the cluster, who is asked about exits of which nobody knows whether they did
//! their work.

use std::io;

use ferryway_core::JobId;
use ferryway_host::{control::api::JobView, judged};

use super::{Lab, lab::RUN_DIR};
use crate::host::Programs;

/// Answers the questions of the cluster's host, each once.
#[derive(Debug)]
pub(super) struct Operator<'lab> {
    lab: &'lab Lab,
    /// The machine that serves.
    machine: u8,
    answered: Vec<JobId>,
}

impl<'lab> Operator<'lab> {
    /// One who has not answered anything yet and works on the machine that serves.
    pub(super) const fn new(lab: &'lab Lab, machine: u8) -> Self {
        Self { lab, machine, answered: Vec::new() }
    }

    /// Answers through `ftprel` what the log asks about the jobs in flight: a job of the host's own
    /// is taken for done, and a receiving one, for which there is no such order, runs its exit again.
    ///
    /// # Errors
    /// An answer is refused.
    pub(super) fn answer(&mut self, in_flight: &[JobView]) -> io::Result<()> {
        let install = self.lab.install(self.machine).unwrap_or_default();
        let questions = judged::questions(&install);
        for view in in_flight {
            let id = &view.job.id;
            if !questions.contains(id) || self.answered.contains(id) {
                continue;
            }
            let order = if view.job.spec.origin.is_some() { "restart" } else { "release" };
            self.ftprel(order, id)?;
            self.answered.push(id.clone());
        }
        Ok(())
    }

    fn ftprel(&self, order: &str, job: &JobId) -> io::Result<()> {
        let programs = Programs::of_this_build().map_err(io::Error::other)?;
        let program = programs.path("ftprel").display().to_string();
        let run_dir = format!("/{RUN_DIR}");
        let arguments = ["--run-dir", &run_dir, order, job.as_str()];
        self.lab.machine(self.machine).run(&program, &arguments).map(drop)
    }
}
