//! What `--help` promises: its examples run. Completions and manual pages name every command.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::printed;

/// Commands whose examples measure, build or install, which other tests do.
const NOT_RUN: [&str; 5] = ["gate", "scale", "machine", "audit", "history"];

/// Names of the commands in the help of `worthit`.
fn commands(folder: &Path) -> Vec<String> {
    let help = printed(folder, &["help"]);
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed = listed.lines().take_while(|line| line.starts_with("  "));
    let names = listed.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_examples_of_each_command_run() {
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_worthit")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let sources = folder.path().join("src");
    fs::create_dir(&sources).unwrap();
    let manifest =
        "[package]\nname = \"smells\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    let smell = "fn main() { let v = vec![1]; println!(\"{}\", v.iter().nth(0).unwrap()); }\n";
    fs::write(sources.join("main.rs"), smell).unwrap();
    fs::write(folder.path().join("stacks.folded"), "main;orders::load 3\nmain 7\n").unwrap();
    let mut ran = 0;
    for command in commands(folder.path()) {
        let help = printed(folder.path(), &[&command, "--help"]);
        let Some((_, examples)) = help.split_once("Examples:\n") else { continue };
        if NOT_RUN.contains(&command.as_str()) {
            continue;
        }
        for example in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut shell = Command::new("bash");
            shell.args(["-o", "pipefail", "-c", example]).current_dir(folder.path());
            shell.env("PATH", &path).env("WORTHIT_HOME", folder.path().join("home"));
            shell.env_remove("CARGO_PKG_NAME").env_remove("CARGO_TARGET_DIR");
            let output = shell.stdin(Stdio::null()).output().unwrap();
            assert!(
                output.status.success(),
                "{example}\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
            ran += 1;
        }
    }
    assert!(ran >= 20, "only {ran} examples");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(folder.path());
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(folder.path(), &["completions", shell]);
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let page = printed(folder.path(), &["man"]);
    assert!(
        commands.iter().all(|command| page.contains(&format!("worthit\\-{command}"))),
        "{page}"
    );
    assert_eq!(printed(folder.path(), &["man", "--into", "."]), "");
    for command in commands {
        let page = fs::read_to_string(folder.path().join(format!("worthit-{command}.1"))).unwrap();
        assert!(page.contains("SYNOPSIS"), "{page}");
    }
    let (status, message) = super::failure(folder.path(), &["man", "--into", "missing"]);
    assert_eq!(status, 1);
    assert!(message.contains("cannot write pages into missing"), "{message}");
}
