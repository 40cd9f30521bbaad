//! Servers end with their user, however it ends; they are shared, handed on and started again.

use std::{path::PathBuf, thread, time::Duration};

use procfs::process::Process;

use super::using::*;

#[test]
fn a_server_lives_until_it_is_ended() {
    let mut user = User::new();
    let (url, process) = user.use_server();
    assert!(url.starts_with("redis://127.0.0.1:"), "{url}");
    assert_eq!(user.use_server(), (url.clone(), process), "one server of a kind");
    assert_eq!(redis(&url, "PING"), "+PONG");
    assert!(!files_in(&user.data()).is_empty());
    user.end();
}

#[test]
fn a_server_ends_with_its_user() {
    for order in ["use", "use postgres", "start nginx"] {
        let mut user = User::new();
        user.started(order);
        drop(user.process.stdin.take());
        user.process.wait().unwrap();
        user.assert_nothing_is_left();
    }
}

#[test]
fn a_server_ends_when_its_user_is_killed_at_any_moment() {
    // PostgreSQL first makes its data folder, which takes about half a second. The cluster takes two seconds to be ready.
    for (order, step_ms, moments) in [
        ("use", 2, 20),
        ("use postgres", 40, 20),
        ("use postgres_replica", 250, 6),
        ("use postgres_shards", 250, 6),
        ("use rabbitmq", 600, 3),
        ("use redis_cluster", 20, 6),
        ("start nginx", 2, 20),
    ] {
        for moment in 0..moments {
            let mut user = User::new();
            user.order(order);
            thread::sleep(Duration::from_millis(moment * step_ms));
            user.process.kill().unwrap();
            user.process.wait().unwrap();
            user.assert_nothing_is_left();
        }
    }
}

#[test]
fn a_server_ends_when_its_supervisor_is_killed() {
    let mut user = User::new();
    let (_, process) = user.use_server();
    let supervisor = Process::new(process.cast_signed()).unwrap().stat().unwrap().ppid;
    kill(supervisor.cast_unsigned());
    assert!(eventually(|| has_ended(process)));
    // Its folder is found by the next server.
    let (_, another) = user.use_server();
    assert_ne!(another, process);
    assert_eq!(files_in(&user.data()).len(), 1);
    user.ask("end");
    user.assert_nothing_is_left();
}

#[test]
fn a_server_that_was_killed_is_started_again() {
    let mut user = User::new();
    let (_, process) = user.use_server();
    kill(process);
    assert!(eventually(|| has_ended(process)));
    let (url, another) = user.use_server();
    assert_ne!(another, process);
    assert_eq!(redis(&url, "PING"), "+PONG");
    user.ask("end");
    user.assert_nothing_is_left();
}

#[test]
fn a_server_that_is_handed_on_is_used_and_survives() {
    let mut first = User::new();
    let (url, _) = first.use_server();
    let (name, value) = first.hand_on();
    let mut second = User::with(&[(&name, &value)]);
    let line = second.ask("use");
    assert!(line.starts_with(&url) && line.contains("HandedOn"), "{line}");
    assert_eq!(files_in(&second.data()), Vec::<PathBuf>::new());
    // Both count its time as their own.
    for key in 0..200 {
        redis(&url, &format!("EVAL \"for i=1,100000 do end return {key}\" 0"));
    }
    for user in [&mut first, &mut second] {
        let milliseconds: u64 = user.ask("cpu").parse().unwrap();
        assert!(milliseconds >= 20, "{milliseconds}");
    }
    assert_eq!(second.ask("end"), "ended");
    drop(second);
    assert_eq!(redis(&url, "PING"), "+PONG");
}

#[test]
fn a_server_inherits_no_priority_no_core_and_no_settings() {
    let mut user =
        User::with(&[("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1"), ("MALLOC_CONF", "")]);
    let was_set = user.ask("pin") == "0";
    let (_, process) = user.use_server();
    let server = Process::new(process.cast_signed()).unwrap();
    let stat = server.stat().unwrap();
    assert_eq!((stat.policy, stat.rt_priority), (Some(0), Some(0)), "{was_set}");
    let names: Vec<String> =
        server.environ().unwrap().into_keys().map(|name| name.into_string().unwrap()).collect();
    assert!(
        !names.iter().any(|name| name.contains("TUNABLES") || name.contains("MALLOC")),
        "{names:?}"
    );
    let cores = |process: &Process| process.status().unwrap().cpus_allowed_list.unwrap();
    assert_eq!(cores(&server), cores(&Process::myself().unwrap()));
}
