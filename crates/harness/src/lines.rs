//! Append-only files of lines: a crash loses at most the last line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// Number of bytes to read at a time when looking for the end of the last complete line.
const CHUNK: u64 = 64 * 1024;

/// Appends complete lines to a file and creates it if it is missing. They are flushed to the device when this returns.
/// A last line without a newline was cut off by a crash and is removed first.
///
/// # Errors
/// If the file cannot be written. Its complete lines are kept.
pub fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    let length = file.metadata()?.len();
    let end = end_of_complete_lines(&mut file, length)?;
    if end < length {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    file.write_all(text)?;
    file.sync_data()
}

/// Returns whether the file starts with a complete line of up to 64 KiB.
pub fn starts_with_line(path: &Path) -> bool {
    let mut chunk = Vec::new();
    let read = File::open(path).and_then(|file| file.take(CHUNK).read_to_end(&mut chunk));
    read.is_ok() && chunk.contains(&b'\n')
}

/// Returns the offset at which the last complete line of a file ends; 0 if there is none.
fn end_of_complete_lines(file: &mut (impl Read + Seek), length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let mut chunk = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut chunk)?;
        if let Some(newline) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Returns the complete lines in `bytes`, without a last line that lacks its newline.
pub fn complete_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)]
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Cursor};

    use super::*;

    #[test]
    fn lines_are_appended_and_a_cut_off_line_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        append(&path, b"one\n").unwrap();
        append(&path, b"two\nthree\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        for cut in 0..=14 {
            fs::write(&path, &b"one\ntwo\nthree\n"[..cut]).unwrap();
            append(&path, b"four\n").unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let before = &"one\ntwo\nthree\n"[..cut];
            let kept = before.rfind('\n').map_or("", |newline| &before[..=newline]);
            assert_eq!(text, format!("{kept}four\n"), "{cut}");
        }
    }

    #[test]
    fn the_end_is_found_for_any_length_of_the_last_line() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let mut bytes = b"first\n".to_vec();
            bytes.extend(vec![b'x'; length as usize]);
            let all = bytes.len() as u64;
            assert_eq!(
                end_of_complete_lines(&mut Cursor::new(&bytes), all).unwrap(),
                6,
                "{length}"
            );
            assert_eq!(complete_lines(&bytes), b"first\n");
        }
        assert_eq!(end_of_complete_lines(&mut Cursor::new(b"no end"), 6).unwrap(), 0);
    }
}
