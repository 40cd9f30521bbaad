//! Write a message that lies in pieces: with one vectored call, not one call for each piece.

use std::{
    fs::File,
    io::{self, IoSlice, Seek, Write},
    os::unix::fs::FileExt,
    rc::Rc,
};

use rand::{Rng, RngExt};
use tempfile::TempDir;

use worthit_pair::prelude::*;

/// Pieces that one call takes at most (`IOV_MAX` on Linux); std passes on no more.
const PIECES_PER_CALL: u64 = 1_024;

const SHORT: u64 = 100;
const LONG: u64 = 4_096;

pub const PAIR: Pair = Pair {
    title: "Write all pieces with one call",
    review: Review {
        smell: "Several `write_all` calls in a row for one message: a header, then its payload, then the next header, to \
                a bare `File` or socket.",
        remedy: "Collect an `IoSlice::new(piece)` for each piece, and call `file.write_vectored(left)` until nothing is \
                 left: a call may take only a part, and `IoSlice::advance_slices` then skips what it took.",
        keep_naive_when: "The writer is a `BufWriter`, which gathers short pieces by itself. Short pieces that go to a \
                          bare file or socket are better copied into one buffer, as the alternative does: a list of \
                          them costs the kernel more for each than a copy of its bytes.",
        costs: "A call may take only a part of the list, and at most 1,024 pieces, so it stands in a loop; std's \
                `write_all_vectored` is not stable yet. A writer that does not implement `write_vectored` itself writes \
                one piece with each call, as before. The pieces must live until the call, and the list takes 16 bytes \
                for each.",
        lint: Lint::None,
    },
    naive: Side { summary: "write_all for each piece", growth: Growth::Linear },
    optimized: Side { summary: "write_vectored of all pieces", growth: Growth::Linear },
    input: "Records of a storage log: a header of 16 bytes and a payload of random bytes that lies elsewhere in memory, \
            in turn. Payloads differ by up to a quarter from the stated length. They go to an empty file in the page \
            cache, and are not flushed.",
    axis: Axis {
        name: "pieces",
        unit: "pieces",
        is_size: true,
        points: Points::Fixed { default: &[2, 6, 20, 100, 200], deep: &[] },
    },
    parameter: Some(Parameter {
        name: "payload",
        levels: Levels::Fixed(&[
            Level { label: "100B", value: SHORT, origin: Origin::Measured },
            Level { label: "4KiB", value: LONG, origin: Origin::Measured },
        ]),
    }),
    unit: "piece",
    headline: Headline::At { level: "4KiB", point: 100 },
    alternatives: &[SideBeside {
        name: "one_buffer",
        summary: "copy all pieces into a buffer, and write it",
    }],
    causes: &[Claim {
        cause: causes::WRITE_CALLS,
        naive: Count::Exactly(|case| case.point),
        optimized: Count::Exactly(|case| case.point.div_ceil(PIECES_PER_CALL)),
    }],
    explanation: Explanation {
        why: "n calls became one. Each call enters the kernel, takes the lock of the file and finds the page to write to. \
              What remains is to copy the bytes into fresh pages of the page cache, which no list of pieces saves and \
              which bounds the gain: the longer the pieces, the larger a part of a call it is. To copy them into one \
              buffer first saves the same calls. For short pieces that is the better way. For payloads of a few KiB \
              both cost about the same, until the buffer is so large that it leaves the near caches or that its memory \
              comes fresh from the kernel each time.",
        share_of_cause: ShareOfCause::Within(0.01, 0.15),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[&Trap {
        name: "empty pieces",
        reason: "the naive side makes no call for them, so there would be less to save",
        check: |inputs: &[Vec<Vec<u8>>]| {
            let empty = inputs.iter().flatten().filter(|piece| piece.is_empty()).count();
            ensure(empty == 0, || format!("{empty} pieces are empty"))
        },
        sprung: || {
            let case = Case { shape: Shape::Adversarial, ..Case::realistic(100, SHORT, 1) };
            vec![pieces(&case)]
        },
    }],
    // The kernel reads each byte once. That it makes fresh pages for them is in no machine number.
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |case| bytes(case.point, case.level),
        within_bytes: |case| TURNS * bytes(case.point, case.level),
    }]),
    proof: Proof { resources: Resources::System, max_size: 1_500 },
    prepare,
    ..Pair::DEFAULTS
};

/// Bytes of a header.
const HEADER: usize = 16;

/// Messages in the rotation.
const TURNS: u64 = 16;

/// Bytes of this many pieces, on average.
const fn bytes(pieces: u64, payload: u64) -> u64 {
    pieces / 2 * (HEADER as u64 + payload)
}

/// Writes the pieces one after another.
fn naive<P: AsRef<[u8]>>(pieces: &[P], mut file: impl Write) -> io::Result<()> {
    for piece in pieces {
        file.write_all(piece.as_ref())?;
    }
    Ok(())
}

/// Writes the pieces one after another.
fn optimized<P: AsRef<[u8]>>(pieces: &[P], mut file: impl Write) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> =
        pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
    let mut left = &mut slices[..];
    // Skips empty pieces at the front: a call that had only such would write nothing, like one to a full disk.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The same through a buffer with room for all pieces.
fn one_buffer<P: AsRef<[u8]>>(pieces: &[P], mut file: impl Write) -> io::Result<()> {
    let bytes = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    let mut buffer = Vec::with_capacity(bytes);
    pieces.iter().for_each(|piece| buffer.extend_from_slice(piece.as_ref()));
    file.write_all(&buffer)
}

/// A file to write, in a folder that goes with it.
struct Target {
    file: File,
    _folder: Rc<TempDir>,
}

impl Target {
    fn empty(&mut self) {
        self.file.set_len(0).and_then(|()| self.file.rewind()).expect("it is open for writing");
    }

    /// What was written.
    fn bytes(&self) -> Vec<u8> {
        let length = self.file.metadata().expect("the file is open").len();
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, 0).expect("it is as long as it says");
        bytes
    }
}

/// Headers and payloads in turn.
fn pieces(case: &Case) -> Vec<Vec<u8>> {
    let mut rng = case.rng("pieces");
    let usual = case.level as usize;
    let length = |nth: u64| match case.shape {
        Shape::Realistic if nth.is_multiple_of(2) => HEADER,
        Shape::Realistic => rng.random_range(usual * 3 / 4..=usual * 5 / 4),
        Shape::Random => rng.random_range(0..100),
        Shape::DuplicateHeavy => 3,
        Shape::Sorted => nth as usize % 300,
        // Nearly all are empty.
        Shape::Adversarial => {
            if rng.random_range(0..50) == 0 {
                1
            } else {
                0
            }
        }
    };
    let lengths: Vec<usize> = (0..case.point).map(length).collect();
    let piece = |length: usize| {
        let mut bytes = vec![0; length];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    lengths.into_iter().map(piece).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(TURNS, pieces);
    let folder = Rc::new(paths::scratch()?);
    let target = |name| {
        let path = folder.path().join(name);
        let file = File::options().create_new(true).read(true).write(true).open(&path);
        let file =
            file.map_err(|e| Unavailable(format!("cannot write {}: {e}", path.display())))?;
        Ok(Target { file, _folder: Rc::clone(&folder) })
    };
    let over = |target, side: fn(&[Vec<u8>], &File) -> io::Result<()>| {
        let write = move |target: &mut Target, pieces: &Vec<Vec<u8>>| {
            side(pieces, &target.file).expect("the data folder takes the file");
        };
        changing(&inputs, target, Target::empty, write, |target| target.bytes())
    };
    Ok(Trial::new(
        inputs.measured(|pieces| pieces.len() as u64),
        over(target("naive")?, |pieces, file| naive(pieces, file)),
        over(target("optimized")?, |pieces, file| optimized(pieces, file)),
    )
    .alternative(over(target("one_buffer")?, |pieces, file| one_buffer(pieces, file)))
    .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes at most `at_once` bytes with each call, and is full after `left` more.
    struct Disk {
        bytes: Vec<u8>,
        at_once: usize,
        left: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            let taken = self.at_once.min(self.left);
            let before = self.bytes.len();
            self.bytes.extend(pieces.iter().flat_map(|piece| piece.iter()).take(taken));
            let written = self.bytes.len() - before;
            self.left -= written;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Side = fn(&[&str], &mut Disk) -> io::Result<()>;
    const SIDES: [Side; 3] = [
        |pieces, disk| naive(pieces, disk),
        |pieces, disk| optimized(pieces, disk),
        |pieces, disk| one_buffer(pieces, disk),
    ];

    #[test]
    fn known_answers() {
        for side in SIDES {
            for at_once in [1, 2, 3, 100] {
                let mut disk = Disk { bytes: Vec::new(), at_once, left: 100 };
                side(&["", "head", "", "", "§", "tail", ""], &mut disk).unwrap();
                side(&[], &mut disk).unwrap();
                side(&["", ""], &mut disk).unwrap();
                assert_eq!(disk.bytes, "head§tail".as_bytes());
            }
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        for side in SIDES {
            for left in [0, 3, 4, 7] {
                let mut disk = Disk { bytes: Vec::new(), at_once: 3, left };
                let error = side(&["head", "tail"], &mut disk).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WriteZero);
            }
        }
    }
}
