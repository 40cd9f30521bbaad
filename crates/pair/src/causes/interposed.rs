//! The libc calls that a counting binary defines itself.
//!
//! A symbol that the executable defines takes precedence over libc's, both for std and for C code linked into the
//! executable. Each function makes the system call through `libc::syscall` (which sets `errno` as usual) and counts
//! it. Do not use these functions directly: [`counting_binary!`](crate::counting_binary) defines the symbols.

#![expect(
    clippy::missing_safety_doc,
    reason = "each has the contract of the libc call that it is named after"
)]

use libc::{c_int, c_long, c_void, iovec, off_t, size_t, ssize_t};

use super::{Event, count};

fn counted(calls: Event, bytes: Event, result: c_long) -> ssize_t {
    count(calls, 1);
    count(bytes, result.max(0) as u64);
    result as ssize_t
}

fn read(result: c_long) -> ssize_t {
    counted(Event::Read, Event::BytesRead, result)
}

fn write(result: c_long) -> ssize_t {
    counted(Event::Write, Event::BytesWritten, result)
}

/// Defines the counting functions; `interposed_calls!` defines the C symbols that call them.
macro_rules! interpose {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $kind:expr, $number:expr, ($($raw:expr),*);)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "(2)`, counted.")]
            pub unsafe fn $name($($arg: $type),*) -> $result {
                // SAFETY: the caller upholds the contract of the libc call, and the arguments are
                // those of the system call of the same name.
                let result = unsafe { libc::syscall($number, $($raw),*) };
                $kind(result)
            }
        )*
    };
}

fn fsynced(result: c_long) -> c_int {
    count(Event::Fsync, 1);
    result as c_int
}

fn connected(result: c_long) -> c_int {
    count(Event::Connect, 1);
    result as c_int
}

interpose! {
    read_(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t = read, libc::SYS_read, (fd, buffer, count);
    write_(fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t = write, libc::SYS_write, (fd, buffer, count);
    readv_(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t = read, libc::SYS_readv, (fd, pieces, count);
    writev_(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t = write, libc::SYS_writev, (fd, pieces, count);
    pread64_(fd: c_int, buffer: *mut c_void, count: size_t, offset: off_t) -> ssize_t = read, libc::SYS_pread64, (fd, buffer, count, offset);
    pwrite64_(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t = write, libc::SYS_pwrite64, (fd, buffer, count, offset);
    recv_(fd: c_int, buffer: *mut c_void, count: size_t, flags: c_int) -> ssize_t = read, libc::SYS_recvfrom, (fd, buffer, count, flags, std::ptr::null_mut::<c_void>(), std::ptr::null_mut::<c_void>());
    send_(fd: c_int, buffer: *const c_void, count: size_t, flags: c_int) -> ssize_t = write, libc::SYS_sendto, (fd, buffer, count, flags, std::ptr::null::<c_void>(), 0_usize);
    connect_(fd: c_int, address: *const c_void, length: u32) -> c_int = connected, libc::SYS_connect, (fd, address, length);
    fsync_(fd: c_int) -> c_int = fsynced, libc::SYS_fsync, (fd);
    fdatasync_(fd: c_int) -> c_int = fsynced, libc::SYS_fdatasync, (fd);
}

/// Defines the C symbols; see [`counting_binary!`](crate::counting_binary).
///
/// `pread`/`pwrite` (used by C code compiled without large-file macros) are the same calls as
/// `pread64`/`pwrite64` on 64-bit Linux.
#[doc(hidden)]
#[macro_export]
macro_rules! interposed_calls {
    () => {
        $crate::interposed_calls! {
            read = read_(fd: i32, buffer: *mut core::ffi::c_void, count: usize) -> isize;
            write = write_(fd: i32, buffer: *const core::ffi::c_void, count: usize) -> isize;
            readv = readv_(fd: i32, pieces: *const $crate::causes::interposed::Piece, count: i32) -> isize;
            writev = writev_(fd: i32, pieces: *const $crate::causes::interposed::Piece, count: i32) -> isize;
            pread = pread64_(fd: i32, buffer: *mut core::ffi::c_void, count: usize, offset: i64) -> isize;
            pread64 = pread64_(fd: i32, buffer: *mut core::ffi::c_void, count: usize, offset: i64) -> isize;
            pwrite = pwrite64_(fd: i32, buffer: *const core::ffi::c_void, count: usize, offset: i64) -> isize;
            pwrite64 = pwrite64_(fd: i32, buffer: *const core::ffi::c_void, count: usize, offset: i64) -> isize;
            recv = recv_(fd: i32, buffer: *mut core::ffi::c_void, count: usize, flags: i32) -> isize;
            send = send_(fd: i32, buffer: *const core::ffi::c_void, count: usize, flags: i32) -> isize;
            connect = connect_(fd: i32, address: *const core::ffi::c_void, length: u32) -> i32;
            fsync = fsync_(fd: i32) -> i32;
            fdatasync = fdatasync_(fd: i32) -> i32;
        }
    };
    ($($symbol:ident = $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $symbol($($arg: $type),*) -> $result {
                // SAFETY: the caller upholds the contract of the libc call of this name.
                unsafe { $crate::causes::interposed::$name($($arg),*) }
            }
        )*
    };
}

/// `struct iovec`.
pub type Piece = iovec;
