//! Files: the page cache, and the device that holds the data folder.
//!
//! *Device reads* bypass the page cache (`O_DIRECT`). They are random reads of a flushed file, one at a time, as
//! fio's `randread` at depth 1 (Axboe). The device itself, or the host of a virtual machine, may cache so small a
//! file; the number includes that. *Queued device reads* are the same with 32 in flight, as fio's at depth 32: the time is
//! that of all, divided by how many they are. A *flush* is an append and `fdatasync`, which is what a new log does to commit. An
//! *overwrite* leaves the length of the file as it is, as a write-ahead log that begins again: there is no new length
//! to flush. Of both also the 99th percentile is a number: now and then a flush waits for others of the device.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    DEVICE_READ, Effort, FSYNC, FSYNC_P99, OVERWRITING_FSYNC, OVERWRITING_FSYNC_P99,
    PAGE_CACHE_READ, PAGE_CACHE_WRITE, QUEUED_DEVICE_READ, Reading, Unit,
    queue::{self, Queue},
    readings::{TIMED_ALONE, slowest_in_a_hundred},
};
use worthit_pair::{format, pair::Unavailable, paths};

/// Bytes of one read or write of the page cache: a common buffer size.
const BUFFER: usize = 64 * 1024;
/// Size of the file that is read and written through the page cache, bytes.
const CACHED_BYTES: u64 = 4 << 20;
/// Bytes of one direct read and one append.
pub(crate) const PAGE: usize = 4_096;

/// A buffer with the alignment that direct reads need.
#[repr(align(4096))]
pub(crate) struct Page(pub(crate) [u8; PAGE]);

pub(crate) fn numbers(effort: &Effort) -> [Reading; 8] {
    let size = format::bytes(CACHED_BYTES as f64);
    let direct = |how: &str| {
        let size = format::bytes(effort.file_bytes as f64);
        format!("O_DIRECT, random reads of 4 KiB in {size}, {how}, {}", device())
    };
    let (read, written) = (
        in_scratch(paths::scratch(), |folder| cached_reads(effort, folder)),
        in_scratch(paths::scratch(), |folder| cached_writes(effort, folder)),
    );
    let on_device = |readings: &dyn Fn(&Path) -> io::Result<Vec<f64>>| {
        in_scratch(paths::durable_scratch(), readings)
    };
    let one_by_one = on_device(&|folder| direct_reads(effort, folder));
    let queued = on_device(&|folder| queued_reads(effort, folder));
    let flushed = on_device(&|folder| timed_together(effort, flushes(folder)?));
    let flushed_p99 = on_device(&|folder| slowest_in_a_hundred(flushes(folder)?));
    let overwritten = on_device(&|folder| timed_together(effort, overwrites(folder)?));
    let overwritten_p99 = on_device(&|folder| slowest_in_a_hundred(overwrites(folder)?));
    let (ns, rate) = (Unit::Nanoseconds, Unit::BytesPerNanosecond);
    [
        Reading::of(
            (PAGE_CACHE_READ, "page cache read", rate),
            format!("pread of 64 KiB at a time, file of {size}"),
            read,
        ),
        Reading::of(
            (PAGE_CACHE_WRITE, "page cache write", rate),
            format!("pwrite of 64 KiB at a time, file of {size}, emptied first"),
            written,
        ),
        Reading::of((DEVICE_READ, "device read", ns), direct("one at a time"), one_by_one),
        Reading::of(
            (QUEUED_DEVICE_READ, "device read, queued", ns),
            direct(&format!("io_uring, {} in flight", queue::DEPTH)),
            queued,
        ),
        Reading::of(
            (FSYNC, "durable flush", ns),
            format!("append of 4 KiB and fdatasync, {}", device()),
            flushed,
        ),
        Reading::of(
            (FSYNC_P99, "durable flush, 99th percentile", ns),
            format!("the same, {TIMED_ALONE} of them timed one by one"),
            flushed_p99,
        ),
        Reading::of(
            (OVERWRITING_FSYNC, "durable overwrite", ns),
            format!("overwrite of the next 4 KiB of a flushed file and fdatasync, {}", device()),
            overwritten,
        ),
        Reading::of(
            (OVERWRITING_FSYNC_P99, "durable overwrite, 99th percentile", ns),
            format!("the same, {TIMED_ALONE} of them timed one by one"),
            overwritten_p99,
        ),
    ]
}

/// Returns the type of the file system that holds the data folder: `ext4`.
fn device() -> String {
    let data = paths::data();
    let existing = data.ancestors().find(|folder| folder.exists());
    let kind = existing.and_then(|folder| paths::filesystem(folder).ok());
    kind.unwrap_or_else(|| "unknown file system".to_owned())
}

/// Takes readings in a scratch folder.
fn in_scratch(
    folder: Result<tempfile::TempDir, Unavailable>,
    readings: impl FnOnce(&Path) -> io::Result<Vec<f64>>,
) -> Result<Vec<f64>, Unavailable> {
    let folder = folder?;
    readings(folder.path()).map_err(|error| {
        let what_to_do = "set WORTHIT_DATA to a folder on another disk";
        Unavailable(format!("{error}; {what_to_do}"))
    })
}

/// Returns rates of reading from the page cache, bytes per ns.
fn cached_reads(effort: &Effort, folder: &Path) -> io::Result<Vec<f64>> {
    let file = written(&folder.join("cached"), CACHED_BYTES)?;
    let mut buffer = vec![0; BUFFER];
    read_whole(&file, &mut buffer)?;
    let passes = effort.try_ns_per_operation(|count| {
        (0..count).try_for_each(|_| read_whole(&file, &mut buffer).map(drop))
    })?;
    Ok(passes.into_iter().map(|ns| CACHED_BYTES as f64 / ns).collect())
}

/// Returns rates of writing to the page cache, bytes per ns.
fn cached_writes(effort: &Effort, folder: &Path) -> io::Result<Vec<f64>> {
    let file = File::create(folder.join("written"))?;
    let passes = effort.try_ns_per_operation(|count| {
        (0..count).try_for_each(|_| {
            file.set_len(0)?;
            write_whole(&file, CACHED_BYTES)
        })
    })?;
    Ok(passes.into_iter().map(|ns| CACHED_BYTES as f64 / ns).collect())
}

/// Returns times of a random read of 4 KiB from the device, ns.
fn direct_reads(effort: &Effort, folder: &Path) -> io::Result<Vec<f64>> {
    let (direct, mut offset) = for_direct_reads(effort, folder)?;
    let mut page = Page([0; PAGE]);
    effort.try_ns_per_operation(|count| {
        (0..count).try_for_each(|_| direct.read_exact_at(&mut page.0, offset()))
    })
}

/// Returns times of such a read with many in flight, ns.
fn queued_reads(effort: &Effort, folder: &Path) -> io::Result<Vec<f64>> {
    let (direct, mut offset) = for_direct_reads(effort, folder)?;
    let mut queue = Queue::new()?;
    effort.try_ns_per_operation(|count| queue.read(&direct, count, &mut offset))
}

/// Makes a file that is read past the page cache. Returns it with a function that draws the offset of a page of it.
fn for_direct_reads(
    effort: &Effort,
    folder: &Path,
) -> io::Result<(File, impl FnMut() -> u64 + use<>)> {
    let path = folder.join("direct");
    written(&path, effort.file_bytes)?;
    let refused = |error: io::Error| {
        io::Error::new(error.kind(), format!("the file system refuses O_DIRECT ({error})"))
    };
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let direct = direct.map_err(refused)?;
    direct.read_exact_at(&mut Page([0; PAGE]).0, 0).map_err(refused)?;
    let pages = effort.file_bytes / PAGE as u64;
    let mut rng = ChaCha8Rng::seed_from_u64(pages);
    Ok((direct, move || rng.random_range(0..pages) * PAGE as u64))
}

/// Returns the times of an operation in readings of many, ns.
fn timed_together(
    effort: &Effort,
    mut operation: impl FnMut() -> io::Result<()>,
) -> io::Result<Vec<f64>> {
    effort.try_ns_per_operation(|count| (0..count).try_for_each(|_| operation()))
}

/// Returns an append of 4 KiB and its flush.
fn flushes(folder: &Path) -> io::Result<impl FnMut() -> io::Result<()>> {
    let mut file = File::create(folder.join("flushed"))?;
    Ok(move || append_and_flush(&mut file))
}

/// Returns an overwrite of 4 KiB and its flush.
fn overwrites(folder: &Path) -> io::Result<impl FnMut() -> io::Result<()>> {
    const PAGES: u64 = 256;
    let file = written(&folder.join("overwritten"), PAGES * PAGE as u64)?;
    let mut next = 0;
    Ok(move || {
        next = (next + 1) % PAGES;
        file.write_all_at(&[7; PAGE], next * PAGE as u64)?;
        file.sync_data()
    })
}

fn append_and_flush(file: &mut File) -> io::Result<()> {
    file.write_all(&[7; PAGE])?;
    file.sync_data()
}

/// Makes a file of `size` bytes and flushes it.
fn written(path: &Path, size: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    write_whole(&file, size)?;
    file.sync_all()?;
    Ok(file)
}

/// Writes `size` bytes from the start, a buffer at a time.
fn write_whole(file: &File, size: u64) -> io::Result<()> {
    let buffer = [7; BUFFER];
    let mut offset = 0;
    while offset < size {
        let length = (size - offset).min(BUFFER as u64);
        file.write_all_at(&buffer[..length as usize], offset)?;
        offset += length;
    }
    Ok(())
}

/// Reads the file to its end, a buffer at a time. Returns the number of bytes read.
fn read_whole(file: &File, buffer: &mut [u8]) -> io::Result<u64> {
    let mut offset = 0;
    loop {
        match file.read_at(buffer, offset)? {
            0 => return Ok(offset),
            length => offset += length as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_length_they_claim_and_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 1, 4_096, 200_000] {
            let path = folder.path().join(size.to_string());
            let file = written(&path, size).unwrap();
            assert_eq!(file.metadata().unwrap().len(), size);
            let mut buffer = vec![0; BUFFER];
            assert_eq!(read_whole(&file, &mut buffer).unwrap(), size);
            assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 7));
        }
        let mut file = File::create(folder.path().join("flushed")).unwrap();
        (0..3).for_each(|_| append_and_flush(&mut file).unwrap());
        assert_eq!(file.metadata().unwrap().len(), 3 * PAGE as u64);
        assert_eq!(align_of::<Page>(), PAGE);
    }

    #[test]
    fn queued_reads_bring_every_page_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = written(&folder.path().join("pages"), 3 * PAGE as u64).unwrap();
        let mut queue = match Queue::new() {
            Ok(queue) => queue,
            Err(error) => return assert!(error.to_string().contains("io_uring"), "{error}"),
        };
        for count in [0, 1, 31, 32, 33, 200] {
            let mut asked = 0;
            let offset = || {
                asked += 1;
                asked % 3 * PAGE as u64
            };
            queue.read(&file, count, offset).unwrap();
            assert_eq!(asked, count);
            let read = queue.pages().filter(|page| page.0 == [7; PAGE]).count() as u64;
            assert!(read >= count.min(queue::DEPTH as u64), "{read} pages of {count}");
        }
        let beyond = queue.read(&file, 5, || 3 * PAGE as u64).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_unusable_folder_is_reported_with_what_to_do() {
        let reason = |folder, readings: fn(&Path) -> io::Result<Vec<f64>>| {
            in_scratch(folder, readings).unwrap_err().0
        };
        let gone = Err(Unavailable("no data folder".to_owned()));
        assert_eq!(reason(gone, |_| Ok(vec![])), "no data folder");
        let full = |_: &Path| Err(io::Error::other("the disk is full"));
        let reason = reason(paths::scratch(), full);
        assert!(reason.starts_with("the disk is full; set WORTHIT_DATA"), "{reason}");
    }
}
