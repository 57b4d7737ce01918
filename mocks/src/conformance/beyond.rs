//! What servers do not let any transport keep.

/// A case of the suite that fails whatever a transport does, and why.
pub type Beyond = (&'static str, &'static str);

/// The cases that are beyond a kind of server, in the order of the suite; the kind by the name
/// of its preset in [`Behaviour::presets`](crate::ftp_server::Behaviour::presets). They hold
/// for the mock and for the real one.
pub fn beyond(preset: &str) -> &'static [Beyond] {
    const PROHIBITED: &str = "a name with a backslash is prohibited";
    match preset {
        "proftpd_defaults" => &[
            ("a_store_at_zero_replaces_a_longer_file", "no file is overwritten"),
            ("a_store_at_an_offset_goes_on", "FEAT offers a restart, and STOR refuses it"),
        ],
        "proftpd_hidden_stores" => {
            &[("a_store_at_an_offset_goes_on", "FEAT offers a restart, and STOR refuses it")]
        }
        "pure_ftpd" => {
            &[("a_list_has_every_name", PROHIBITED), ("odd_names_round_trip", PROHIBITED)]
        }
        "pure_ftpd_atomic" => &[
            ("a_list_has_every_name", PROHIBITED),
            ("odd_names_round_trip", PROHIBITED),
            ("a_store_onto_a_folder_fails", "a temporary file that cannot be renamed gets 226"),
        ],
        _ => &[],
    }
}
