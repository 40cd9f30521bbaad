//! Files of lines that are only ever appended to: a crash loses at most the last line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::results::ResultError;

/// Bytes that are read at a time to find the end of the last whole line.
const PIECE: u64 = 64 * 1024;

/// Appends whole lines to a file, which is created if it is missing; when this returns they are on the device. A last
/// line without its end was cut off by a crash and is removed first.
///
/// # Errors
/// If the file cannot be written; its whole lines stay.
pub fn append(path: &Path, text: &[u8]) -> Result<(), ResultError> {
    let write = || {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        let length = file.metadata()?.len();
        let whole = end_of_whole_lines(&mut file, length)?;
        if whole < length {
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::Start(whole))?;
        file.write_all(text)?;
        file.sync_data()
    };
    write().map_err(|error| ResultError::Write { path: path.to_owned(), error })
}

/// Whether the file begins with a whole line (of less than 64 KiB).
pub fn has_one(path: &Path) -> bool {
    let mut piece = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PIECE).read_to_end(&mut piece));
    read.is_ok() && piece.contains(&b'\n')
}

/// Where the last whole line of a file ends.
fn end_of_whole_lines(file: &mut (impl Read + Seek), length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        let mut piece = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The whole lines in these bytes; a last line without its end is left out.
pub fn whole(bytes: &[u8]) -> &[u8] {
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
    fn the_end_is_found_however_long_the_last_line_is() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let mut bytes = b"first\n".to_vec();
            bytes.extend(vec![b'x'; length as usize]);
            let all = bytes.len() as u64;
            assert_eq!(end_of_whole_lines(&mut Cursor::new(&bytes), all).unwrap(), 6, "{length}");
            assert_eq!(whole(&bytes), b"first\n");
        }
        assert_eq!(end_of_whole_lines(&mut Cursor::new(b"no end"), 6).unwrap(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = append(Path::new("/no/such/folder/file"), b"x\n").unwrap_err().to_string();
        assert!(error.contains("cannot write /no/such/folder/file"), "{error}");
    }
}
