//! What each kind of server does: that it answers, and that its parts live and end together.

use std::{cell::Cell, fs, net::TcpListener, path::PathBuf};

use procfs::{
    net::TcpState,
    process::{FDTarget, Process},
};
use rustix::process::{Pid, Signal, kill_process};
use worthit_servers::nginx::Nginx;

use super::{hello, using::*};

#[test]
fn postgres_answers_whom_it_knows() {
    let mut user = User::new();
    let (url, process) = user.started("use postgres");
    let program = Process::new(process.cast_signed()).unwrap();
    assert_eq!(program.stat().unwrap().comm, "postgres");
    assert!(!program.environ().unwrap().contains_key(std::ffi::OsStr::new("WORTHIT_PASSWORD")));
    // Where tests run as root, it does not.
    assert_ne!(program.uid().unwrap(), 0);
    // The address has a password that this server wants.
    let mut given = User::with(&[("WORTHIT_POSTGRES", &url)]);
    assert!(given.ask("use postgres").contains("Given"));
    assert_eq!(user.ask("end"), "ended");
    user.assert_nothing_is_left();
}

#[test]
fn a_database_that_is_killed_leaves_no_shared_memory() {
    let mut user = User::new();
    let (_, process) = user.started("use postgres");
    let folders = files_in(&user.data());
    let lock = fs::read_to_string(folders[0].join("files/data/postmaster.pid")).unwrap();
    let segment = lock.lines().nth(6).unwrap().split_whitespace().next_back().unwrap();
    let exists = || {
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(segment))
    };
    assert!(exists(), "{lock}");
    let dynamic = folders[0].join("files/data/pg_dynshmem");
    assert!(!files_in(&dynamic).is_empty(), "it is in the data folder");
    kill(process);
    assert!(eventually(|| has_ended(process)));
    user.ask("end");
    user.assert_nothing_is_left();
    assert!(!exists(), "segment {segment}");
}

#[test]
fn a_server_of_several_programs_is_one() {
    for (name, addresses) in [("postgres_replica", 2), ("postgres_shards", 4), ("redis_cluster", 3)]
    {
        let order = format!("use {name}");
        let mut first = User::new();
        let (urls, processes) = first.started_all(&order);
        assert_eq!((urls.len(), processes.len()), (addresses, addresses));
        let (variable, value) = first.hand_on();
        let mut second = User::with(&[(&variable, &value)]);
        let line = second.ask(&order);
        assert!(line.starts_with(&urls.join(",")) && line.contains("HandedOn"), "{line}");
        drop(second);
        // All are started again if one has ended. (A database that is killed would leave shared memory behind.)
        let last = *processes.last().unwrap();
        kill_process(Pid::from_raw(last.cast_signed()).unwrap(), Signal::INT).unwrap();
        assert!(eventually(|| has_ended(last)));
        let (_, others) = first.started_all(&order);
        assert!(!processes.iter().any(|process| others.contains(process)));
        assert_eq!(files_in(&first.data()).len(), addresses);
        // One address is not enough.
        let variable = variable.replace("_STARTED", "");
        let mut wrong = User::with(&[(&variable, &urls[0])]);
        let line = wrong.ask(&order);
        assert!(line.starts_with(&format!("missing: {variable} must be like")), "{line}");
        assert!(line.ends_with(&format!("{addresses} are needed, not 1")), "{line}");
        first.end();
    }
}

#[test]
fn a_replica_has_what_its_primary_had_and_follows_it() {
    let mut user = User::new();
    let (_, processes) = user.started_all("use postgres_replica");
    let words = |process: u32| -> Vec<String> {
        let process = Process::new(process.cast_signed()).unwrap();
        let children = process.task_main_thread().unwrap().children().unwrap();
        let lines = children.into_iter().flat_map(|child| Process::new(child.cast_signed()));
        lines.flat_map(|child| child.cmdline()).map(|words| words.join(" ")).collect()
    };
    let [primary, replica] = processes[..] else { panic!("{processes:?}") };
    let does = |process: u32, what: &str| words(process).iter().any(|line| line.contains(what));
    // The process that recovers ends where there is nothing to follow.
    assert!(does(replica, "startup "), "{:?}", words(replica));
    assert!(!does(primary, "startup "), "{:?}", words(primary));
    assert!(eventually(|| does(primary, "walsender") && does(replica, "walreceiver streaming")));
    user.end();
}

#[test]
fn a_cluster_serves_all_keys() {
    let mut user = User::new();
    let (urls, _) = user.started_all("use redis_cluster");
    // The first has the slots below 5461, the second those below 10922.
    for (key, owner) in [("b", 0), ("c", 1), ("a", 2)] {
        for (index, url) in urls.iter().enumerate() {
            let answer = redis(url, &format!("SET {key} value"));
            let elsewhere = urls[owner].replace("redis://", "");
            let is_right =
                if index == owner { answer == "+OK" } else { answer.ends_with(&elsewhere) };
            assert!(is_right, "{key} at {index}: {answer}");
        }
    }
    // A server without a cluster is none.
    let (single, _) = user.use_server();
    let list = [&single, &*urls[0], &*urls[1]].join(",");
    let line = User::with(&[("WORTHIT_REDIS_CLUSTER", &list)]).ask("use redis_cluster");
    assert!(line.contains("it says \"ERR This instance has cluster support disabled\""), "{line}");
    let mut given = User::with(&[("WORTHIT_REDIS_CLUSTER", &urls.join(","))]);
    assert!(given.ask("use redis_cluster").contains("Given"));
    user.end();
}

/// RabbitMQ takes seconds to start, so that one test starts one server.
#[test]
fn rabbitmq_lives_until_it_is_ended() {
    let mut user = User::new();
    let (urls, processes) = user.started_all("use rabbitmq");
    assert!(urls[0].starts_with("amqp://worthit:") && urls[0].ends_with("/%2f"), "{urls:?}");
    let name = |process: u32| Process::new(process.cast_signed()).unwrap().stat().unwrap().comm;
    assert_eq!(
        processes.iter().map(|process| name(*process)).collect::<Vec<_>>(),
        ["beam.smp", "epmd"]
    );
    let mut given = User::with(&[("WORTHIT_AMQP", &urls[0])]);
    assert!(given.ask("use rabbitmq").contains("Given"));
    let (variable, value) = user.hand_on();
    let mut second = User::with(&[(&variable, &value)]);
    assert!(second.ask("use rabbitmq").contains("HandedOn"));
    let milliseconds: u64 = second.ask("cpu").parse().unwrap();
    assert!(milliseconds > 100, "{milliseconds}");
    // It listens on loopback only, and to no plugin.
    let sockets = procfs::net::tcp().unwrap().into_iter().chain(procfs::net::tcp6().unwrap());
    let sockets: Vec<_> = sockets.filter(|socket| socket.state == TcpState::Listen).collect();
    for (process, number) in [(processes[0], 2), (processes[1], 2)] {
        let files = Process::new(process.cast_signed()).unwrap().fd().unwrap();
        let files: Vec<FDTarget> = files.map(|file| file.unwrap().target).collect();
        let own = sockets.iter().filter(|socket| files.contains(&FDTarget::Socket(socket.inode)));
        let addresses: Vec<_> = own.map(|socket| socket.local_address).collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
        assert!((1..=number).contains(&addresses.len()), "{addresses:?}");
    }
    user.process.kill().unwrap();
    user.process.wait().unwrap();
    user.assert_nothing_is_left();
}

#[test]
fn nginx_lives_until_its_case_ends() {
    let mut user = User::new();
    let (place, process) = user.started("start nginx");
    assert!(get(&place).ends_with("\r\n\r\nhello"));
    let master = Process::new(process.cast_signed()).unwrap();
    assert_eq!(master.stat().unwrap().comm, "nginx");
    let workers = master.task_main_thread().unwrap().children().unwrap();
    assert_eq!(workers.len(), 1);
    for _ in 0..200 {
        get(&place);
    }
    let milliseconds = |user: &mut User| -> u64 { user.ask("cpu").parse().unwrap() };
    let before = milliseconds(&mut user);
    assert!(before > 0);
    assert_eq!(user.ask("end nginx"), "ended");
    assert_eq!(processes_in(&user.data()), Vec::<Running>::new());
    assert_eq!(files_in(&user.data()), Vec::<PathBuf>::new());
    assert!(milliseconds(&mut user) >= before, "the time of what has ended is kept");
}

#[test]
fn nginx_is_known_without_a_shared_one() {
    let mut user = User::new();
    let line = user.ask("use nginx");
    let words: Vec<&str> = line.split(' ').collect();
    assert!(matches!(words[..], ["", version, "Started"] if version.starts_with("1.")), "{line}");
    assert_eq!(user.ask("hand on"), "handed on:");
    assert_eq!(files_in(&user.data()), Vec::<PathBuf>::new());
}

#[test]
fn nginx_is_tried_again_at_another_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let tries = Cell::new(0);
    let nginx = Nginx::start(|port| {
        tries.set(tries.get() + 1);
        hello(if tries.get() == 1 { taken.local_addr().unwrap().port() } else { port })
    });
    let nginx = nginx.unwrap();
    assert_eq!(tries.get(), 2);
    assert!(get(&nginx.address().to_string()).ends_with("hello"));
}

#[test]
fn a_broken_configuration_of_nginx_is_shown() {
    let problem = Nginx::start(|port| format!("server {{ listn 127.0.0.1:{port}; }}")).unwrap_err();
    let message = problem.to_string();
    assert!(
        message.starts_with("nginx cannot be started: it ended at once; it logged:"),
        "{message}"
    );
    assert!(message.contains("unknown directive \"listn\""), "{message}");
}

#[test]
fn caches_of_nginx_lie_in_its_folder() {
    let nginx =
        Nginx::start(|port| format!("proxy_cache_path cache keys_zone=zone:1m;\n{}", hello(port)));
    let nginx = nginx.unwrap();
    assert!(nginx.folder().join("cache").is_dir());
}
