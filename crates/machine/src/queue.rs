//! Reads of the device with many in flight, by io_uring (Axboe, "Efficient IO with io_uring", 2019).

use std::{fs::File, io, os::fd::AsRawFd};

use io_uring::{IoUring, opcode, types::Fd};

use crate::disk::{PAGE, Page};

/// Reads in flight: what fio's users call a deep queue.
pub(crate) const DEPTH: usize = 32;

/// A ring, and a buffer for each read in flight.
pub(crate) struct Queue {
    ring: IoUring,
    /// Never freed: the kernel may write into a buffer even after an error of the ring.
    pages: &'static mut [Page],
}

impl Queue {
    /// # Errors
    /// If the kernel has no io_uring, or does not permit it.
    pub(crate) fn new() -> io::Result<Queue> {
        let ring = IoUring::new(DEPTH as u32).map_err(|error| {
            let allow = "allow io_uring in the container and in kernel.io_uring_disabled";
            io::Error::new(error.kind(), format!("io_uring is refused ({error}); {allow}"))
        })?;
        let pages: Vec<Page> = (0..DEPTH).map(|_| Page([0; PAGE])).collect();
        Ok(Queue { ring, pages: pages.leak() })
    }

    /// Reads `count` pages of the file at offsets that `offset` returns, as many at once as there are buffers.
    pub(crate) fn read(
        &mut self,
        file: &File,
        count: u64,
        mut offset: impl FnMut() -> u64,
    ) -> io::Result<()> {
        let mut idle: Vec<usize> = (0..self.pages.len()).collect();
        let (mut begun, mut failure) = (0, None);
        loop {
            while begun < count && failure.is_none() {
                let Some(page) = idle.pop() else { break };
                let buffer = self.pages[page].0.as_mut_ptr();
                let read = opcode::Read::new(Fd(file.as_raw_fd()), buffer, PAGE as u32);
                let read = read.offset(offset()).build().user_data(page as u64);
                // SAFETY: the buffer is never freed, and idle, so nothing else reads or writes it until the read has ended.
                // The file is open until then: an error of a read ends this function only when no other is in flight.
                unsafe { self.ring.submission().push(&read) }.expect("an entry for each buffer");
                begun += 1;
            }
            if idle.len() == self.pages.len() {
                return failure.map_or(Ok(()), Err);
            }
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for ended in self.ring.completion() {
                idle.push(ended.user_data() as usize);
                if ended.result() < 0 {
                    failure = Some(io::Error::from_raw_os_error(-ended.result()));
                } else if ended.result() < PAGE as i32 {
                    failure = Some(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }

    /// The buffers.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter()
    }
}
