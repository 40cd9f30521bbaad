//! Records the compiler and the flags, which results must name.

use std::process::Command;

fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " ");
    println!("cargo::rustc-env=WORTHIT_RUSTC={}", version.as_deref().unwrap_or("unknown").trim());
    println!("cargo::rustc-env=WORTHIT_RUSTFLAGS={flags}");
    for (name, variable) in [("WORTHIT_OPT_LEVEL", "OPT_LEVEL"), ("WORTHIT_TARGET", "TARGET")] {
        println!("cargo::rustc-env={name}={}", std::env::var(variable).unwrap_or_default());
    }
    println!("cargo::rerun-if-changed=build.rs");
}
