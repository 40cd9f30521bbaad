//! A device of a stated bandwidth, simulated: a reader that hands bytes on no sooner than such a device would have.

use std::{
    hint,
    io::{self, Read},
    time::{Duration, Instant},
};

/// Reads from `R`, which is faster. The device begins with the first read and goes on from then: the kernel reads ahead
/// while a program works on what it has. It has no latency. Whoever waits for it spins, so that waits end to the point.
#[derive(Debug)]
pub struct SlowDevice<R> {
    reader: R,
    megabytes_per_second: u64,
    began: Option<Instant>,
    bytes: u64,
}

impl<R: Read> SlowDevice<R> {
    /// Makes a device that delivers what `reader` has.
    ///
    /// # Panics
    /// If the bandwidth is zero.
    pub fn new(reader: R, megabytes_per_second: u64) -> SlowDevice<R> {
        assert!(megabytes_per_second > 0, "a device delivers something");
        SlowDevice { reader, megabytes_per_second, began: None, bytes: 0 }
    }
}

impl<R: Read> Read for SlowDevice<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let length = self.reader.read(buffer)?;
        self.bytes += length as u64;
        let due = began + time_for(self.bytes, self.megabytes_per_second);
        while Instant::now() < due {
            hint::spin_loop();
        }
        Ok(length)
    }
}

/// Returns the time that a device takes for some bytes.
pub fn time_for(bytes: u64, megabytes_per_second: u64) -> Duration {
    Duration::from_nanos(bytes * 1_000 / megabytes_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_no_less_than_the_bandwidth_says() {
        assert_eq!(time_for(5_000_000, 5), Duration::from_secs(1));
        let bytes: Vec<u8> = (0..30_000).map(|n| (n % 251) as u8).collect();
        // A byte takes a microsecond, in one piece or in many.
        for piece in [1_000, 30_000] {
            let (start, mut device) = (Instant::now(), SlowDevice::new(&bytes[..], 1));
            let (mut buffer, mut read) = (vec![0; piece], Vec::new());
            loop {
                match device.read(&mut buffer).unwrap() {
                    0 => break,
                    length => read.extend_from_slice(&buffer[..length]),
                }
            }
            assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
            assert_eq!(read, bytes);
        }
    }
}
