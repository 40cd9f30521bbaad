//! Read random pages of a file from the device: with many reads in flight, not one after another.

use std::{
    cell::UnsafeCell,
    collections::HashSet,
    fs::File,
    io, mem,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    sync::Arc,
};

use io_uring::{IoUring, Probe, opcode, types};
use rayon::prelude::*;
use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::fixtures::device_reads;
use worthit_pair::prelude::*;

/// Bytes of a read, which are also the alignment that it needs.
const PAGE: usize = 4_096;
/// Pages of the file that is timed: 64 MiB.
const PAGES: u64 = 16_384;
/// Reads in one iteration.
const READS: u64 = 128;
/// Inputs in the rotation.
const TURNS: u64 = 16;
/// Reads in flight at the far end of the axis.
const DEEPEST: u32 = 32;

const WAITS: Cause = Cause::new("waits", "waits for the device")
    .counted("on a file or a queue that notes each wait, at which all that was asked for comes");

pub const PAIR: Pair = Pair {
    title: "Keep many reads in flight",
    review: Review {
        smell: "`file.read_exact_at(&mut page, offset)?` in a loop over places that are known beforehand, in a file that \
                the page cache does not hold: a batch of keys, a compaction, a scan of an index.",
        remedy: "Hand the kernel many reads before waiting for one, through io_uring: `push` an `opcode::Read` for each \
                 of several pages, let `submit_and_wait(1)` submit them all and wait, and begin another read in place of \
                 each that has ended.",
        keep_naive_when: "The page cache answers: then there is nothing to wait for. Or each place follows from what was \
                          read before, as in the descent of a tree: only several descents at once have several reads \
                          in flight. Or few reads are made, and nobody waits for them.",
        costs: "`unsafe`: a page must stay where it is until its read has ended, also after an error, so the queue \
                waits for all before it goes. Reads end in any order, may be short, and each has an error of its own. \
                Many containers forbid io_uring (Docker's default profile does, `kernel.io_uring_disabled` may); \
                blocking threads, the alternative, work everywhere and keep up where a read takes far longer \
                than a wake-up, but need a stack each. Others who use the device wait longer.",
        lint: Lint::None,
    },
    naive: Side { summary: "read one page after another", growth: Growth::Constant },
    optimized: Side {
        summary: "io_uring, with as many reads in flight as stated",
        growth: Growth::Other("falls until the device has no more to do at once"),
    },
    input: "128 random pages of 4 KiB of a file of 64 MiB, of each of which one word is wanted. `O_DIRECT` reads past \
            the page cache. The device, or the host of a virtual machine, may have caches of its own. The naive side \
            has one read in flight at every point.",
    axis: Axis {
        name: "reads in flight",
        unit: "reads",
        is_size: false,
        points: Points::Fixed { default: &[1, 2, 4, 8, 16, 32], deep: &[] },
    },
    unit: "read",
    headline: Headline::At { level: "", point: 16 },
    alternatives: &[SideBeside { name: "threads", summary: "blocking reads on as many threads" }],
    causes: &[
        Claim {
            cause: WAITS,
            naive: Count::Exactly(|_| READS),
            optimized: Count::Exactly(|case| READS.div_ceil(case.point)),
        },
        Claim {
            cause: causes::READ_CALLS,
            naive: Count::Exactly(|_| READS),
            optimized: Count::Exactly(|_| 0),
        },
    ],
    explanation: Explanation {
        why: "A device works on many reads at once, but the naive side gives it one and then waits. With n in flight it \
              waits for n at a time, and the gain follows n until the device, or the limit that a cloud sets on it, \
              has no more to give at once. The kernel is asked only once for all that is begun and waited for, so \
              there are fewer system calls, too. With one read in flight, the queue is a detour.",
        share_of_cause: ShareOfCause::Within(0.1, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::UpTo(1),
    },
    traps: &[
        &Trap {
            name: "the page cache answers",
            reason: "there would be no device to wait for",
            check: |inputs: &[Input]| {
                let all = || inputs.iter().try_for_each(|i| naive(&i.file.file, i).map(drop));
                let (read, bytes) = device_reads::during(all)?;
                read.map_err(|error| format!("cannot read: {error}"))?;
                let wanted = inputs.iter().map(|input| input.requests.len() * PAGE).sum::<usize>();
                ensure(bytes >= wanted as u64, || {
                    format!("{bytes} of {wanted} bytes came from the device")
                })
            },
            sprung: || {
                let folder = paths::scratch().unwrap_or_else(|Unavailable(why)| panic!("{why}"));
                let file = Pages::written(folder, 64, 1).and_then(|pages| pages.opened(false));
                let file = file.expect("a buffered file can be read anywhere");
                vec![input(&Case::realistic(4, 0, 1), &Arc::new(file))]
            },
        },
        &Trap {
            name: "the same few pages, or pages in order",
            reason: "the device itself, or the host, would have them at hand or ahead of time",
            check: |inputs: &[Input]| {
                let pages = || inputs.iter().flat_map(|i| i.requests.iter().map(|r| r.page));
                let (all, distinct) = (pages().count(), pages().collect::<HashSet<u64>>().len());
                let lists = inputs.iter().map(|i| i.requests.windows(2));
                let next = lists.flatten().filter(|two| two[1].page == two[0].page + 1).count();
                ensure(distinct * 2 >= all && next * 20 <= all, || {
                    format!(
                        "{distinct} pages in {all} reads, {next} of which follow the one before"
                    )
                })
            },
            sprung: || {
                let folder = paths::scratch().unwrap_or_else(|Unavailable(why)| panic!("{why}"));
                let file = Pages::written(folder, 64, 1).and_then(|pages| pages.opened(false));
                let file = Arc::new(file.expect("a buffered file can be read anywhere"));
                vec![input(&Case::realistic(4, 0, 1), &file)]
            },
        },
    ],
    limit: Limit::Work(&[Work::QueuedDeviceReads(|_| READS)]),
    proof: Proof { resources: Resources::System, max_size: 200 },
    prepare,
    ..Pair::DEFAULTS
};

/// A buffer with the alignment that direct reads need.
#[repr(align(4096))]
struct Page([u8; PAGE]);

impl Page {
    const ZERO: Page = Page([0; PAGE]);

    fn word(&self, place: usize) -> u64 {
        u64::from_le_bytes(self.0.as_chunks().0[place])
    }
}

/// What is wanted: a word of a page.
struct Request {
    page: u64,
    word: usize,
}

impl Request {
    fn offset(&self) -> u64 {
        self.page * PAGE as u64
    }
}

struct Input {
    /// The same one in each input of the rotation.
    file: Arc<Opened>,
    requests: Vec<Request>,
    /// Reads in flight on the optimized side.
    depth: usize,
}

/// The words that are wanted, in the order of the requests.
fn naive(file: &impl FileExt, input: &Input) -> io::Result<Vec<u64>> {
    input.requests.iter().map(|request| read_word(file, request)).collect()
}

fn read_word(file: &impl FileExt, request: &Request) -> io::Result<u64> {
    let mut page = Page::ZERO;
    file.read_exact_at(&mut page.0, request.offset())?;
    Ok(page.word(request.word))
}

/// The words that are wanted, in the order of the requests.
fn optimized(ring: &mut Ring, input: &Input) -> io::Result<Vec<u64>> {
    read_in_flight(ring, input)
}

/// The same through any queue.
fn read_in_flight(
    queue: &mut impl Queue,
    Input { requests, depth, .. }: &Input,
) -> io::Result<Vec<u64>> {
    let mut words = vec![0; requests.len()];
    // For each read in flight, which request it is for, and how many bytes it has.
    let mut reading: Vec<(usize, usize)> =
        (0..requests.len().min(*depth)).map(|i| (i, 0)).collect();
    for (slot, (request, _)) in reading.iter().enumerate() {
        queue.begin(slot, 0, requests[*request].offset());
    }
    let (mut begun, mut in_flight) = (reading.len(), reading.len());
    let mut failed = None;
    while in_flight > 0 {
        queue.wait()?;
        while let Some((slot, result)) = queue.ended() {
            let (request, bytes) = &mut reading[slot];
            match result {
                Ok(0) => failed = failed.or(Some(io::ErrorKind::UnexpectedEof.into())),
                Ok(more) => *bytes += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => failed = failed.or(Some(error)),
            }
            if *bytes == PAGE {
                words[*request] = queue.page(slot).word(requests[*request].word);
                (*request, *bytes) = (begun, 0);
                begun += 1;
            }
            // After an error, none is begun, but those in flight are waited for.
            if *request < requests.len() && failed.is_none() {
                queue.begin(slot, *bytes, requests[*request].offset());
            } else {
                in_flight -= 1;
            }
        }
    }
    failed.map_or(Ok(words), Err)
}

/// The words that are wanted, in the order of the requests. Call it on a worker of a rayon pool.
fn threads(file: &(impl FileExt + Sync), input: &Input) -> io::Result<Vec<u64>> {
    let requests = input.requests.par_iter().with_max_len(1);
    requests.map(|request| read_word(file, request)).collect()
}

/// Reads of pages that are in flight at once, each in a slot.
trait Queue {
    /// Begins to read the page at `offset` into this slot, after the `bytes` that are there already.
    fn begin(&mut self, slot: usize, bytes: usize, offset: u64);
    /// Waits until a read has ended.
    fn wait(&mut self) -> io::Result<()>;
    /// Takes the slot of a read that has ended, and how many bytes it has read.
    fn ended(&mut self) -> Option<(usize, io::Result<usize>)>;
    /// The page in a slot whose read has ended.
    fn page(&self, slot: usize) -> &Page;
}

/// The kernel's queue.
struct Ring {
    ring: IoUring,
    file: Arc<Opened>,
    pages: Box<[UnsafeCell<Page>]>,
    /// Slots whose pages the kernel may write to.
    is_reading: Vec<bool>,
}

impl Ring {
    fn new(file: &Arc<Opened>, depth: usize) -> Result<Ring, Unavailable> {
        let ring = IoUring::new(DEEPEST).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Unavailable(
                "not measured: io_uring is forbidden here, as many containers do; allow `io_uring_setup`, \
                 `io_uring_enter` and `io_uring_register` in its seccomp profile, set `kernel.io_uring_disabled` to \
                 0, or run it outside"
                    .to_owned(),
            ),
            io::ErrorKind::OutOfMemory => {
                Unavailable(format!("cannot make a queue for io_uring: {error}; raise `ulimit -l`"))
            }
            _ => Unavailable(format!(
                "not measured: this kernel has no io_uring ({error}); use Linux 5.6 or newer"
            )),
        })?;
        let mut probe = Probe::new();
        let probed = ring.submitter().register_probe(&mut probe);
        if probed.is_err() || !probe.is_supported(opcode::Read::CODE) {
            return Err(Unavailable(
                "not measured: io_uring cannot read here; use Linux 5.6 or newer".to_owned(),
            ));
        }
        let pages = (0..depth).map(|_| UnsafeCell::new(Page::ZERO)).collect();
        Ok(Ring { ring, file: Arc::clone(file), pages, is_reading: vec![false; depth] })
    }
}

impl Queue for Ring {
    fn begin(&mut self, slot: usize, bytes: usize, offset: u64) {
        assert!(!self.is_reading[slot] && bytes < PAGE);
        let page = self.pages[slot].get().cast::<u8>().wrapping_add(bytes);
        let read =
            opcode::Read::new(types::Fd(self.file.file.as_raw_fd()), page, (PAGE - bytes) as u32)
                .offset(offset + bytes as u64)
                .build()
                .user_data(slot as u64);
        // SAFETY: the file is open and the page is there until the read has ended, as `drop` waits for it. Meanwhile
        // nothing else touches the page, as the slot is marked.
        let pushed = unsafe { self.ring.submission().push(&read) };
        pushed.expect("the queue has as many entries as there are slots");
        self.is_reading[slot] = true;
    }

    fn wait(&mut self) -> io::Result<()> {
        loop {
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                waited => return waited.map(drop),
            }
        }
    }

    fn ended(&mut self) -> Option<(usize, io::Result<usize>)> {
        let entry = self.ring.completion().next()?;
        let slot = entry.user_data() as usize;
        self.is_reading[slot] = false;
        let result = usize::try_from(entry.result());
        Some((slot, result.map_err(|_| io::Error::from_raw_os_error(-entry.result()))))
    }

    fn page(&self, slot: usize) -> &Page {
        assert!(!self.is_reading[slot]);
        // SAFETY: the kernel is done with it, and writes to it only after the next `begin`, which takes this exclusively.
        unsafe { &*self.pages[slot].get() }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.is_reading.contains(&true) {
            if self.wait().is_err() {
                // The kernel may still write to the pages, so nobody else may ever have them.
                mem::forget(mem::take(&mut self.pages));
                return;
            }
            while self.ended().is_some() {}
        }
    }
}

/// A queue whose reads are all made at the next wait, which it notes, and end in reverse order.
struct AtOnce<'a, F> {
    file: &'a F,
    pages: Vec<Page>,
    begun: Vec<(usize, usize, u64)>,
    ended: Vec<(usize, io::Result<usize>)>,
}

impl<'a, F> AtOnce<'a, F> {
    fn new(file: &'a F, depth: usize) -> AtOnce<'a, F> {
        let pages = (0..depth).map(|_| Page::ZERO).collect();
        AtOnce { file, pages, begun: Vec::new(), ended: Vec::new() }
    }
}

impl<F: FileExt> Queue for AtOnce<'_, F> {
    fn begin(&mut self, slot: usize, bytes: usize, offset: u64) {
        self.begun.push((slot, bytes, offset));
    }

    fn wait(&mut self) -> io::Result<()> {
        note();
        for (slot, bytes, offset) in self.begun.drain(..) {
            let rest = &mut self.pages[slot].0[bytes..];
            self.ended.push((slot, self.file.read_at(rest, offset + bytes as u64)));
        }
        Ok(())
    }

    fn ended(&mut self) -> Option<(usize, io::Result<usize>)> {
        self.ended.pop()
    }

    fn page(&self, slot: usize) -> &Page {
        &self.pages[slot]
    }
}

/// A file that notes each read.
struct Noting<'a>(&'a File);

impl FileExt for Noting<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        note();
        self.0.read_at(bytes, offset)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A file of pages that is written and flushed, in a folder that goes with it.
struct Pages {
    folder: TempDir,
    count: u64,
}

/// The same, open for reading.
struct Opened {
    file: File,
    pages: Pages,
}

impl Pages {
    fn written(folder: TempDir, count: u64, seed: u64) -> io::Result<Pages> {
        let file = File::create_new(folder.path().join("pages"))?;
        let mut chunk = Vec::with_capacity(64 * PAGE);
        for page in 0..count {
            let words = (0..PAGE / 8).flat_map(|word| content(seed, page, word).to_le_bytes());
            chunk.extend(words);
            if chunk.len() == 64 * PAGE || page + 1 == count {
                file.write_all_at(&chunk, (page + 1) * PAGE as u64 - chunk.len() as u64)?;
                chunk.clear();
            }
        }
        file.sync_all()?;
        Ok(Pages { folder, count })
    }

    fn opened(self, is_direct: bool) -> io::Result<Opened> {
        let flags = if is_direct { OFlags::DIRECT } else { OFlags::empty() };
        let flags = flags.bits().cast_signed();
        let path = self.folder.path().join("pages");
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        Ok(Opened { file, pages: self })
    }
}

/// A word of the file, which nobody can tell from its place.
fn content(seed: u64, page: u64, word: usize) -> u64 {
    let place = page << 9 | word as u64;
    let mixed = (place ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Makes the file of a case on a device, and opens it past the page cache.
fn on_device(case: &Case) -> Result<Opened, Unavailable> {
    let folder = paths::durable_scratch()?;
    let disk = "set WORTHIT_DATA to a folder on another disk";
    let pages = if case.proof_size.is_some() { 64 } else { PAGES };
    let written = Pages::written(folder, pages, case.seed);
    let written =
        written.map_err(|error| Unavailable(format!("cannot write a file: {error}; {disk}")))?;
    let refused = |error| {
        Unavailable(format!("not measured: the file system refuses O_DIRECT ({error}); {disk}"))
    };
    let opened = written.opened(true).map_err(refused)?;
    let mut first = Page::ZERO;
    opened.file.read_exact_at(&mut first.0, 0).map_err(refused)?;
    Ok(opened)
}

fn input(case: &Case, file: &Arc<Opened>) -> Input {
    let request = |value: u64| Request {
        page: value % file.pages.count,
        word: (value >> 40) as usize % (PAGE / 8),
    };
    let requests = case.values(case.items(READS)).into_iter().map(request).collect();
    Input { file: Arc::clone(file), requests, depth: case.point as usize }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let file = Arc::new(on_device(case)?);
    let depth = case.point as usize;
    let ring = Ring::new(&file, depth)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(depth).build();
    let pool = Arc::new(pool.map_err(|error| {
        Unavailable(format!("cannot start {depth} threads: {error}; raise `ulimit -u`"))
    })?);
    let inputs = case.rotate(TURNS, |case| input(case, &file));
    let read = "the file has these pages";
    let waits_of_naive = noting(&inputs, move |i| naive(&Noting(&i.file.file), i).expect(read));
    let waits_of_optimized = noting(&inputs, move |i| {
        read_in_flight(&mut AtOnce::new(&i.file.file, i.depth), i).expect(read)
    });
    Ok(Trial::new(
        inputs.measured(|input| input.depth as u64),
        by_ref(&inputs, move |i: &Input| naive(&i.file.file, i).expect(read))
            .counting(WAITS, waits_of_naive),
        resetting(&inputs, ring, |_| {}, move |ring, i| optimized(ring, i).expect(read))
            .counting(WAITS, waits_of_optimized),
    )
    .alternative(pooled(&pool, &inputs, move |i| threads(&i.file.file, i).expect(read)))
    .units(inputs[0].requests.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What a read returns before it reads: the most bytes, or an error.
    type Fault = Result<usize, i32>;

    /// Pages in memory whose next reads meet these faults.
    struct Faulty {
        pages: u64,
        faults: RefCell<Vec<Fault>>,
    }

    impl FileExt for Faulty {
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
            let most = match self.faults.borrow_mut().pop() {
                Some(Err(code)) => return Err(io::Error::from_raw_os_error(code)),
                Some(Ok(most)) => most,
                None => PAGE,
            };
            let content: Vec<u8> = (0..self.pages)
                .flat_map(|page| (0..512).map(move |word| content(7, page, word)))
                .flat_map(u64::to_le_bytes)
                .collect();
            let rest = content.get(offset as usize..).unwrap_or_default();
            let count = bytes.len().min(most).min(rest.len());
            bytes[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        }
    }

    fn opened(pages: u64, is_direct: bool) -> Arc<Opened> {
        let folder = paths::durable_scratch().unwrap();
        Arc::new(Pages::written(folder, pages, 7).unwrap().opened(is_direct).unwrap())
    }

    fn asked(file: &Arc<Opened>, depth: usize, places: &[(u64, usize)]) -> Input {
        let request = |&(page, word)| Request { page, word };
        Input { file: Arc::clone(file), requests: places.iter().map(request).collect(), depth }
    }

    #[test]
    fn known_answers() {
        let file = opened(5, true);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for depth in [1, 2, 3, 8] {
            let mut ring = Ring::new(&file, depth).unwrap();
            let places = [(4, 511), (0, 0), (2, 9), (4, 511), (1, 0), (3, 300)];
            for places in [&places[..], &places[..1], &[]] {
                let input = asked(&file, depth, places);
                let expected: Vec<u64> =
                    places.iter().map(|(page, word)| content(7, *page, *word)).collect();
                assert_eq!(naive(&file.file, &input).unwrap(), expected);
                assert_eq!(optimized(&mut ring, &input).unwrap(), expected);
                assert_eq!(pool.install(|| threads(&file.file, &input)).unwrap(), expected);
            }
        }
    }

    #[test]
    fn short_reads_and_interruptions_go_on_and_errors_end_after_all_reads() {
        let file = opened(1, false);
        const EINTR: i32 = 4;
        const EIO: i32 = 5;
        let input = asked(&file, 2, &[(2, 1), (0, 511), (1, 0)]);
        let expected = [(2, 1), (0, 511), (1, 0)].map(|(page, word)| content(7, page, word));
        let words = Ok(expected.to_vec());
        let both = |pages, faults: &[Fault]| {
            let faulty = || Faulty { pages, faults: RefCell::new(faults.to_vec()) };
            let file = faulty();
            let mut queue = AtOnce::new(&file, 2);
            let read = [naive(&faulty(), &input), read_in_flight(&mut queue, &input)];
            assert!(queue.begun.is_empty() && queue.ended.is_empty(), "none is left in flight");
            read.map(|read| read.map_err(|error| error.kind()))
        };
        for faults in [vec![Ok(512)], vec![Err(EINTR), Ok(8), Ok(4_000), Err(EINTR), Err(EINTR)]] {
            assert_eq!(both(3, &faults), [words.clone(), words.clone()]);
        }
        let io_error = io::Error::from_raw_os_error(EIO).kind();
        assert_eq!(both(3, &[Err(EIO)]), [Err(io_error), Err(io_error)]);
        assert_eq!(
            both(2, &[]),
            [(); 2].map(|()| Err(io::ErrorKind::UnexpectedEof)),
            "a short file"
        );
    }

    #[test]
    fn a_short_file_is_an_error_of_the_kernels_queue_which_can_be_used_again() {
        let file = opened(3, true);
        let mut ring = Ring::new(&file, 4).unwrap();
        let beyond = asked(&file, 4, &[(0, 0), (3, 0), (1, 0), (900, 0), (2, 0)]);
        for _ in 0..3 {
            let kind = optimized(&mut ring, &beyond).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::UnexpectedEof);
            assert_eq!(naive(&file.file, &beyond).unwrap_err().kind(), kind);
            let within = asked(&file, 4, &[(2, 5), (1, 6)]);
            assert_eq!(optimized(&mut ring, &within).unwrap(), naive(&file.file, &within).unwrap());
        }
    }

    #[test]
    fn a_queue_that_goes_waits_for_its_reads() {
        let file = opened(64, true);
        for submitted in [false, true] {
            let mut ring = Ring::new(&file, 8).unwrap();
            (0..8).for_each(|slot| ring.begin(slot, 0, slot as u64 * PAGE as u64));
            if submitted {
                ring.wait().unwrap();
            }
            drop(ring);
        }
        assert_eq!(Arc::strong_count(&file), 1);
    }
}
