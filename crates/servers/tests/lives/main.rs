//! The lives of servers: they end with the process that uses them, however it ends, and leave nothing behind.
//!
//! The processes that use servers are this test's own binary, which executes the test `user` in the part of a user.

mod addresses;
mod ends;
mod kinds;
mod left;
mod using;

use std::{env, io::Write};

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
pub fn hello(port: u16) -> String {
    format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }}")
}

/// Returns the kind of server that an order is about.
fn kind(order: &str) -> Program {
    match order.split_once(' ') {
        Some((_, name)) => Program::named(name).unwrap(),
        None => Program::Redis,
    }
}
