//! What the journal and the host take as the work grows; see `benches/README.md`.

pub mod bare;
pub mod fixed;
pub mod frames;
pub mod house;
pub mod jobs;
pub mod log;
pub mod takeover;
pub mod transitions;

/// Whatever ends a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The middle one of some values, or the upper of two; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
