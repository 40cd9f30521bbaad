//! The round trip of a byte between two threads, with which pipes and sockets are measured.

use std::io::{self, ErrorKind, Read, Write};

/// Sends each byte back until the other end is closed. Returns the number of bytes.
pub(crate) fn send_back(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let mut byte = [0];
    let mut count = 0;
    loop {
        match from.read_exact(&mut byte) {
            Ok(()) => to.write_all(&byte)?,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(count),
            Err(error) => return Err(error),
        }
        count += 1;
    }
}

/// Sends a byte and waits for it to come back, `count` times.
pub(crate) fn round_trips(mut to: impl Write, mut from: impl Read, count: u64) -> io::Result<()> {
    let mut back = [0];
    for nth in 0..count {
        let byte = [nth as u8];
        to.write_all(&byte)?;
        from.read_exact(&mut back)?;
        if back != byte {
            return Err(io::Error::other("a different byte came back"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let (there_end, there) = io::pipe().unwrap();
        let (back_end, back) = io::pipe().unwrap();
        let echo = thread::spawn(move || send_back(there_end, back));
        round_trips(&there, &back_end, 300).unwrap();
        drop(there);
        assert_eq!(echo.join().unwrap().unwrap(), 300);
    }

    #[test]
    fn a_different_byte_or_none_is_an_error() {
        assert!(round_trips(io::sink(), &[7_u8][..], 1).is_err());
        assert!(round_trips(io::sink(), io::empty(), 1).is_err());
    }
}
