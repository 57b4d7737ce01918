//! What became of the transfers, as the judge of all deliveries finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{Algorithm, Digest, Epoch, JobId, Status};
use ferryway_host::{
    control::client::Client,
    exits::When,
    journal::record::{HistoryQuery, Job},
    judged,
};
use ferryway_mocks::oracle::{self, Moment, Violation};

use super::{
    Transfers,
    operator::Operator,
    transfers::Asked,
    way::{Host, Place},
};
use crate::{
    content::hash_file,
    scene::{JOB_LIMIT, client, strays_below},
    wait::holds_within,
};

/// How often it is looked whether the operator is asked.
const LOOK: Duration = Duration::from_secs(1);

/// What the judge found, sorted.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Jobs that were asked for.
    pub jobs: usize,
    /// Jobs that were acknowledged and did not deliver, or did not arrive at the other side.
    pub lost: usize,
    /// Files that were put in place more than once, or out of order.
    pub doubled: usize,
    /// Files that are not what they must be, or could be seen before they were.
    pub damaged: usize,
    /// Exits that were under way when their owner ended.
    pub exits_cut: usize,
    /// Questions to the operator about exits.
    pub asked: usize,
    /// Bytes of the large files that were across before the fault and were sent again.
    pub again: u64,
    /// Every violation, these and others.
    pub violations: Vec<String>,
}

/// Jobs of earlier faults, which are of no concern any more.
#[derive(Clone, Debug, Default)]
pub struct Past {
    night: Vec<JobId>,
    branch: Vec<JobId>,
}

/// One of the hosts at the end.
struct Side {
    host: Host,
    client: Client,
    /// Its install directory.
    install: PathBuf,
    /// Its jobs that are not past.
    jobs: Vec<Job>,
}

impl Transfers<'_> {
    /// Waits until every job has ended, while the operator answers what he is asked about exits, and
    /// judges them all. `before` tells how far the large ones
    /// were in the ownership `former` when the fault came; what ended is `past` afterwards.
    ///
    /// # Errors
    /// A host does not answer, or refuses an operator's answer.
    pub fn judge(
        &self,
        active: u8,
        former: Epoch,
        before: &[(JobId, u64)],
        past: &mut Past,
    ) -> io::Result<Damage> {
        let night = self.lab.client(active).ok_or_else(|| io::Error::other("no host to ask"))?;
        let branch = client(&self.lab.branch);
        let mut operator = Operator::new(self.lab, active);
        let mut answer = || operator.answer(&self.views(&night));
        self.wait(Host::Night, &night, &mut answer)?;
        self.wait(Host::Branch, &branch, &mut answer)?;
        let install = self.lab.install(active).unwrap_or_default();
        let night = self.side(Host::Night, night, &install, &mut past.night)?;
        let outside = self.lab.branch_install();
        let branch = self.side(Host::Branch, branch, outside, &mut past.branch)?;
        let mut damage = Damage { jobs: self.asked.len(), ..Damage::default() };
        for (side, other) in [(&night, &branch), (&branch, &night)] {
            damage.add(&oracle::judge(&self.seen(side, other, false, &install)));
            damage.add(&oracle::judge(&self.seen(side, other, true, &install)));
            let exits = self.exits(side)?;
            damage.exits_cut += exits.iter().filter(|exit| was_cut(exit)).count();
            damage.asked += exits.iter().filter_map(|exit| exit.asked).sum::<usize>();
            damage.add(&oracle::judge(&oracle::Observation { exits, ..Default::default() }));
        }
        let stray = |path: PathBuf| Violation::Stray(path.display().to_string());
        let strays: Vec<_> = self.strays(&install).into_iter().map(stray).collect();
        damage.add(&strays);
        for (id, there) in before {
            let resumed = self.resumed_at(&night.client, id, former)?;
            damage.again += there.saturating_sub(resumed.unwrap_or(*there));
        }
        for asked in &self.asked {
            // Room for the next fault.
            fs::remove_file(self.target(asked, &install)).ok();
        }
        Ok(damage)
    }

    /// Waits for the jobs that a host was asked for, and lets questions be answered on the way. Who
    /// has not ended by then is found by the judge.
    ///
    /// # Errors
    /// That of the answer.
    fn wait(
        &self,
        host: Host,
        client: &Client,
        answer: &mut impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let ids: Vec<JobId> = self.asked_of(host).map(|asked| asked.id.clone()).collect();
        let mut answered = Ok(());
        holds_within(JOB_LIMIT, || {
            answered = answer();
            let waited = self.runtime.block_on(client.wait(&ids, LOOK));
            let ended = |jobs: Vec<Job>| jobs.iter().all(|job| job.status.outcome().is_some());
            answered.is_err() || waited.is_ok_and(ended)
        });
        answered
    }

    fn side(
        &self,
        host: Host,
        client: Client,
        install: &Path,
        past: &mut Vec<JobId>,
    ) -> io::Result<Side> {
        let query = HistoryQuery { limit: 1000, ..HistoryQuery::default() };
        let ended = self.runtime.block_on(client.history(&query)).map_err(io::Error::other)?;
        let moving = self.runtime.block_on(client.jobs()).map_err(io::Error::other)?;
        let all = ended.into_iter().chain(moving.into_iter().map(|view| view.job));
        let jobs: Vec<Job> = all.filter(|job| !past.contains(&job.id)).collect();
        past.extend(jobs.iter().map(|job| job.id.clone()));
        Ok(Side { host, client, install: install.to_owned(), jobs })
    }

    /// What the judge is told of the jobs that one host was asked for and whose partner has jobs of
    /// its own for them, or has none.
    fn seen(&self, side: &Side, other: &Side, is_told: bool, night: &Path) -> oracle::Observation {
        let asked = || self.asked_of(side.host).filter(|asked| asked.way.is_told() == is_told);
        let told = |job: &&Job| job.spec.told.is_some() == is_told;
        let own = side.jobs.iter().filter(|job| job.spec.origin.is_none()).filter(told);
        let receiving = other.jobs.iter().filter(|job| job.spec.origin.is_some());
        oracle::Observation {
            acknowledged: asked().map(|asked| asked.id.clone()).collect(),
            jobs: own.cloned().map(oracle::Job::from).collect(),
            receiving: is_told.then(|| receiving.map(oracle::Receiving::from).collect()),
            targets: asked().map(|asked| self.found(asked, night)).collect(),
            ..oracle::Observation::default()
        }
    }

    fn asked_of(&self, host: Host) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| asked.way.asked_by() == host)
    }

    fn found(&self, asked: &Asked, night: &Path) -> oracle::Target {
        let path = self.target(asked, night);
        let arrived = match asked.way.place() {
            Place::Bank => Some(self.bank_drop.of(&asked.name)),
            Place::In(Host::Branch) => Some(self.branch_in.of(&asked.name)),
            Place::In(Host::Night) => self.night_in.as_ref().map(|night| night.of(&asked.name)),
        };
        let digest = |hash: blake3::Hash| Digest::from_bytes(Algorithm::Blake3, hash.as_bytes());
        let found = hash_file(&path).ok().map(|hash| oracle::Content {
            size: fs::metadata(&path).map_or(0, |facts| facts.len()),
            digest: digest(hash),
        });
        let expected =
            oracle::Content { size: asked.content.size(), digest: digest(asked.content.hash()) };
        let made = arrived.map_or(0, |arrived| arrived.made);
        oracle::Target {
            path: path.display().to_string(),
            jobs: vec![asked.id.clone()],
            expected,
            found,
            publishes: arrived.map_or(oracle::Publishes::Unseen, |arrived| {
                oracle::Publishes::Times(arrived.renamed)
            }),
            intrusions: (0..made).map(|_| "a file that grows".to_owned()).collect(),
        }
    }

    fn exits(&self, side: &Side) -> io::Result<Vec<oracle::Exit>> {
        let notes = fs::read_to_string(side.install.join("exit-runs")).unwrap_or_default();
        let questions = judged::questions(&side.install);
        let mut exits = Vec::new();
        for job in side.jobs.iter().filter(|job| !job.spec.exits.is_none()) {
            let entries = self.runtime.block_on(side.client.entries(&job.id));
            let entries = entries.map_err(io::Error::other)?;
            let asked = questions.iter().filter(|asked| **asked == job.id).count();
            let found = judged::exits(job, &entries, |when| runs(&notes, &job.id, when));
            exits.extend(found.into_iter().map(|exit| oracle::Exit {
                // Nobody is asked about another one.
                asked: (exit.name == When::Post.to_string()).then_some(asked),
                ..exit
            }));
        }
        Ok(exits)
    }

    /// What is left of partials once there was time to remove them.
    fn strays(&self, install: &Path) -> Vec<PathBuf> {
        let bank = self.lab.folder().join("bank/drop");
        let (branch, night) = (self.lab.branch_install().join("in"), install.join("in"));
        let mut strays = Vec::new();
        holds_within(Duration::from_secs(20), || {
            strays = strays_below(&bank, "night");
            strays.extend(strays_below(&branch, "night"));
            strays.extend(strays_below(&night, "branch"));
            strays.is_empty()
        });
        strays
    }

    /// Where the first attempt of a later ownership than `former` began; `None` when none was
    /// needed.
    fn resumed_at(&self, host: &Client, id: &JobId, former: Epoch) -> io::Result<Option<u64>> {
        let entries = self.runtime.block_on(host.entries(id)).map_err(io::Error::other)?;
        let mut later = entries.iter().filter(|entry| entry.epoch > former);
        let began = later.find(|entry| entry.status == Status::Transferring);
        let offset = later.chain(began).filter_map(|entry| {
            let note = entry.note.as_deref()?.strip_prefix("resumes at byte ")?;
            note.split(' ').next()?.parse().ok()
        });
        Ok(began.map(|_| offset.min().unwrap_or(0)))
    }
}

/// What the program of the exits noted of its runs for a job.
fn runs(notes: &str, job: &JobId, when: When) -> Vec<oracle::Run> {
    let run = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [of, exit, key, may_have_run] = words[..] else { return None };
        let run = oracle::Run { key: key.to_owned(), may_have_run: may_have_run == "1" };
        (of == job.as_str() && exit == when.as_str()).then_some(run)
    };
    notes.lines().filter_map(run).collect()
}

/// Whether a run of an exit has no end on record.
fn was_cut(exit: &oracle::Exit) -> bool {
    let count = |moment| exit.record.iter().filter(|found| **found == moment).count();
    count(Moment::Start) > count(Moment::End)
}

impl Damage {
    fn add(&mut self, violations: &[Violation]) {
        for violation in violations {
            match violation {
                Violation::Lost(_)
                | Violation::NotCompleted(..)
                | Violation::Absent(_)
                | Violation::Disagree(..)
                | Violation::Unpaired(_, 0) => self.lost += 1,
                Violation::Miscounted(..)
                | Violation::PublishedTimes(..)
                | Violation::Unpaired(..)
                | Violation::OutOfOrder(..) => self.doubled += 1,
                Violation::Differs(..)
                | Violation::WrongProof(_)
                | Violation::OtherFile(_)
                | Violation::Intrusion(..) => self.damaged += 1,
                _ => {}
            }
            self.violations.push(violation.to_string());
        }
    }
}
