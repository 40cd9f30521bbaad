//! Servers of one's own, and addresses at which something else answers.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::using::*;

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
