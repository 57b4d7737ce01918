//! The other side as hosts of this program: `partner` is one, `cluster` two of one instance, of
//! which one owns it.

mod cluster;
mod partner;

use super::{held::Held, moment::Moment, settings::TARGET};
use crate::laboratory::{
    Failure,
    relay::Relay,
    watch::{Watch, What},
};

pub(super) use cluster::HostCluster;
pub(super) use partner::HostPartner;

fn hold(way: &Relay, moment: &Moment) -> Result<Held, Failure> {
    let stop = moment.stop().ok_or_else(|| Failure(format!("no host knows {moment}")))?;
    Ok(Held::Connection(way.stop(stop)))
}

/// How often the target was put in place by a rename, as the kernel saw it.
fn published(watch: &Watch) -> Result<u32, Failure> {
    let onto = |what, path: &str| u32::from(what == What::MovedHere && path == TARGET);
    Ok(watch.changes()?.iter().map(|change| onto(change.what, &change.path)).sum())
}
