//! Read many small files: from one packed file with an index, not each from a file of its own.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use ::rusqlite::{Connection, OptionalExtension};
use memmap2::Mmap;
use rand::{Rng, RngExt};
use tempfile::TempDir;

use crate::fixtures::{sqlite, zipf::Zipf};
use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Pack small files into one",
    review: Review {
        smell: "`fs::read(folder.join(name))` for each of many small files (map tiles, thumbnails, translations) that are \
                made together and seldom change.",
        remedy: "One file with an index of key, offset and length, which is read when it is opened. Each item is then \
                 `file.read_exact_at(&mut content, place.offset)?`.",
        keep_naive_when: "Items change or go one by one: a folder takes that, a pack is written anew. Or other programs use \
                          the files. Or they are large: then copying them is the work, and opening them is not.",
        costs: "A format of one's own, with checks: a pack that is cut or damaged must be an error when it is opened, not \
                wrong content. To change an item means to write a new pack beside the old one, flush it and rename it. \
                The index is in memory, and reading it takes its time at the start, which is not timed here. A map of the \
                pack (the alternative) needs no call at all, but `unsafe`. SQLite (the peer `rusqlite`) is a pack that can \
                be changed: a lookup does more, but there is no format to invent.",
        lint: Lint::None,
    },
    naive: Side { summary: "open, read and close a file for each item", growth: Growth::Linear },
    optimized: Side { summary: "one read_exact_at for each item", growth: Growth::Linear },
    input: "1,000 thumbnails of 1 to 9 KB, in a folder for each first byte of their random keys, and the same in a pack. \
            Some are asked for more often than others (Zipf's law). All are in the page cache, the folders are in the \
            kernel's cache of names, and the pack is open.",
    axis: Axis {
        name: "items",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[1, 5, 20, 100, 500], deep: &[] },
    },
    unit: "item",
    headline: Headline::At { level: "", point: 20 },
    peers: &[SideBeside { name: "rusqlite", summary: "a table of keys and contents" }],
    alternatives: &[SideBeside { name: "mapped", summary: "copy the item from a map of the pack" }],
    causes: &[
        Claim {
            cause: causes::SYSTEM_CALLS,
            // Opens it, reads it, finds its end, closes it.
            naive: Count::Exactly(|case| 4 * case.point),
            optimized: Count::Exactly(|case| case.point),
        },
        Claim {
            cause: causes::OPENS,
            naive: Count::Exactly(|case| case.point),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "Four calls for each item became one, and one more asks for the length of the file. The calls that are saved \
              are the dearer ones: to open a file the kernel walks the path name by name, checks the rights to each folder \
              and sets up a file, which closing takes down again. What remains on both sides is to copy the content out \
              of the page cache into a `Vec` of its own.",
        share_of_cause: ShareOfCause::Within(0.7, 2.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the same few items again and again",
            reason: "their names and contents would be in the nearest cache, as those of a collection are not",
            check: |inputs: &[Wanted]| {
                let keys: HashSet<u64> = inputs.iter().flat_map(|w| w.keys.clone()).collect();
                ensure(keys.len() >= 100, || format!("{} different items", keys.len()))
            },
            sprung: || vec![wanted(&[(7, vec![1; 4_000])], &[7; 500])],
        },
        &Trap {
            name: "large items",
            reason: "copying them would hide what it costs to open a file",
            check: |inputs: &[Wanted]| {
                let bytes: u64 = inputs.iter().map(Wanted::bytes).sum();
                let mean = bytes / inputs.iter().map(|w| w.keys.len() as u64).sum::<u64>().max(1);
                ensure(mean <= 8_000, || format!("{mean} bytes on average"))
            },
            sprung: || vec![wanted(&[(7, vec![1; 100_000])], &[7])],
        },
    ],
    limit: Limit::Work(&[
        Work::BytesRead(|case| case.point * USUAL_BYTES),
        Work::SystemCalls(|case| case.point),
    ]),
    proof: Proof { resources: Resources::System, max_size: 100 },
    prepare,
    ..Pair::DEFAULTS
};

/// Items of the collection.
const ITEMS: u64 = 1_000;
/// Bytes of an item on average, at least.
const USUAL_BYTES: u64 = 2_800;

/// Sets of wanted items in the rotation: so many that each item of the collection could be among them.
fn turns(items: u64) -> u64 {
    (ITEMS / items.max(1)).clamp(32, 1_000)
}

/// Reads these items from the folder and hands each to `send`.
fn naive(folder: &Path, keys: &[u64], mut send: impl FnMut(Vec<u8>)) -> io::Result<()> {
    for key in keys {
        send(fs::read(place_in(folder, *key))?);
    }
    Ok(())
}

/// Reads these items from the pack and hands each to `send`.
fn optimized(pack: &Pack, keys: &[u64], mut send: impl FnMut(Vec<u8>)) -> io::Result<()> {
    for key in keys {
        send(pack.read(*key)?);
    }
    Ok(())
}

/// The same from a map of the pack.
fn mapped(pack: &Pack, map: &[u8], keys: &[u64], mut send: impl FnMut(Vec<u8>)) -> io::Result<()> {
    for key in keys {
        let Place { offset, length } = pack.place(*key)?;
        let content = map.get(offset as usize..(offset + length) as usize);
        send(content.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec());
    }
    Ok(())
}

/// The same from a table.
fn rusqlite(database: &Connection, keys: &[u64], mut send: impl FnMut(Vec<u8>)) -> io::Result<()> {
    let select = database.prepare_cached("SELECT content FROM items WHERE key = ?1");
    let mut select = select.map_err(io::Error::other)?;
    for key in keys {
        let content = select.query_row([*key as i64], |row| row.get::<_, Vec<u8>>(0)).optional();
        send(content.map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?);
    }
    Ok(())
}

/// The path of an item: in one of up to 256 folders, so that none gets too large.
fn place_in(folder: &Path, key: u64) -> PathBuf {
    folder.join(format!("{:02x}/{key:016x}.webp", key >> 56))
}

/// A pack: a head of eight bytes that name the format and the number of items, then key, offset and length of each item,
/// then their contents. Numbers are of eight bytes, the lowest first.
struct Pack {
    file: File,
    places: HashMap<u64, Place>,
}

/// Where the content of an item is in the file, bytes.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u64,
}

const FORMAT: [u8; 8] = *b"pack 1\r\n";
/// Bytes of the head.
const HEAD: u64 = 16;
/// Bytes of an item in the index.
const ENTRY: u64 = 24;

impl Pack {
    /// Reads the index.
    ///
    /// # Errors
    /// If the file is no pack, or is cut.
    fn open(file: File) -> io::Result<Pack> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let size = file.metadata()?.len();
        let mut head = [0; HEAD as usize];
        file.read_exact_at(&mut head, 0)?;
        let [format, count] = numbers(&head);
        let index_bytes = count.checked_mul(ENTRY).ok_or_else(invalid)?;
        // Before as much memory is asked for.
        if format.to_le_bytes() != FORMAT || index_bytes > size - HEAD {
            return Err(invalid());
        }
        let mut index = vec![0; index_bytes as usize];
        file.read_exact_at(&mut index, HEAD)?;
        let mut places = HashMap::with_capacity(count as usize);
        for entry in index.chunks_exact(ENTRY as usize) {
            let [key, offset, length] = numbers(entry);
            let is_inside = offset.checked_add(length).is_some_and(|end| end <= size);
            let is_known = places.insert(key, Place { offset, length }).is_some();
            if !is_inside || is_known {
                return Err(invalid());
            }
        }
        Ok(Pack { file, places })
    }

    fn place(&self, key: u64) -> io::Result<Place> {
        Ok(*self.places.get(&key).ok_or(io::ErrorKind::NotFound)?)
    }

    fn read(&self, key: u64) -> io::Result<Vec<u8>> {
        let place = self.place(key)?;
        let mut content = vec![0; place.length as usize];
        self.file.read_exact_at(&mut content, place.offset)?;
        Ok(content)
    }

    /// Writes a pack of these items.
    fn write(items: &[(u64, Vec<u8>)], file: impl Write) -> io::Result<()> {
        let mut file = BufWriter::new(file);
        file.write_all(&FORMAT)?;
        file.write_all(&(items.len() as u64).to_le_bytes())?;
        let mut offset = HEAD + items.len() as u64 * ENTRY;
        for (key, content) in items {
            let length = content.len() as u64;
            [*key, offset, length].iter().try_for_each(|n| file.write_all(&n.to_le_bytes()))?;
            offset += length;
        }
        items.iter().try_for_each(|(_, content)| file.write_all(content))?;
        file.flush()
    }
}

/// The first numbers in these bytes.
fn numbers<const N: usize>(bytes: &[u8]) -> [u64; N] {
    std::array::from_fn(|place| u64::from_le_bytes(bytes.as_chunks().0[place]))
}

/// What was sent, or why not all was.
#[derive(Debug, PartialEq, Eq)]
struct Outcome(Result<Sent, io::ErrorKind>);

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    items: u64,
    bytes: u64,
    /// Digest of the first and last bytes of each, in order.
    digest: u64,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.0.map_or(0, |sent| sent.items)
    }
}

impl Sent {
    fn add(&mut self, content: &[u8]) {
        let ends = match (content.first_chunk(), content.last_chunk()) {
            (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_be_bytes(*last),
            _ => content.iter().fold(1, |bytes, byte| bytes << 8 | u64::from(*byte)),
        };
        self.items += 1;
        self.bytes += content.len() as u64;
        self.digest = self.digest.rotate_left(5) ^ ends;
    }
}

/// A collection in a folder, as files, as a pack and as a database.
struct Collection {
    folder: TempDir,
    pack: Pack,
    map: Mmap,
    database: Connection,
}

impl Collection {
    fn new(items: &[(u64, Vec<u8>)]) -> Result<Collection, Unavailable> {
        let folder = paths::scratch()?;
        let failed = |error: io::Error| {
            Unavailable(format!("cannot write to {}: {error}", folder.path().display()))
        };
        for (key, content) in items {
            let path = place_in(folder.path(), *key);
            let parent = path.parent().unwrap_or(folder.path());
            fs::create_dir_all(parent).and_then(|()| fs::write(&path, content)).map_err(failed)?;
        }
        let path = folder.path().join("pack");
        let written = File::create(&path).and_then(|file| Pack::write(items, file));
        let pack = written.and_then(|()| File::open(&path)).and_then(Pack::open).map_err(failed)?;
        // SAFETY: the pack belongs to this process alone, in a folder made for it, and is neither written nor truncated
        // once it is built.
        let map = unsafe { Mmap::map(&pack.file) }.map_err(failed)?;
        let database = database(&folder.path().join("database"), items);
        let database = database.map_err(|error| failed(io::Error::other(error)))?;
        Ok(Collection { folder, pack, map, database })
    }
}

fn database(path: &Path, items: &[(u64, Vec<u8>)]) -> ::rusqlite::Result<Connection> {
    let mut database = sqlite::open(path)?;
    database
        .execute_batch("CREATE TABLE items (key INTEGER PRIMARY KEY, content BLOB NOT NULL)")?;
    let transaction = database.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO items VALUES (?1, ?2)")?;
        for (key, content) in items {
            insert.execute((*key as i64, content))?;
        }
    }
    transaction.commit()?;
    Ok(database)
}

/// Items that are asked for.
struct Wanted {
    collection: Rc<Collection>,
    keys: Vec<u64>,
}

impl Wanted {
    fn bytes(&self) -> u64 {
        let places = self.keys.iter().filter_map(|key| self.collection.pack.places.get(key));
        places.map(|place| place.length).sum()
    }
}

/// Items asked for from a collection of their own, for the traps.
fn wanted(items: &[(u64, Vec<u8>)], keys: &[u64]) -> Wanted {
    let collection = Collection::new(items);
    let collection = collection.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"));
    Wanted { collection: Rc::new(collection), keys: keys.to_vec() }
}

fn items(case: &Case) -> Vec<(u64, Vec<u8>)> {
    let (mut rng, mut seen) = (case.rng("items"), HashSet::new());
    let mut keys = case.values(case.items(ITEMS));
    keys.retain(|key| seen.insert(*key));
    let mut content = |key: &u64| {
        // Smaller ones are more frequent.
        let length: u64 = match case.shape {
            Shape::Realistic => 1_000 + rng.random_range(0..8_000) * rng.random_range(0..=8) / 8,
            _ => key % 300,
        };
        let mut content = vec![0; length as usize];
        rng.fill_bytes(&mut content);
        content
    };
    keys.iter().map(|key| (*key, content(key))).collect()
}

/// Keys that are asked for. Now and then an adversarial one is unknown.
fn keys(case: &Case, items: &[(u64, Vec<u8>)], popularity: &Zipf) -> Vec<u64> {
    let mut rng = case.rng("keys");
    let mut key = || match case.shape {
        Shape::Adversarial if rng.random_range(0..50) == 0 => 3,
        _ => items[popularity.sample(&mut rng)].0,
    };
    (0..case.point).map(|_| key()).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let items = items(case);
    let collection = Rc::new(Collection::new(&items)?);
    let popularity = Zipf::new(items.len().max(1), 4);
    let inputs = case.rotate(turns(case.point), |case| Wanted {
        collection: Rc::clone(&collection),
        keys: keys(case, &items, &popularity),
    });
    type Sink<'a> = &'a mut dyn FnMut(Vec<u8>);
    let over = |side: fn(&Collection, &[u64], Sink<'_>) -> io::Result<()>| {
        by_ref(&inputs, move |wanted: &Wanted| {
            let mut sent = Sent::default();
            let read = side(&wanted.collection, &wanted.keys, &mut |content| sent.add(&content));
            Outcome(read.map(|()| sent).map_err(|error| error.kind()))
        })
    };
    let trial = Trial::new(
        inputs.measured(|wanted| wanted.keys.len() as u64),
        over(|collection, keys, send| naive(collection.folder.path(), keys, send)),
        over(|collection, keys, send| optimized(&collection.pack, keys, send)),
    );
    Ok(trial
        .peer(over(|collection, keys, send| rusqlite(&collection.database, keys, send)))
        .alternative(over(|Collection { pack, map, .. }, keys, send| mapped(pack, map, keys, send)))
        .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Side = fn(&Collection, &[u64], &mut dyn FnMut(Vec<u8>)) -> io::Result<()>;
    const SIDES: [Side; 4] = [
        |collection, keys, send| naive(collection.folder.path(), keys, send),
        |collection, keys, send| optimized(&collection.pack, keys, send),
        |collection, keys, send| mapped(&collection.pack, &collection.map, keys, send),
        |collection, keys, send| rusqlite(&collection.database, keys, send),
    ];

    fn items() -> [(u64, Vec<u8>); 3] {
        [(7, b"seven".to_vec()), (u64::MAX, vec![9; 10_000]), (0, Vec::new())]
    }

    #[test]
    fn known_answers() {
        let collection = Collection::new(&items()).unwrap();
        for side in SIDES {
            let mut sent = Vec::new();
            let mut send = |content| sent.push(content);
            side(&collection, &[], &mut send).unwrap();
            side(&collection, &[0, 7, u64::MAX, 7], &mut send).unwrap();
            assert_eq!(sent, [&b""[..], b"seven", &[9; 10_000], b"seven"]);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_after_what_was_sent() {
        let collection = Collection::new(&items()).unwrap();
        for side in SIDES {
            let mut sent = Sent::default();
            let read = side(&collection, &[7, 8, 7], &mut |content| sent.add(&content));
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!((sent.items, sent.bytes), (1, 5));
        }
    }

    /// A file of these bytes.
    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile_in(paths::scratch().unwrap().path()).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_pack_that_is_cut_or_damaged_is_an_error() {
        let mut bytes = Vec::new();
        Pack::write(&items(), &mut bytes).unwrap();
        assert_eq!(bytes.len(), 16 + 3 * 24 + 10_005);
        assert!(Pack::open(file(&bytes)).is_ok());
        for length in [0, 8, 15, 16, 40, 87, 88, bytes.len() - 1] {
            assert!(Pack::open(file(&bytes[..length])).is_err(), "cut to {length}");
        }
        // The format, the number of items, the offset and the length of the first.
        for (place, byte) in [(0, b'P'), (15, 0xff), (24 + 7, 0x80), (32 + 7, 0xff)] {
            let mut damaged = bytes.clone();
            damaged[place] = byte;
            assert!(Pack::open(file(&damaged)).is_err(), "{byte} at {place}");
        }
        let twice = [(7, vec![1]), (7, vec![2])];
        let mut bytes = Vec::new();
        Pack::write(&twice, &mut bytes).unwrap();
        assert!(Pack::open(file(&bytes)).is_err());
    }

    #[test]
    fn a_pack_that_is_cut_while_it_is_open_is_an_error() {
        let mut bytes = Vec::new();
        Pack::write(&items(), &mut bytes).unwrap();
        let pack = Pack::open(file(&bytes)).unwrap();
        pack.file.set_len(100).unwrap();
        assert_eq!(pack.read(u64::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(pack.read(7).unwrap(), b"seven");
    }
}
