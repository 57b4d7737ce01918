//! Stamps the crate with what decides whether two builds share one Rust ABI and
//! that rustc does not already fold into the crate's identity.
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    process::Command,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");

    let rustc = Command::new(variable("RUSTC")).arg("-vV").output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let field = |key| rustc.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?").trim();
    println!("cargo::rustc-env=FERRYWAY_RUSTC={} {}", field("release:"), field("commit-hash:"));

    let mut source = DefaultHasher::new();
    hash_tree(Path::new("src"), &mut source)?;
    let mut flags = DefaultHasher::new();
    for key in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_CFG_TARGET_FEATURE"] {
        variable(key).hash(&mut flags);
    }
    println!(
        "cargo::rustc-env=FERRYWAY_BUILD={} {} panic={} source={:016x} flags={:016x}",
        variable("TARGET"),
        variable("PROFILE"),
        variable("CARGO_CFG_PANIC"),
        source.finish(),
        flags.finish(),
    );
    Ok(())
}

fn variable(key: &str) -> String {
    env::var(key).unwrap_or_default()
}

fn hash_tree(folder: &Path, hash: &mut DefaultHasher) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        path.hash(hash);
        if path.is_dir() {
            hash_tree(&path, hash)?;
        } else {
            fs::read(&path)?.hash(hash);
        }
    }
    Ok(())
}
