//! What the loader refuses. Every library here is a real one.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
};

use ferryway_host::loader::{Distrust, LoadError, Refusal};
use tempfile::TempDir;

use crate::support::{
    BUILD, CORE, IDENTITY, MAGIC, NAME, RUSTC, built, declaration, file_name, impostor, load,
    only_refusal, refusal, replace,
};

/// Refuses an impostor whose declaration is a good one after `change`.
fn refuse_declared(change: impl FnOnce(&mut Vec<u8>)) -> Option<Refusal> {
    let mut declaration = declaration(&built("unruly_transport"));
    replace(&mut declaration, NAME, "impostor");
    change(&mut declaration);
    let folder = TempDir::new().unwrap();
    Some(refusal(&impostor(folder.path(), Some(&declaration), false)?))
}

#[test]
fn a_text_is_no_library() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file_name("text"));
    fs::write(&path, "This is not the plugin that you are looking for.").unwrap();
    let plugins = load(folder.path());
    let LoadError { refusal, .. } = &plugins.refused[0];
    assert!(matches!(refusal, Refusal::NotALibrary(_)), "{refusal:?}");
    let text = plugins.refused[0].to_string();
    assert!(text.starts_with(&format!("plugin {}: it is not", path.display())), "{text}");
    assert!(text.contains("to do: copy the library again"), "{text}");
}

#[test]
fn a_library_cut_off_anywhere_is_refused_and_never_mapped() {
    let whole = fs::read(built("unruly_transport")).unwrap();
    for length in [0, 3, 16, 64, 4096, whole.len() / 2, whole.len() - 1] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(file_name("cut")), &whole[..length]).unwrap();
        let refusal = only_refusal(folder.path());
        assert!(matches!(refusal, Refusal::NotALibrary(_)), "{length} bytes: {refusal:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_no_library() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join(file_name("folder"))).unwrap();
    assert!(matches!(only_refusal(folder.path()), Refusal::NotALibrary(_)));
}

#[test]
fn a_link_that_leads_nowhere_is_unreadable() {
    let folder = TempDir::new().unwrap();
    symlink("nowhere", folder.path().join(file_name("link"))).unwrap();
    assert!(matches!(only_refusal(folder.path()), Refusal::Unreadable(_)));
}

#[test]
fn an_object_file_or_a_program_is_no_plugin() {
    let program = refusal(&std::env::current_exe().unwrap());
    assert!(matches!(program, Refusal::NoPlugin | Refusal::NotALibrary(_)), "{program:?}");
}

#[test]
fn a_library_without_a_declaration_is_no_plugin() {
    let folder = TempDir::new().unwrap();
    let Some(library) = impostor(folder.path(), None, false) else { return };
    assert_eq!(refusal(&library), Refusal::NoPlugin);
}

#[test]
fn a_declaration_of_another_form_is_refused() {
    let next_form = |declaration: &mut Vec<u8>| replace(declaration, MAGIC, "ferryway-plugin\x02");
    let Some(refusal) = refuse_declared(next_form) else { return };
    let Refusal::UnknownDeclaration(why) = refusal else { panic!("{refusal:?}") };
    assert!(why.contains(r"ferryway-plugin\x02"), "{why}");
}

#[test]
fn a_library_with_two_declarations_is_refused() {
    let Some(refusal) = refuse_declared(|declaration| declaration.extend(declaration.clone()))
    else {
        return;
    };
    assert!(matches!(refusal, Refusal::UnknownDeclaration(_)), "{refusal:?}");
}

#[test]
fn every_part_of_the_declaration_that_differs_is_told_with_both_sides() {
    let cases = [
        (RUSTC, "1.0.0 0123abc", "the compiler"),
        (CORE, "99.0.0", "the version of ferryway-core"),
        (BUILD, "sparc-sun-solaris release", "the build"),
        (IDENTITY, "not the same one", "a dependency or feature below ferryway-core"),
    ];
    for (part, text, what) in cases {
        let changed = refuse_declared(|declaration| replace(declaration, part, text));
        let Some(refusal) = changed else { return };
        let Refusal::Mismatch(mismatch) = &refusal else { panic!("{refusal:?}") };
        assert_eq!(mismatch.what, what);
        assert!(part == IDENTITY || mismatch.plugin == text, "{mismatch}");
        assert_ne!(mismatch.host, mismatch.plugin);
        let error = LoadError { path: "x.so".into(), refusal: refusal.clone() }.to_string();
        for expected in [&mismatch.host, &mismatch.plugin, "cargo build --release"] {
            assert!(error.contains(expected), "{expected:?} is not in {error}");
        }
    }
}

#[test]
fn a_library_without_the_entry_point_does_not_link() {
    let Some(refusal) = refuse_declared(|_| ()) else { return };
    let Refusal::Link(causes) = refusal else { panic!("{refusal:?}") };
    assert!(causes.contains("undefined symbol: ferryway_entry_impostor"), "{causes}");
}

#[test]
fn a_library_that_needs_what_is_not_there_does_not_link() {
    let mut declaration = declaration(&built("unruly_transport"));
    replace(&mut declaration, NAME, "impostor");
    let folder = TempDir::new().unwrap();
    let Some(library) = impostor(folder.path(), Some(&declaration), true) else { return };
    let refusal = refusal(&library);
    let Refusal::Link(causes) = refusal else { panic!("{refusal:?}") };
    assert!(causes.contains("undefined symbol: nowhere_to_be_found"), "{causes}");
}

#[test]
fn a_panic_in_the_constructor_is_a_refusal() {
    let refusal = refusal(&built("stillborn_transport"));
    let Refusal::Constructor(causes) = refusal else { panic!("{refusal:?}") };
    assert!(causes.contains("no life in here"), "{causes}");
}

#[test]
fn a_library_that_everybody_may_write_is_not_trusted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file_name("open"));
    fs::copy(built("unruly_transport"), &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o746)).unwrap();
    let refusal = only_refusal(folder.path());
    let Refusal::Untrusted { place, distrust } = &refusal else { panic!("{refusal:?}") };
    assert_eq!(*place, fs::canonicalize(&path).unwrap());
    assert_eq!(*distrust, Distrust::WorldWritable { mode: 0o746 });
    assert!(refusal.cure().contains("chmod o-w"), "{}", refusal.cure());

    fs::set_permissions(&path, Permissions::from_mode(0o744)).unwrap();
    assert_eq!(load(folder.path()).loaded.len(), 1, "the cure does not help");
}

#[test]
fn a_folder_that_everybody_may_write_is_not_trusted_even_through_a_link() {
    let (open, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = open.path().join(file_name("x"));
    fs::copy(built("unruly_transport"), &path).unwrap();
    symlink(&path, folder.path().join(file_name("link"))).unwrap();
    fs::set_permissions(open.path(), Permissions::from_mode(0o1777)).unwrap();
    for folder in [&open, &folder] {
        let refusal = only_refusal(folder.path());
        let Refusal::Untrusted { place, distrust } = refusal else { panic!("{refusal:?}") };
        assert_eq!(place, fs::canonicalize(open.path()).unwrap());
        assert_eq!(distrust, Distrust::WorldWritable { mode: 0o1777 });
    }
}

#[test]
fn a_library_of_another_user_is_not_trusted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file_name("foreign"));
    fs::copy(built("unruly_transport"), &path).unwrap();
    // Only root may give files away; the rule itself is tested beside its code, too.
    if std::os::unix::fs::chown(&path, Some(54_321), None).is_err() {
        eprintln!("SKIPPED: a library of another user: only root can make one");
        return;
    }
    let refusal = only_refusal(folder.path());
    let Refusal::Untrusted { distrust, .. } = &refusal else { panic!("{refusal:?}") };
    assert!(matches!(distrust, Distrust::ForeignOwner { owner: 54_321, .. }), "{distrust:?}");
}
