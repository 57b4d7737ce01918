//! The names that an instance uses on a partner, as its operators are told.

use ferryway_core::{JobId, transport::EntryKind};

/// The job whose partial bears this name: `PRDY014.a1.part` in a staging folder,
/// `.report.csv.PRDY014.e7.a1.part` beside a target.
pub fn job_of(partial: &str) -> Option<JobId> {
    let name = partial.rsplit('/').next()?.strip_suffix(".part")?;
    let (name, _attempt) = name.rsplit_once('.')?;
    let name = match name.rsplit_once('.') {
        Some((name, epoch)) if is_epoch(epoch) => name,
        _ => name,
    };
    name.rsplit('.').next()?.parse().ok()
}

/// Whether something of `instance` on a partner is there for good: the folders of its epochs,
/// the empty files that bar those of former epochs, and the marks beside targets. `size` is a
/// file's; a path counts from any folder above.
///
/// | path | what it is |
/// |---|---|
/// | `.ferryway`, `.ferryway/night.BANK` | folders |
/// | `.ferryway/night.BANK/e7` | the folder of an epoch, or the empty file that bars it |
/// | `.ferryway.night.BANK.e7` | the empty mark of an epoch |
/// | `PRDY014.a2.old`, in an epoch's folder or beside a target | an empty file that bars the way of a lost command |
///
/// After `night.BANK`, `.2` and so on stand for what was made again.
pub fn stays(path: &str, kind: EntryKind, size: u64, instance: &str) -> bool {
    if is_old_target(path) {
        return kind == EntryKind::File && size == 0;
    }
    let empty = kind == EntryKind::Folder || size == 0;
    let own = |name: &str| name.strip_prefix(instance).is_some_and(|rest| rest.starts_with('.'));
    let mut below = path.split('/').skip_while(|part| !part.starts_with(".ferryway"));
    match (below.next(), below.next(), below.next(), below.next()) {
        (Some(".ferryway"), None, ..) => kind == EntryKind::Folder,
        (Some(".ferryway"), Some(name), None, _) => kind == EntryKind::Folder && own(name),
        (Some(".ferryway"), Some(name), Some(epoch), None) => empty && own(name) && is_epoch(epoch),
        (Some(mark), None, ..) => {
            let mark = mark.strip_prefix(".ferryway.").and_then(|mark| mark.rsplit_once('.'));
            let is_ours = mark.is_some_and(|(name, epoch)| own(name) && is_epoch(epoch));
            is_ours && kind == EntryKind::File && size == 0
        }
        _ => false,
    }
}

/// Whether this is a name to which an old target is moved.
fn is_old_target(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".old"));
    name.and_then(|name| name.rsplit_once(".a"))
        .is_some_and(|(job, number)| job.parse::<JobId>().is_ok() && number.parse::<u32>().is_ok())
}

fn is_epoch(name: &str) -> bool {
    name.strip_prefix('e').is_some_and(|number| number.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_tells_its_job() {
        let found = |name| job_of(name).map(|job| job.to_string());
        assert_eq!(found("/in/.ferryway/night.BANK/e7/PRDY014.a1.part").unwrap(), "PRDY014");
        assert_eq!(found("in/.report.csv.PRDY014.e7.a12.part").unwrap(), "PRDY014");
        assert_eq!(found("in/report.csv"), None);
    }

    #[test]
    fn what_stays_and_what_is_a_stray() {
        use EntryKind::{File, Folder};
        for (path, kind, size) in [
            ("in/.ferryway", Folder, 0),
            ("in/.ferryway/night.BANK", Folder, 0),
            ("in/.ferryway/night.BANK/e7", Folder, 0),
            ("in/.ferryway/night.BANK/e7", File, 0),
            ("in/.ferryway/night.BANK.2/e7", File, 0),
            ("/srv/in/.ferryway.night.BANK.e7", File, 0),
            ("in/.ferryway/night.BANK/e7/PRDY014.a2.old", File, 0),
            ("in/PRDY014.a2.old", File, 0),
            (".ferryway.night.BANK.2.e17", File, 0),
        ] {
            assert!(stays(path, kind, size, "night"), "{path} {kind:?}");
        }
        for (path, kind, size) in [
            ("in/.ferryway", File, 0),
            ("in/.ferryway/day.BANK", Folder, 0),
            ("in/.ferryway/night.BANK/e7", File, 1),
            ("in/.ferryway/night.BANK/e8.from-e7.1", Folder, 0),
            ("in/.ferryway/night.BANK/e7/PRDY011.a1.part", File, 0),
            ("in/.ferryway.night.BANK.e7", File, 3),
            ("in/.ferryway.night.BANK.e7", Folder, 0),
            ("in/.ferryway.night.BANK.part", File, 0),
            ("in/.report.csv.PRDY011.e1.a1.part", File, 0),
            ("in/report.csv", File, 0),
        ] {
            assert!(!stays(path, kind, size, "night"), "{path} {kind:?}");
        }
    }
}
