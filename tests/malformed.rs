//! Feeds a hundred thousand malformed inputs to the readers of files. No reader may panic, and each error must name the
//! file and the place.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use worthit::CATALOGUE;
use worthit_harness::{
    clippy,
    desk::profile::samples_of,
    gate::{budgets::Budgets, worker},
    history::{History, Recorded},
    report::{Material, pages},
    results::Run,
    samples, table,
};

/// The pair whose files are broken.
const PAIR: &str = "queries/n_plus_one";

/// Pieces that break a parser which expects whole numbers, plain names and shallow nesting.
const PIECES: [&str; 24] = [
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "-0.0",
    "18446744073709551616",
    "0.1",
    "\"\"",
    "\"\\u0000\"",
    "{}",
    "[]",
    "[[[[[[[[",
    "{\"a\":",
    "\u{feff}",
    "NaN",
    ",",
    ":",
    "\"",
    "\n",
    "=",
    "[[x]]",
    "\u{202e}é",
    "99999999999999999999999999999999999999",
];

/// Returns a valid document with one to four changes at random places.
fn mutated(valid: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(1..64)).min(bytes.len());
        match rng.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            3 if at < bytes.len() => bytes[at] = rng.random(),
            4 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            5 => replace_a_word(&mut bytes, at, rng),
            6 => replace_a_number(&mut bytes, at, rng),
            _ => {
                let piece = PIECES[rng.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.bytes()).for_each(drop);
            }
        }
    }
    bytes
}

fn piece(rng: &mut ChaCha8Rng) -> &'static str {
    PIECES[rng.random_range(0..PIECES.len())]
}

/// Replaces the word at `at`.
fn replace_a_word(bytes: &mut Vec<u8>, at: usize, rng: &mut ChaCha8Rng) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    replace(bytes, at, is_word, rng);
}

/// Replaces the number at or after `at`.
fn replace_a_number(bytes: &mut Vec<u8>, at: usize, rng: &mut ChaCha8Rng) {
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let next = bytes[at..].iter().position(u8::is_ascii_digit).map_or(at, |skip| at + skip);
    replace(bytes, next, is_number, rng);
}

fn replace(bytes: &mut Vec<u8>, at: usize, is_part: impl Fn(&u8) -> bool, rng: &mut ChaCha8Rng) {
    let start = bytes[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
    let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    bytes.splice(start..at + length, piece(rng).bytes()).for_each(drop);
}

/// Reads `count` mutations of `valid` and returns how many were refused. For a refused input, `read` returns the
/// error's message.
fn try_all(
    what: &str,
    valid: &[u8],
    count: usize,
    read: impl Fn(&[u8]) -> Result<(), String>,
) -> usize {
    assert_eq!(read(valid), Ok(()), "{what}");
    let mut rng = ChaCha8Rng::seed_from_u64(what.len() as u64);
    let mut refused = 0;
    for nth in 0..count {
        let bytes = mutated(valid, &mut rng);
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
        match catch_unwind(AssertUnwindSafe(|| read(&bytes))) {
            Ok(Ok(())) => {}
            Ok(Err(message)) => {
                refused += 1;
                assert!(message.contains(what), "{nth}: {message}\n{}", shown());
            }
            Err(_) => panic!("{what}, mutation {nth}: the reader panicked on\n{}", shown()),
        }
    }
    println!("{what}: {refused} of {count} refused");
    assert!(refused > count / 4, "the mutations hardly break anything");
    refused
}

/// A committed reference, cut down to a pair that has measured and computed cases.
fn small_run() -> Run {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let references = worthit_harness::reference::all(&reports).unwrap();
    let mut run = references.into_iter().find(|run| run.pairs.contains_key(PAIR)).unwrap();
    run.pairs.retain(|id, _| id == PAIR);
    for sweep in run.pairs.values_mut().flat_map(|pair| &mut pair.sweeps) {
        sweep.cases.drain(..sweep.cases.len() - 1);
    }
    run
}

#[test]
fn malformed_results() {
    let run = small_run();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    run.save(&path).unwrap();
    let valid = fs::read(&path).unwrap();
    let name = Path::new("the-result.json");
    let place = ["broken at `", "has schema version"];
    try_all("the-result.json", &valid, 45_000, |bytes| match Run::parse(bytes, name) {
        Ok(run) => {
            // An accepted result must not break the table or the history made from it.
            for family in CATALOGUE {
                table::of_family(&run, family, 100);
            }
            drop(Recorded::of(&run));
            Ok(())
        }
        Err(error) => {
            let message = error.to_string();
            assert!(place.iter().any(|place| message.contains(place)), "{message}");
            Err(message)
        }
    });
}

#[test]
fn pages_of_accepted_results() {
    let run = small_run();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    run.save(&path).unwrap();
    let valid = fs::read(&path).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut made = 0;
    for _ in 0..3_000 {
        let bytes = mutated(&valid, &mut rng);
        let Ok(run) = Run::parse(&bytes, Path::new("result.json")) else { continue };
        let files = pages(&Material::of(&run, Path::new("reports")));
        assert!(files.contains_key("index.html"));
        made += 1;
    }
    println!("{made} sites");
    assert!(made > 30, "{made}");
}

#[test]
fn malformed_samples() {
    let sample = |n: u64| samples::Sample {
        pair: PAIR.to_owned(),
        level: "loopback".to_owned(),
        point: 1 << n,
        process: n,
        side: "naive".to_owned(),
        side_ns: 123.456 * n as f64,
        optimized_ns: 1e-3,
    };
    let valid = samples::to_csv(&(1..20).map(sample).collect::<Vec<_>>(), true);
    let name = Path::new("the.samples.csv");
    try_all("the.samples.csv", &valid, 35_000, |bytes| match samples::parse(bytes, name) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("broken at `line "), "{message}");
            Err(message)
        }
    });
}

#[test]
fn malformed_profiles_and_messages_of_cargo() {
    const PROFILE: &str =
        "main;app::serve;json::parse::h0123456789abcdef 30\nmain;sort<u64>;{{closure}} 20\n";
    const MESSAGES: &str = r#"{"reason":"compiler-message","message":{"message":"found","code":{"code":"clippy::map_entry"},"spans":[{"file_name":"a.rs","line_start":7,"column_start":5,"is_primary":true}]}}
{"reason":"build-finished","success":true}
"#;
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    for _ in 0..20_000 {
        for valid in [PROFILE, MESSAGES] {
            let bytes = mutated(valid.as_bytes(), &mut rng);
            let text = String::from_utf8_lossy(&bytes);
            let read = catch_unwind(|| {
                (samples_of(&text, "parse").is_ok(), clippy::read(&text).is_some())
            });
            assert!(read.is_ok(), "a reader panicked on\n{text}");
        }
    }
}

#[test]
fn malformed_budgets() {
    let valid = "# reviewed\nversion = 1\n\n[[count]]\npair = \"queries/n_plus_one\"\nlevel = \"loopback\"\n\
                 point = 256\nseed = 42\ncause = \"statements\"\nat_most = 1\n\n[[gain]]\nmachine = \"some-cpu\"\n\
                 pair = \"queries/index\"\npoint = 100000\nseed = 42\nat_least = 310.0\n";
    let name = Path::new("budgets.toml");
    try_all("budgets.toml", valid.as_bytes(), 16_000, |bytes| {
        Budgets::parse(bytes, name).map(|_| ()).map_err(|error| error.to_string())
    });
}

#[test]
fn malformed_histories() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("the-history.sqlite");
    History::open(&path).unwrap().append(&Recorded::of(&small_run())).unwrap();
    let valid = fs::read(&path).unwrap();
    // SQLite accepts damage that no query reads.
    let read = |bytes: &[u8]| {
        for beside in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("the-history.sqlite{beside}")));
        }
        fs::write(&path, bytes).map_err(|error| error.to_string())?;
        let read = History::open_existing(&path).and_then(|history| {
            for pair in history.pairs()? {
                history.trend(&pair)?;
            }
            history.export_csv(std::io::sink())
        });
        read.map_err(|error| error.to_string())
    };
    try_all("the-history.sqlite", &valid, 2_000, read);
}

#[test]
fn malformed_requests_to_a_worker() {
    let valid =
        br#"{"Batch":{"role":"optimized","untimed":13,"iterations":100,"injected":{"Time":0.05}}}"#;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut lines = Vec::new();
    for _ in 0..2_000 {
        let mut line = mutated(valid, &mut rng);
        line.retain(|byte| *byte != b'\n');
        // Made valid UTF-8, because a line that is not text ends the conversation, as for any reader of lines.
        lines.extend(String::from_utf8_lossy(&line).bytes().chain([b'\n']));
    }
    let mut replies = Vec::new();
    worker::serve(CATALOGUE[0], lines.as_slice(), &mut replies).unwrap();
    let replies = String::from_utf8(replies).unwrap();
    assert_eq!(replies.lines().count(), 1 + 2_000);
    for reply in replies.lines().skip(1) {
        assert!(
            reply.contains("cannot parse the request: ") || reply.contains("no case is ready"),
            "{reply}"
        );
    }
}
