//! Read a file byte by byte: through a buffer, not with a system call for each byte.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
    rc::Rc,
};

use tempfile::TempDir;

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Read bytes through a buffer",
    review: Review {
        smell: "`file.bytes()` on a bare `File`, socket or pipe; or `read_exact` into one byte, or into the few bytes of \
                a field, in a loop.",
        remedy: "`BufReader::new(file).bytes()`. Whatever reads a little at a time then takes it from the buffer.",
        keep_naive_when: "There is only a byte or two to read. Or what follows belongs to somebody else: the buffer takes \
                          more from a pipe or a socket than it hands on, and the rest is lost with it. Code that \
                          reads large pieces into a buffer of its own needs no second one.",
        costs: "8 KiB, and one more copy of each byte. A read position that runs ahead: after `into_inner` the file stands \
                behind what was buffered. `bytes` still asks with each byte whether it was the last and whether reading \
                failed. The alternative goes through the buffer as a slice, and needs a decoder that can stop after any \
                byte.",
        lint: Lint::Default("clippy::unbuffered_bytes"),
    },
    naive: Side { summary: "File::bytes, a call for each byte", growth: Growth::Linear },
    optimized: Side { summary: "BufReader::bytes, a call for each 8 KiB", growth: Growth::Linear },
    input: "Lists of the documents that have a word, as an index keeps them: the gaps between their numbers, each in one \
            to three bytes, the last of which has its top bit clear. The files are in the page cache. Opening a list, \
            decoding and summing it are part of the work of both sides.",
    axis: Axis {
        name: "bytes read",
        unit: "B",
        is_size: true,
        points: Points::Fixed { default: &[1, 16, 256, 4_000, 10_000], deep: &[] },
    },
    unit: "byte",
    headline: Headline::At { level: "", point: 4_000 },
    alternatives: &[SideBeside {
        name: "fill_buf",
        summary: "a loop over what the buffer holds, without an iterator of bytes",
    }],
    causes: &[Claim {
        cause: causes::READ_CALLS,
        // The last call finds the end.
        naive: Count::Exactly(|case| case.point + 1),
        optimized: Count::Exactly(reads),
    }],
    explanation: Explanation {
        why: "A read call for each byte became one for each buffer. A call enters the kernel and leaves it, finds the page \
              and copies, and costs nearly the same for one byte as for a few hundred. What is left is the decoding, \
              which takes its time for each byte on both sides: so the gain is far below the ratio of calls, and settles \
              once opening the file no longer matters.",
        share_of_cause: ShareOfCause::Within(0.02, 0.2),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "all bytes are alike",
        reason: "the decoder would always take the same branch, and a byte would cost less than it does",
        check: |inputs: &[List]| {
            let bytes: HashSet<u8> = inputs.iter().flat_map(List::bytes).collect();
            ensure(bytes.len() >= 32, || format!("{} different bytes", bytes.len()))
        },
        sprung: || vec![list(&[1; 20_000])],
    }],
    limit: Limit::Work(&[
        Work::BytesRead(|case| case.point),
        // Opens it and closes it.
        Work::SystemCalls(|case| reads(case) + 2),
    ]),
    proof: Proof { resources: Resources::System, max_size: 20_000 },
    prepare,
    ..Pair::DEFAULTS
};

/// Size of the buffer of `BufReader::new`, bytes.
const BUFFER: u64 = 8 * 1024;

/// Read calls through a buffer; the last one finds the end.
fn reads(case: &Case) -> u64 {
    case.point.div_ceil(BUFFER) + 1
}

/// Lists in the rotation.
fn turns(bytes: u64) -> u64 {
    if bytes <= 256 { 256 } else { 32 }
}

/// What a list says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Documents {
    count: u64,
    /// The sum of their numbers, modulo 2^64.
    sum: u64,
}

impl Found for Documents {
    fn found(&self) -> u64 {
        self.count
    }
}

/// Reads the list to its end.
#[expect(clippy::unbuffered_bytes, reason = "it finds the smell")]
fn naive(file: impl Read) -> io::Result<Documents> {
    decode(file.bytes())
}

/// Reads the list to its end.
fn optimized(file: impl Read) -> io::Result<Documents> {
    decode(BufReader::new(file).bytes())
}

/// The same, with what the buffer holds as a slice.
fn fill_buf(file: impl Read) -> io::Result<Documents> {
    let (mut file, mut decoder) = (BufReader::new(file), Decoder::default());
    loop {
        let bytes = match file.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            return decoder.end();
        }
        bytes.iter().try_for_each(|byte| decoder.take(*byte))?;
        let length = bytes.len();
        file.consume(length);
    }
}

fn decode(bytes: impl Iterator<Item = io::Result<u8>>) -> io::Result<Documents> {
    let mut decoder = Decoder::default();
    for byte in bytes {
        decoder.take(byte?)?;
    }
    decoder.end()
}

/// Takes gaps in LEB128, seven bits a byte, the lowest first.
#[derive(Default)]
struct Decoder {
    documents: Documents,
    /// The number of the document before.
    number: u64,
    /// The bits of the gap so far, and how many.
    gap: u64,
    bits: u32,
}

impl Decoder {
    fn take(&mut self, byte: u8) -> io::Result<()> {
        let part = u64::from(byte & 0x7f);
        // Ten bytes hold 64 bits, and the last of them a single one.
        if self.bits > 63 || self.bits == 63 && part > 1 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.gap |= part << self.bits;
        if byte & 0x80 != 0 {
            self.bits += 7;
            return Ok(());
        }
        self.number = self.number.wrapping_add(self.gap);
        self.documents.count += 1;
        self.documents.sum = self.documents.sum.wrapping_add(self.number);
        (self.gap, self.bits) = (0, 0);
        Ok(())
    }

    fn end(self) -> io::Result<Documents> {
        if self.bits > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(self.documents) }
    }
}

/// A list in a file, in a folder that goes with it.
struct List {
    path: PathBuf,
    _folder: Rc<TempDir>,
}

impl List {
    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("it was written")
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.path).expect("it was written").len()
    }
}

/// A list of these bytes, for the trap.
fn list(bytes: &[u8]) -> List {
    let list = paths::scratch().and_then(|folder| write(&Rc::new(folder), 0, bytes));
    list.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
}

fn write(folder: &Rc<TempDir>, number: usize, bytes: &[u8]) -> Result<List, Unavailable> {
    let path = folder.path().join(number.to_string());
    let written = fs::write(&path, bytes);
    written.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
    Ok(List { path, _folder: Rc::clone(folder) })
}

fn encode(mut gap: u64, bytes: &mut Vec<u8>) {
    while gap >= 0x80 {
        bytes.push(gap as u8 | 0x80);
        gap >>= 7;
    }
    bytes.push(gap as u8);
}

/// Gaps that fill the bytes of the case. Realistic ones have 1 to 16 bits, each length as often as the others.
fn gaps(case: &Case) -> Vec<u8> {
    let length = case.point as usize;
    let mut bytes = Vec::with_capacity(length + 10);
    for value in case.values(length) {
        let before = bytes.len();
        let gap = match case.shape {
            Shape::Realistic => 1 + (value >> 16) % (2 << (value % 16)),
            _ => value,
        };
        encode(gap, &mut bytes);
        if bytes.len() > length {
            bytes.truncate(before);
        }
    }
    bytes.resize(length, 1);
    bytes
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let folder = Rc::new(paths::scratch()?);
    let lists = case.rotate(turns(case.point), gaps);
    let lists = lists.iter().enumerate().map(|(number, bytes)| write(&folder, number, bytes));
    let lists = Inputs::rotating(lists.collect::<Result<Vec<List>, Unavailable>>()?);
    let over = |side: fn(File) -> io::Result<Documents>| {
        by_ref(&lists, move |list: &List| {
            File::open(&list.path).and_then(side).expect("the file is there and valid")
        })
    };
    let trial = Trial::new(lists.measured(List::size), over(naive), over(optimized));
    Ok(trial.alternative(over(fill_buf)).units(case.point))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::VecDeque};

    use super::*;

    type Side = fn(Pieces<'_>) -> io::Result<Documents>;
    const SIDES: [Side; 3] = [|file| naive(file), |file| optimized(file), |file| fill_buf(file)];

    /// A file that hands out these pieces, one with each call at most, and is interrupted before each.
    struct Pieces<'a> {
        pieces: VecDeque<Vec<u8>>,
        is_ready: bool,
        calls: &'a Cell<u64>,
    }

    impl<'a> Pieces<'a> {
        fn new(pieces: &[&[u8]], calls: &'a Cell<u64>) -> Pieces<'a> {
            let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
            Pieces { pieces, is_ready: false, calls }
        }
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.calls.set(self.calls.get() + 1);
            let Some(piece) = self.pieces.front_mut() else { return Ok(0) };
            let length = piece.len().min(buffer.len());
            buffer[..length].copy_from_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Ok(length)
        }
    }

    #[test]
    fn known_answers() {
        for (pieces, count, sum) in [
            (&[][..], 0, 0),
            (&[&[5_u8][..]], 1, 5),
            // 5, then 5 + 128, in pieces that split a gap.
            (&[&[5, 0x80], &[1]], 2, 5 + 133),
            (&[&[0xff; 9], &[1, 1]], 2, u64::MAX),
        ] {
            for side in SIDES {
                let documents = side(Pieces::new(pieces, &Cell::new(0))).unwrap();
                assert_eq!(documents, Documents { count, sum });
            }
        }
    }

    #[test]
    fn a_list_that_is_cut_or_no_list_is_an_error() {
        for (bytes, kind) in [
            (&[5, 0x80][..], io::ErrorKind::UnexpectedEof),
            (&[0xff; 10], io::ErrorKind::InvalidData),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                io::ErrorKind::InvalidData,
            ),
        ] {
            for side in SIDES {
                let error = side(Pieces::new(&[bytes], &Cell::new(0))).unwrap_err();
                assert_eq!(error.kind(), kind);
            }
        }
    }

    #[test]
    fn trap_only_the_naive_side_makes_a_call_for_each_byte() {
        let calls = SIDES.map(|side| {
            let calls = Cell::new(0);
            side(Pieces::new(&[&[1; 8_192], &[1; 8_192], &[1; 100]], &calls)).unwrap();
            calls.get()
        });
        assert_eq!(calls, [2 * 8_192 + 100 + 1, 4, 4]);
    }
}
