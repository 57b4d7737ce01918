//! Every point at which one of two hosts can die while one sends to the other by socket: the
//! real plugin, and a real reception with its own journal. Whoever dies is followed by a
//! successor on its disk as it was; then once more, with a second death.

use std::collections::HashMap;

use ferryway_core::{Operation, Publish};
use ferryway_host::journal::{Point as Step, record::Job};
use ferryway_mocks::oracle::{Publishes, job_of};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    crash::Broken,
    every_point::works_off,
    house::{Host, House},
    lab::{LIMIT, Lab, Node, RESUME_MIN, Setup, TARGET},
    points::{Kind, Snare},
    wire::{Act, Point, When, Wire},
};

/// Runs side by side. More would only keep each other waiting, and run into their time limits.
static ROOM: Semaphore = Semaphore::const_new(8);

/// The setups through which every death goes, by name.
fn setups() -> Vec<(&'static str, Setup)> {
    let base = Setup { size: 20_000, keep_recent: 0, ..Setup::default() };
    let resume = Setup { size: RESUME_MIN + 5000, old_target: true, ..base.clone() };
    let beside = Setup { staging: "beside", ..base.clone() };
    let direct = Setup { publish: Publish::Direct, ..base.clone() };
    vec![("folder", base), ("resume", resume), ("beside", beside), ("direct", direct)]
}

/// The end that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Sending,
    Receiving,
}

/// A death: whose, and where.
#[derive(Clone, Copy, Debug)]
struct Death {
    side: Side,
    kind: Kind,
    nth: u32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_of_two_hosts_may_die_at_every_point() {
    let mut tasks = JoinSet::new();
    for (name, setup) in setups() {
        for side in [Side::Sending, Side::Receiving] {
            for kind in kinds(&setup, side) {
                let setup = setup.clone();
                tasks.spawn(async move {
                    let (points, broken) = each(name, &setup, &[], side, kind).await;
                    (name, side, kind, points, broken)
                });
            }
        }
    }
    let (mut counts, mut broken) = (HashMap::new(), Broken::default());
    while let Some(done) = tasks.join_next().await {
        let (name, side, kind, points, found) = done.expect("a task breaks only with its test");
        counts.insert((name, side, kind), points);
        broken.merge(found);
    }
    for (name, setup) in setups() {
        for side in [Side::Sending, Side::Receiving] {
            let of = |kind| counts.get(&(name, side, kind)).copied().unwrap_or(0);
            let points: u32 = kinds(&setup, side).into_iter().map(of).sum();
            eprintln!("{name}, {side:?}: {points} deaths");
        }
    }
    eprintln!("{} deaths of two hosts", counts.values().sum::<u32>());
    broken.report();
    assert_full(&counts);
}

/// Over a long line a small file takes as long as the answers that it waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_waits_for_four_answers() {
    let (_, setup) = setups().remove(0);
    let mut field = Field::new(&setup);
    field.submit(field.lab.wire("sender")).await;
    works_off(&field.lab, field.sender.as_ref().unwrap()).await;
    let asked: Vec<_> = field.lab.log.entries().into_iter().map(|done| done.operation).collect();
    use Operation::{Checksum, Rename, Stat, Store, Tell};
    let of_job = |asked: &Operation| matches!(asked, Checksum | Rename | Stat | Store | Tell);
    let of_job: Vec<_> = asked.into_iter().filter(of_job).collect();
    assert_eq!(of_job, [Tell, Store, Rename, Tell], "{}", field.lab.log.print());
    field.end().await;
}

/// The hash that the receiving host tells is compared as one that was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_changed_on_the_way_to_a_host_are_sent_anew() {
    let (_, setup) = setups().remove(0);
    let mut field = Field::new(&setup);
    let wire = field.lab.wire("sender");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::Corrupt(1000));
    field.submit(wire).await;
    assert_eq!(field.judge().await, Ok(()), "{}", field.lab.log.print());
    assert_eq!(point.fired(), 1);
    field.end().await;
}

/// Every kind fired where it must.
fn assert_full(counts: &HashMap<(&'static str, Side, Kind), u32>) {
    for (name, setup) in setups() {
        for side in [Side::Sending, Side::Receiving] {
            let of = |kind| counts[&(name, side, kind)];
            for kind in [Kind::Before, Kind::After] {
                assert!(of(kind) > 3, "{name} {side:?} {kind:?}: {}", of(kind));
            }
            let half = Kind::Data("STOR", setup.size as u64 / 2);
            for kind in [half, Kind::Torn, Kind::Journal(Step::Committed)] {
                assert!(of(kind) > 0, "{name} {side:?} {kind:?} never fires");
            }
        }
    }
}

/// All second deaths after all first ones, of either end:
/// `cargo test -p ferryway-host --test delivery -- --ignored two_deaths_of_two_hosts`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes"]
async fn two_deaths_of_two_hosts() {
    let mut tasks = JoinSet::new();
    let (_, setup) = setups().remove(0);
    for first_side in [Side::Sending, Side::Receiving] {
        for kind in kinds(&setup, first_side) {
            let setup = setup.clone();
            tasks.spawn(async move {
                let (mut points, mut broken) = (0, Broken::default());
                for nth in 1.. {
                    let first = Death { side: first_side, kind, nth };
                    if !play(&setup, &[first]).await.0 {
                        break;
                    }
                    for side in [Side::Sending, Side::Receiving] {
                        for kind in kinds(&setup, side) {
                            let (count, found) = each("folder", &setup, &[first], side, kind).await;
                            points += count;
                            broken.merge(found);
                        }
                    }
                }
                (points, broken)
            });
        }
    }
    let (mut points, mut broken) = (0, Broken::default());
    while let Some(done) = tasks.join_next().await {
        let (count, found) = done.expect("a task breaks only with its test");
        points += count;
        broken.merge(found);
    }
    eprintln!("{points} second deaths of two hosts");
    broken.report();
    assert!(points > 1000, "{points}");
}

/// All deaths of one kind at one end, each after these: how many there are, and what went wrong.
async fn each(
    name: &str,
    setup: &Setup,
    before: &[Death],
    side: Side,
    kind: Kind,
) -> (u32, Broken) {
    let mut broken = Broken::default();
    for nth in 1.. {
        let mut deaths = before.to_vec();
        deaths.push(Death { side, kind, nth });
        let (struck, result, story) = play(setup, &deaths).await;
        if !struck {
            return (nth - 1, broken);
        }
        broken.add(format!("{name}: {deaths:?}"), result, || story);
    }
    unreachable!("a run ends")
}

/// The kinds of points that the runs of one end have.
fn kinds(setup: &Setup, side: Side) -> Vec<Kind> {
    let half = setup.size as u64 / 2;
    let mut kinds = vec![Kind::Before, Kind::After, Kind::Data("STOR", half), Kind::Torn];
    kinds.extend(Step::EACH.map(Kind::Journal));
    kinds.push(Kind::HalfCopied);
    if side == Side::Sending && setup.publish == Publish::Atomic {
        kinds.push(Kind::Late);
    }
    kinds
}

/// Plays a run with these deaths in their order: whether all of them came, what the oracle says,
/// and the story.
async fn play(setup: &Setup, deaths: &[Death]) -> (bool, Result<(), String>, String) {
    let _room = ROOM.acquire().await.expect("it is never closed");
    let mut field = Field::new(setup);
    let struck = field.run(deaths).await;
    let result = if struck { field.judge().await } else { Ok(()) };
    field.end().await;
    (struck, result, format!("{setup:?}\n{}\n{}", field.lab.log.print(), field.house.log.print()))
}

/// Where a node is to die, armed before it starts.
struct Ambush {
    kind: Kind,
    point: Option<Point>,
    snare: Snare,
}

/// Two installations, on which nodes die.
struct Field {
    lab: Lab,
    house: House,
    sender: Option<Node>,
    receiver: Option<Host>,
    accepted: Vec<Job>,
    /// How many nodes there were.
    nodes: u32,
    late: Vec<Point>,
}

impl Field {
    fn new(setup: &Setup) -> Self {
        let house = House::new();
        let lab = Lab::with_remote(setup.clone(), Some(house.partner()));
        let (sender, receiver) = (None, None);
        Self { lab, house, sender, receiver, accepted: Vec::new(), nodes: 0, late: Vec::new() }
    }

    /// Lets nodes die one after the other; false when the job was done before.
    async fn run(&mut self, deaths: &[Death]) -> bool {
        for (number, death) in deaths.iter().enumerate() {
            // Whoever is to die next starts with its ambush.
            if number > 0 {
                self.rest_a_node(death.side).await;
            }
            let struck = match death.side {
                Side::Sending => self.sender_dies(*death).await,
                Side::Receiving => self.receiver_dies(*death).await,
            };
            if !struck {
                return false;
            }
        }
        true
    }

    /// Has a sender with this wire accept the job.
    async fn submit(&mut self, wire: Wire) {
        self.open_house().await;
        let sender = self.lab.start_with(wire, "sender", Default::default()).await.unwrap();
        self.accepted.push(sender.submit().await.unwrap());
        self.sender = Some(sender);
    }

    /// Ends the node of this side in good order, if one runs, so that the next one is new.
    async fn rest_a_node(&mut self, side: Side) {
        match side {
            Side::Sending => {
                if let Some(sender) = self.sender.take() {
                    sender.dies().await;
                }
            }
            Side::Receiving => {
                if let Some(receiver) = self.receiver.take() {
                    receiver.dies().await;
                }
            }
        }
    }

    async fn sender_dies(&mut self, death: Death) -> bool {
        self.open_house().await;
        let name = self.name();
        let wire = self.lab.wire(&name);
        let ambush = Ambush::set(death, &wire, self.lab.path(), self.lab.camera());
        if let Ok(node) = self.lab.start_with(wire, &name, ambush.snare.hook()).await {
            self.work(&node, &ambush).await;
            let image = ambush.has_struck().then(|| self.image_of_sender(&ambush));
            node.dies().await;
            let Some(image) = image else { return false };
            self.lab.mount(image);
        } else {
            assert!(ambush.has_struck(), "only an ambush keeps a node from starting");
            let image = self.image_of_sender(&ambush);
            self.lab.mount(image);
        }
        self.late.extend(ambush.point.filter(|_| ambush.kind == Kind::Late));
        true
    }

    async fn receiver_dies(&mut self, death: Death) -> bool {
        let name = self.name();
        let wire = self.house.wire(&name);
        let ambush = Ambush::set(death, &wire, self.house.path(), self.house.camera());
        let host = self.house.open(wire, &name, ambush.snare.hook()).await;
        if let Ok(host) = host {
            if self.sender.is_none() {
                let name = self.name();
                self.sender = Some(self.lab.start(&name).await);
            }
            let sender = self.sender.take().expect("it was started");
            self.work(&sender, &ambush).await;
            self.sender = Some(sender);
            let image = ambush.has_struck().then(|| self.image_of_receiver(&ambush));
            host.dies().await;
            let Some(image) = image else { return false };
            self.house.mount(image);
        } else {
            assert!(ambush.has_struck(), "only an ambush keeps a door from opening");
            let image = self.image_of_receiver(&ambush);
            self.house.mount(image);
        }
        if let Some(remote) = &mut self.lab.remote {
            remote.folder = self.house.received();
        }
        self.open_house().await;
        true
    }

    /// Lets the sender submit the job once, and work until the ambush or to the end.
    async fn work(&mut self, node: &Node, ambush: &Ambush) {
        let accepted = &mut self.accepted;
        let lab = &self.lab;
        let work = async {
            if accepted.is_empty() {
                // A refused request is not accepted; whether it is on record is not known.
                accepted.extend(node.submit().await.ok());
            }
            works_off(lab, node).await;
        };
        let ended = async {
            tokio::select! {
                biased;
                () = ambush.strikes() => {}
                () = work => {}
            }
        };
        timeout(LIMIT, ended).await.expect("the node dies or ends");
    }

    fn image_of_sender(&self, ambush: &Ambush) -> tempfile::TempDir {
        ambush.snare.image().unwrap_or_else(|| self.lab.image())
    }

    fn image_of_receiver(&self, ambush: &Ambush) -> tempfile::TempDir {
        ambush.snare.image().unwrap_or_else(|| self.house.camera()())
    }

    async fn open_house(&mut self) {
        if self.receiver.is_some() {
            return;
        }
        let name = self.name();
        let host = self.house.open(self.house.wire(&name), &name, Default::default()).await;
        self.receiver = Some(host.expect("the door opens"));
    }

    fn name(&mut self) -> String {
        self.nodes += 1;
        format!("n{}", self.nodes)
    }

    /// Lets whoever is left finish, and holds the result to the oracle.
    async fn judge(&mut self) -> Result<(), String> {
        self.open_house().await;
        let node = match self.sender.take() {
            Some(node) => node,
            None => {
                let name = self.name();
                self.lab.start(&name).await
            }
        };
        if self.accepted.is_empty() {
            self.accepted = node.all().await;
        }
        for job in &self.accepted {
            node.rest(&job.id).await;
        }
        let mut result = match self.accepted.is_empty() {
            true => Ok(()),
            false => self.lab.check_by(&node, &self.accepted, self.publishes()).await,
        };
        if let Some(receiver) = &self.receiver {
            result = result.and(receiver.check(self.accepted.len()).await);
        }
        for point in &self.late {
            point.release_late().await;
        }
        if !self.late.is_empty() && !self.accepted.is_empty() {
            result = result.and(self.lab.check_by(&node, &self.accepted, self.publishes()).await);
        }
        node.stop().await;
        result
    }

    /// Renames onto the target, as the receiving nodes performed them.
    fn publishes(&self) -> Publishes {
        let entries = self.house.log.entries();
        let onto = entries.iter().filter(|done| {
            done.ok && done.operation == Operation::Rename && done.to.as_deref() == Some(TARGET)
        });
        Publishes::By(onto.filter_map(|done| job_of(&done.path)).collect())
    }

    async fn end(&mut self) {
        self.rest_a_node(Side::Sending).await;
        self.rest_a_node(Side::Receiving).await;
    }
}

impl Ambush {
    fn set(
        death: Death,
        wire: &Wire,
        disk: &std::path::Path,
        camera: impl Fn() -> tempfile::TempDir + Send + Sync + 'static,
    ) -> Self {
        let Death { kind, nth, .. } = death;
        let number = nth as usize;
        let plan = match kind {
            Kind::Before => Some((When::Number(number), Act::DieBefore)),
            Kind::After => Some((When::Number(number), Act::DieAfter)),
            Kind::Late => Some((When::Number(number), Act::Late)),
            Kind::Data(_, at) => Some((When::Nth(Operation::Store, number), Act::DieMid(at))),
            _ => None,
        };
        let point = plan.map(|(when, act)| wire.plan(when, act));
        let dying = wire.clone();
        let camera = move || {
            // What is answered from here on is not on the disk of the successor.
            dying.die();
            camera()
        };
        Self { kind, point, snare: Snare::set(kind, nth, disk, camera) }
    }

    async fn strikes(&self) {
        match &self.point {
            Some(point) => point.strikes().await,
            None => self.snare.strikes().await,
        }
    }

    fn has_struck(&self) -> bool {
        self.point.as_ref().map_or(self.snare.has_struck(), |point| point.fired() > 0)
    }
}
