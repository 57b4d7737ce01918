//! Visits every state of a system, and tells what is wrong in one of them and how it came to it.
//!
//! The known model checker of the registry, stateright, turns on the feature `rc` of serde. With it
//! in the workspace a plugin built with the tests would not fit a host built without them.
//!
//! A state is known by a hash of 64 bits, so that millions fit into memory. Two states with one
//! hash would be taken for one: with ten million states the odds are about one in 400,000.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// What can be searched.
pub trait System {
    /// One moment.
    type State: Clone + Hash;
    /// What leads from one to the next.
    type Action: Copy;

    /// Where it begins.
    fn first(&self) -> Self::State;

    /// Adds what may happen in a state.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// The state after it; `None` when nothing changes.
    fn next(&self, state: &Self::State, action: Self::Action) -> Option<Self::State>;
}

/// What must hold in every state.
pub type Property<S> = (&'static str, fn(&S, &<S as System>::State) -> bool);

/// What a search found.
pub struct Found<A> {
    /// How many states there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// The properties that do not hold, each with a shortest way to where it does not.
    pub violated: Vec<(&'static str, Vec<A>)>,
    /// A shortest way to a state from which the goal is out of reach, if there is one.
    pub stuck: Option<Vec<A>>,
}

/// Visits every state, in the order of their distance from the first one.
pub fn search<S: System>(
    system: &S,
    properties: &[Property<S>],
    goal: impl Fn(&S::State) -> bool,
    mut visit: impl FnMut(&S::State, bool),
) -> Found<S::Action> {
    let mut graph = Graph::default();
    let first = system.first();
    graph.known.insert(fingerprint(&first), 0);
    graph.came_from.push(None);
    let mut violated: Vec<Option<u32>> = vec![None; properties.len()];
    let mut level = vec![(0, first)];
    let mut actions = Vec::new();
    while !level.is_empty() {
        for (number, state) in std::mem::take(&mut level) {
            for (place, (_, holds)) in violated.iter_mut().zip(properties) {
                if place.is_none() && !holds(system, &state) {
                    *place = Some(number);
                }
            }
            if goal(&state) {
                graph.goals.push(number);
            }
            let steps_before = graph.steps.len();
            system.actions(&state, &mut actions);
            for action in actions.drain(..) {
                let Some(next) = system.next(&state, action) else { continue };
                if let Some(new) = graph.step(number, action, fingerprint(&next)) {
                    level.push((new, next));
                }
            }
            visit(&state, graph.steps.len() == steps_before);
        }
    }
    let names = properties.iter().map(|(name, _)| *name);
    let violated = names.zip(violated);
    Found {
        states: graph.came_from.len(),
        steps: graph.steps.len(),
        violated: violated.filter_map(|(name, at)| Some((name, graph.way_to(at?)))).collect(),
        stuck: graph.out_of_reach().map(|at| graph.way_to(at)),
    }
}

struct Graph<A> {
    known: HashMap<u64, u32>,
    /// The state and the action that first led to a state.
    came_from: Vec<Option<(u32, A)>>,
    steps: Vec<(u32, u32)>,
    goals: Vec<u32>,
}

impl<A> Default for Graph<A> {
    fn default() -> Self {
        let (known, came_from) = (HashMap::new(), Vec::new());
        Self { known, came_from, steps: Vec::new(), goals: Vec::new() }
    }
}

impl<A: Copy> Graph<A> {
    /// Notes a step; gives the number of the state that it leads to when that is new.
    fn step(&mut self, from: u32, action: A, to: u64) -> Option<u32> {
        let fresh = u32::try_from(self.came_from.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(to).or_insert(fresh);
        self.steps.push((from, number));
        (number == fresh).then(|| {
            self.came_from.push(Some((from, action)));
            fresh
        })
    }

    fn way_to(&self, mut number: u32) -> Vec<A> {
        let mut way = Vec::new();
        while let Some((from, action)) = self.came_from[number as usize] {
            way.push(action);
            number = from;
        }
        way.reverse();
        way
    }

    /// The first state from which no way leads to a goal.
    fn out_of_reach(&self) -> Option<u32> {
        let states = self.came_from.len();
        // The steps by where they lead to, as one list with an index.
        let mut starts = vec![0_usize; states + 1];
        for (_, to) in &self.steps {
            starts[*to as usize + 1] += 1;
        }
        for state in 0..states {
            starts[state + 1] += starts[state];
        }
        let mut back = vec![0_u32; self.steps.len()];
        let mut place = starts.clone();
        for (from, to) in &self.steps {
            back[place[*to as usize]] = *from;
            place[*to as usize] += 1;
        }
        let mut reaches = vec![false; states];
        let mut open = self.goals.clone();
        while let Some(state) = open.pop() {
            if !std::mem::replace(&mut reaches[state as usize], true) {
                open.extend(&back[starts[state as usize]..starts[state as usize + 1]]);
            }
        }
        let first = reaches.iter().position(|reaches| !reaches)?;
        u32::try_from(first).ok()
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
