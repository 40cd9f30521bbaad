//! The lives of servers: they end with the process that uses them, however it ends, and leave nothing behind.
//!
//! The processes that use servers are this test's own binary, which executes the test `user` in the part of a user.

use std::{
    cell::Cell,
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use procfs::{
    net::TcpState,
    process::{FDTarget, Process, all_processes},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use worthit_servers::{Program, end_all, handed_on, nginx::Nginx, server};

/// A test that is the user of a server if it is asked to be, and nothing else.
#[test]
fn user() {
    if env::var_os("LIVES_OF_SERVERS").is_none() {
        return;
    }
    let say = |line: &str| {
        println!("\n> {line}");
        std::io::stdout().flush().unwrap();
    };
    let mut lines = std::io::stdin().lines();
    let mut nginx = None;
    say("ready");
    while let Some(Ok(order)) = lines.next() {
        match order.as_str() {
            "start nginx" => {
                let started = Nginx::start(hello).unwrap();
                say(&format!(
                    "{} {} Started {}",
                    started.address(),
                    started.version(),
                    started.process()
                ));
                nginx = Some(started);
            }
            "end nginx" => {
                drop(nginx.take());
                say("ended");
            }
            order if order.starts_with("use") => match server(kind(order)) {
                Ok(server) => say(&format!(
                    "{} {} {:?} {}",
                    server.urls().join(","),
                    server.version,
                    server.origin,
                    joined(&server.processes())
                )),
                Err(missing) => say(&format!("missing: {missing}").replace('\n', " | ")),
            },
            "hand on" => {
                let variables = handed_on();
                let variables =
                    variables.iter().map(|(name, value)| format!("{name}={}", value.display()));
                say(&format!("handed on: {}", variables.collect::<Vec<_>>().join(" ")));
            }
            "cpu" => say(&format!("{}", worthit_servers::cpu_time().as_millis())),
            "pin" => {
                let mut core = rustix::thread::CpuSet::new();
                core.set(rustix::thread::sched_getcpu());
                rustix::thread::sched_setaffinity(None, &core).unwrap();
                let priority = libc::sched_param { sched_priority: 1 };
                // SAFETY: `priority` is valid for reads for the duration of the call.
                let set =
                    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const priority) };
                say(&format!("{set}"));
            }
            "end" => {
                end_all();
                say("ended");
            }
            order => panic!("{order}"),
        }
    }
}

fn joined(processes: &[u32]) -> String {
    processes.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// A configuration that answers with a word.
fn hello(port: u16) -> String {
    format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }}")
}

/// Returns the kind of server that an order is about.
fn kind(order: &str) -> Program {
    match order.split_once(' ') {
        Some((_, name)) => Program::named(name).unwrap(),
        None => Program::Redis,
    }
}

/// A process that uses servers, whose files are in a folder of its own.
struct User {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    folder: TempDir,
}

impl User {
    fn new() -> User {
        User::with(&[])
    }

    fn with(environment: &[(&str, &str)]) -> User {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["user", "--exact", "--nocapture", "--test-threads=1"]);
        command.env("LIVES_OF_SERVERS", "").env("WORTHIT_DATA", "data").current_dir(folder.path());
        command.env_remove("WORTHIT_REDIS").envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut user = User { process, output, folder };
        assert_eq!(user.line(), "ready");
        user
    }

    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the user has ended");
            if let Some(line) = line.trim_end().strip_prefix("> ") {
                return line.to_owned();
            }
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{order}").unwrap();
    }

    fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.line()
    }

    /// Returns the address and the process id of the Redis server.
    fn use_server(&mut self) -> (String, u32) {
        self.started("use")
    }

    /// Returns the address and the process id of the server that an order is about.
    fn started(&mut self, order: &str) -> (String, u32) {
        let (urls, processes) = self.started_all(order);
        let ([url], [process]) = (&urls[..], &processes[..]) else { panic!("{urls:?}") };
        (url.clone(), *process)
    }

    /// Returns the addresses and the process ids of the server that an order is about.
    fn started_all(&mut self, order: &str) -> (Vec<String>, Vec<u32>) {
        let line = self.ask(order);
        let words: Vec<&str> = line.split(' ').collect();
        let [urls, _, "Started", processes] = words[..] else { panic!("{line}") };
        let processes = processes.split(',').map(|process| process.parse().unwrap());
        (urls.split(',').map(str::to_owned).collect(), processes.collect())
    }

    /// Returns the variable that hands the only server on, and its value.
    fn hand_on(&mut self) -> (String, String) {
        let variables = self.ask("hand on");
        let (name, value) = variables["handed on: ".len()..].split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    }

    /// Ends the servers and sees that everything is gone by then.
    fn end(&mut self) {
        assert_eq!(self.ask("end"), "ended");
        assert_eq!(processes_in(&self.data()), Vec::<String>::new());
        assert_eq!(files_in(&self.data()), Vec::<PathBuf>::new());
    }

    /// Returns the folder of the servers' folders. It is named by a relative path, and made by the first server.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Waits until no process and no file of a server is left.
    fn assert_nothing_is_left(&self) {
        let left = || (processes_in(&self.data()), files_in(&self.data()));
        assert!(eventually(|| left() == (vec![], vec![])), "{:?}", left());
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// Waits for something that becomes true within seconds.
fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// Returns the command lines of the processes whose current folder is in `folder`, also of those whose folder is gone.
fn processes_in(folder: &Path) -> Vec<String> {
    let processes = all_processes().unwrap().flatten();
    let in_folder =
        processes.filter(|process| process.cwd().is_ok_and(|cwd| cwd.starts_with(folder)));
    in_folder.map(|process| process.cmdline().unwrap_or_default().join(" ")).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Sends a command of one line to a Redis server and returns the first line of the answer.
fn redis(url: &str, command: &str) -> String {
    let place = url.strip_prefix("redis://").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Asks a web server and returns its whole answer.
fn get(place: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns whether a process has ended with all its threads, so that its files are closed, whether or not somebody has
/// waited for it.
fn has_ended(pid: u32) -> bool {
    let stat = Process::new(pid.cast_signed()).and_then(|process| process.stat());
    stat.is_ok_and(|stat| matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1)
        || !Path::new(&format!("/proc/{pid}")).exists()
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

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
fn what_answers_otherwise_is_no_broker() {
    // The greeting of another version of the protocol, and one without properties.
    let start = b"\x01\0\0\0\0\0\x0c\0\x0a\0\x0a\0\x09\0\0\0\0\0\0";
    let cases = [
        (answering(b"AMQP\0\0\x09\x01"), "it does not answer as RabbitMQ does"),
        (answering(b"\x01\0\0\xff\xff\xff\xff"), "it does not answer as RabbitMQ does"),
        (answering(b"\x01\0\0\0\0\0\xff"), "it does not answer as RabbitMQ does"),
        (answering(start), "it does not answer as RabbitMQ does"),
        (answering(b""), "it does not answer as RabbitMQ does"),
    ];
    for (address, expected) in cases {
        let mut user = User::with(&[("WORTHIT_AMQP", &format!("amqp://me:secret@{address}/%2f"))]);
        let line = user.ask("use rabbitmq");
        assert!(line.starts_with("missing: ") && line.contains(expected), "{address}: {line}");
        assert!(!line.contains("secret"), "{line}");
    }
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
    assert_eq!(processes_in(&user.data()), Vec::<String>::new());
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

#[test]
fn a_server_of_ones_own_is_neither_started_nor_ended() {
    let mut owner = User::new();
    let (url, _) = owner.use_server();
    let address = url.strip_prefix("redis://").unwrap();
    let mut user = User::with(&[("WORTHIT_REDIS", address)]);
    let line = user.ask("use");
    assert!(line.starts_with(&url) && line.contains("Given"), "{line}");
    assert_eq!(user.ask("hand on"), "handed on:", "the variable itself is inherited");
    user.ask("end");
    drop(user);
    assert_eq!(redis(&url, "SET key value"), "+OK");
    assert_eq!(redis(&url, "CONFIG SET requirepass secret"), "+OK");
    for (address, expected) in [
        (format!("redis://:secret@{address}"), "Given"),
        (format!("redis://:wr%6Fng@{address}"), "it says \"WRONGPASS"),
        (format!("redis://{address}"), "it says \"NOAUTH"),
    ] {
        let mut user = User::with(&[("WORTHIT_REDIS", &address)]);
        let line = user.ask("use");
        assert!(line.contains(expected), "{line}");
        let is_missing = line.starts_with("missing: ");
        assert!(!is_missing || line.contains(url.strip_prefix("redis://").unwrap()), "{line}");
        assert!(!is_missing || !line.contains("wr%6Fng") && !line.contains("wrong"), "{line}");
    }
}

/// Answers the first connection with these bytes and ends it, without a reset.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 64]).unwrap(), 0);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    address
}

#[test]
fn what_answers_otherwise_is_no_server() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases = BTreeMap::from([
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not answer as Redis does"),
        (answering(b"$9999999999\r\n"), "it does not answer as Redis does"),
        (answering(b"+OK\r\n"), "it does not answer as Redis does"),
        (answering(b""), "it does not answer as Redis does"),
        (
            answering(b"$44\r\nredis_version:5.0.14\r\nprocess_id:1\r\nnothing:1\r\n\r\n"),
            "Redis 5.0.14 is too old: install 6.0 or later",
        ),
        (closed, "Connection refused"),
        ("no.such.host.invalid".to_owned(), "see that Redis runs there"),
    ]);
    for (address, expected) in cases {
        let mut user = User::with(&[("WORTHIT_REDIS", &address)]);
        let line = user.ask("use");
        assert!(line.starts_with("missing: ") && line.contains(expected), "{address}: {line}");
    }
}

#[test]
fn what_answers_otherwise_is_no_database() {
    let starting = b"E\0\0\0\x25SFATAL\0C57P03\0Mstarting up\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let refusing = b"E\0\0\0\x1fSFATAL\0C28000\0Mnot you\0\0\0\0\0\0\0\0\0\0\0\0";
    let cases = [
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "it does not answer as PostgreSQL does"),
        (answering(b"E\xff\xff\xff\xff"), "it does not answer as PostgreSQL does"),
        (answering(b"E\0\0\0\x04"), "it does not answer as PostgreSQL does"),
        (answering(b"R"), "it does not answer as PostgreSQL does"),
        (answering(starting), "it is not ready yet"),
        (answering(refusing), "it says \"not you\""),
    ];
    for (address, expected) in cases {
        let mut user = User::with(&[("WORTHIT_POSTGRES", &address)]);
        let line = user.ask("use postgres");
        assert!(line.starts_with("missing: ") && line.contains(expected), "{address}: {line}");
    }
}

#[test]
fn a_program_that_is_not_installed_is_named_with_its_package() {
    let mut user = User::with(&[("PATH", "/no/such/folder")]);
    assert_eq!(
        user.ask("use"),
        "missing: Redis is not installed: apt-get install redis-server, or set WORTHIT_REDIS to the address of a server"
    );
}

#[test]
fn a_program_that_ends_at_once_shows_what_it_logged() {
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("redis-server");
    fs::write(&program, "#!/bin/sh\necho 'no room for '\"$2\"\nexit 1\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), env::var("PATH").unwrap());
    let mut user = User::with(&[("PATH", &path)]);
    let line = user.ask("use");
    assert_eq!(
        line,
        "missing: Redis cannot be started: it ended at once; it logged: | no room for 127.0.0.1"
    );
    user.assert_nothing_is_left();
}
