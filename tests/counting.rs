//! Tests that the ambient counters count injected events, both through std and through SQLite.
//!
//! There is only one test, because the counters belong to the whole process: a parallel test would be counted too.

use std::{
    cell::Cell,
    fs::File,
    hint::black_box,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    rc::Rc,
    thread,
};

use worthit::fixtures::sqlite;
use worthit_pair::{
    causes::{self, Counts, Event},
    inputs::Inputs,
    paths, plans,
    trial::{Role, Trial, Window, by_ref},
};

worthit_pair::counting_binary!();

fn counts(side: impl Fn() + 'static) -> Counts {
    let nothing = Inputs::one(());
    let side = by_ref(&nothing, move |()| side());
    let mut trial = Trial::new(nothing.measured(|()| 0), side, by_ref(&nothing, |()| ()));
    trial.count_in(Role::Naive, &Window::COUNTED).unwrap()
}

#[test]
fn injected_events_are_counted() {
    let folder = paths::scratch().unwrap();

    let path = folder.path().join("file");
    let found = counts(move || {
        let mut file =
            File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        for _ in 0..5 {
            file.write_all(&[0; 100]).unwrap();
        }
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut bytes = [0; 250];
        file.read_exact(&mut bytes).unwrap();
        file.read_exact(&mut bytes).unwrap();
    });
    assert_eq!(found.get(causes::OPENS), Some(1));
    assert_eq!(found.get(causes::SEEK_CALLS), Some(1));
    assert_eq!(found.get(causes::SYSTEM_CALLS), Some(12), "and the close");
    assert_eq!(found.get(causes::WRITE_CALLS), Some(5));
    assert_eq!(found.get(causes::BYTES_WRITTEN), Some(500));
    assert_eq!(found.get(causes::FSYNCS), Some(2));
    assert_eq!(found.get(causes::READ_CALLS), Some(2));
    assert_eq!(found.get(causes::BYTES_READ), Some(500));

    let [from, to] = ["file", "copy"].map(|name| folder.path().join(name));
    let found = counts(move || {
        let (mut from, mut to) = (File::open(&from).unwrap(), File::create(&to).unwrap());
        assert_eq!(std::io::copy(&mut from, &mut to).unwrap(), 500);
    });
    assert_eq!(found.get(causes::BYTES_READ), Some(0), "the kernel copies");
    assert_eq!(found.get(causes::OPENS), Some(2));
    assert_eq!(found.get(causes::SYSTEM_CALLS), Some(6), "and two copies: of all, and of the end");

    let path = folder.path().join("database");
    let connection = sqlite::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "full").unwrap();
    connection.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (0)").unwrap();
    let found = counts(move || {
        let mut insert = connection.prepare_cached("INSERT INTO t VALUES (?1)").unwrap();
        for x in 1..10 {
            insert.execute([x]).unwrap();
        }
        let mut select = connection.prepare_cached("SELECT x FROM t ORDER BY -x").unwrap();
        let rows = select.query_map((), |row| row.get(0)).unwrap();
        assert_eq!(rows.map(Result::unwrap).collect::<Vec<i64>>(), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    });
    assert_eq!(found.get(causes::STATEMENTS), Some(10));
    assert_eq!(found.get(causes::ROWS_RETURNED), Some(10));
    assert_eq!(found.get(causes::FSYNCS), Some(9), "one per commit in WAL mode");
    assert_eq!(found.get(causes::FULL_SCAN_STEPS), Some(9), "nine steps from row to row of ten");
    assert_eq!(found.get(causes::SORTS), Some(1));
    let frame = 24 + 4096;
    assert_eq!(found.get(causes::BYTES_WRITTEN), Some(9 * frame), "one page per commit");
    assert_eq!(found.get(causes::WRITE_CALLS), Some(9 * 2), "frame header and page");

    let found = counts(|| {
        // Seen by nobody, they would be optimized away.
        let held = black_box(vec![0_u8; 1_000]);
        drop(black_box(vec![0_u8; 500]));
        drop(black_box(vec![0_u8; 300]));
        drop(held);
    });
    assert_eq!(found.get(causes::ALLOCATIONS), Some(3));
    assert_eq!(found.get(causes::ALLOCATED_BYTES), Some(1_800));
    assert_eq!(found.get(causes::PEAK_BYTES), Some(1_500));

    let found = counts(|| {
        let stack = causes::hold(4_096);
        drop(black_box(vec![0_u8; 100]));
        drop(stack);
        drop(black_box(vec![0_u8; 100]));
    });
    assert_eq!(found.get(causes::PEAK_BYTES), Some(4_196), "what is held beside the allocator");
    assert_eq!(found.get(causes::ALLOCATED_BYTES), Some(200));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        causes::exclude_thread();
        let (mut client, _) = listener.accept().unwrap();
        let mut bytes = [0; 10];
        while client.read_exact(&mut bytes).is_ok() {
            client.write_all(&bytes).unwrap();
        }
    });
    let client = TcpStream::connect(address).unwrap();
    let found = counts(move || {
        for _ in 0..3 {
            (&client).write_all(&[0; 10]).unwrap();
            (&client).read_exact(&mut [0; 10]).unwrap();
        }
    });
    assert_eq!(found.get(causes::WRITE_CALLS), Some(3), "the server's thread is excluded");
    assert_eq!(found.get(causes::READ_CALLS), Some(3));
    server.join().unwrap();

    let found = counts(|| {
        (0..3).for_each(|_| causes::count(Event::RoundTrip, 1));
        causes::count(Event::Computation, 7);
    });
    causes::count(Event::Computation, 100);
    assert_eq!(found.get(causes::ROUND_TRIPS), Some(3));
    assert_eq!(found.get(causes::COMPUTATIONS), Some(7), "outside the window nothing counts");

    let found = counts(|| {});
    assert!(found.iter().all(|(_, count)| count == 0), "{found:?}");

    let explained = Rc::new(Cell::new(0));
    for (database, times) in [("a", 1), ("a", 1), ("b", 2)] {
        let asked = Rc::clone(&explained);
        let found = counts(move || {
            plans::note(database, "SELECT 1", || {
                asked.set(asked.get() + 1);
                let mut text = String::new();
                File::open("/proc/self/stat").unwrap().read_to_string(&mut text).unwrap();
                vec![text]
            });
        });
        assert_eq!(found.get(causes::READ_CALLS), Some(0), "what a plan costs is not counted");
        assert_eq!(found.get(causes::ALLOCATIONS), Some(0), "what a plan costs is not counted");
        assert_eq!(explained.get(), times, "once for each database");
    }
}
