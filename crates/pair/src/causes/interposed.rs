//! The libc calls that a counting binary defines itself.
//!
//! A symbol that the executable defines takes precedence over libc's, both for std and for C code linked into the
//! executable. Each function makes the system call through `libc::syscall` (which sets `errno` as usual) and counts
//! it. Do not use these functions directly: [`counting_binary!`](crate::counting_binary) defines the symbols.

#![expect(
    clippy::missing_safety_doc,
    reason = "each has the contract of the libc call that it is named after"
)]

use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, off_t, size_t, ssize_t};

use super::{Event, count};

fn counted(calls: Event, bytes: Event, result: c_long) -> ssize_t {
    count(Event::SystemCall, 1);
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

fn called(event: Event, result: c_long) -> c_int {
    count(Event::SystemCall, 1);
    count(event, 1);
    result as c_int
}

fn fsynced(result: c_long) -> c_int {
    called(Event::Fsync, result)
}

fn connected(result: c_long) -> c_int {
    called(Event::Connect, result)
}

fn opened(result: c_long) -> c_int {
    called(Event::Open, result)
}

fn sought(result: c_long) -> off_t {
    count(Event::SystemCall, 1);
    count(Event::Seek, 1);
    result
}

/// A call of which only that it was made counts.
fn other(result: c_long) -> ssize_t {
    count(Event::SystemCall, 1);
    result as ssize_t
}

fn other_status(result: c_long) -> c_int {
    other(result) as c_int
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
    openat_(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int = opened, libc::SYS_openat, (folder, path, flags, mode);
    lseek_(fd: c_int, offset: off_t, whence: c_int) -> off_t = sought, libc::SYS_lseek, (fd, offset, whence);
    close_(fd: c_int) -> c_int = other_status, libc::SYS_close, (fd);
    shutdown_(fd: c_int, how: c_int) -> c_int = other_status, libc::SYS_shutdown, (fd, how);
    accept4_(fd: c_int, address: *mut c_void, length: *mut u32, flags: c_int) -> c_int = other_status, libc::SYS_accept4, (fd, address, length, flags);
    sendmsg_(fd: c_int, message: *const c_void, flags: c_int) -> ssize_t = other, libc::SYS_sendmsg, (fd, message, flags);
    recvmsg_(fd: c_int, message: *mut c_void, flags: c_int) -> ssize_t = other, libc::SYS_recvmsg, (fd, message, flags);
    sendfile_(to: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t = other, libc::SYS_sendfile, (to, from, offset, count);
    splice_(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, count: size_t, flags: c_uint) -> ssize_t = other, libc::SYS_splice, (from, from_offset, to, to_offset, count, flags);
    copy_file_range_(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, count: size_t, flags: c_uint) -> ssize_t = other, libc::SYS_copy_file_range, (from, from_offset, to, to_offset, count, flags);
}

/// Defines the C symbols; see [`counting_binary!`](crate::counting_binary).
///
/// `pread`/`pwrite` and others without a number (used by C code compiled without large-file macros) are the same calls as
/// `pread64`/`pwrite64` on 64-bit Linux. `open` and `openat` are variadic in C: the mode that a caller leaves out is then
/// whatever its register holds, which the kernel ignores as libc does.
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
            openat = openat_(folder: i32, path: *const core::ffi::c_char, flags: i32, mode: u32) -> i32;
            openat64 = openat_(folder: i32, path: *const core::ffi::c_char, flags: i32, mode: u32) -> i32;
            lseek = lseek_(fd: i32, offset: i64, whence: i32) -> i64;
            lseek64 = lseek_(fd: i32, offset: i64, whence: i32) -> i64;
            close = close_(fd: i32) -> i32;
            shutdown = shutdown_(fd: i32, how: i32) -> i32;
            accept4 = accept4_(fd: i32, address: *mut core::ffi::c_void, length: *mut u32, flags: i32) -> i32;
            sendmsg = sendmsg_(fd: i32, message: *const core::ffi::c_void, flags: i32) -> isize;
            recvmsg = recvmsg_(fd: i32, message: *mut core::ffi::c_void, flags: i32) -> isize;
            sendfile = sendfile_(to: i32, from: i32, offset: *mut i64, count: usize) -> isize;
            sendfile64 = sendfile_(to: i32, from: i32, offset: *mut i64, count: usize) -> isize;
            splice = splice_(from: i32, from_offset: *mut i64, to: i32, to_offset: *mut i64, count: usize, flags: u32) -> isize;
            copy_file_range = copy_file_range_(from: i32, from_offset: *mut i64, to: i32, to_offset: *mut i64, count: usize, flags: u32) -> isize;
        }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn open(path: *const core::ffi::c_char, flags: i32, mode: u32) -> i32 {
            // SAFETY: the caller upholds the contract of the libc call of this name.
            unsafe { $crate::causes::interposed::openat_($crate::causes::interposed::WORKING_FOLDER, path, flags, mode) }
        }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn open64(path: *const core::ffi::c_char, flags: i32, mode: u32) -> i32 {
            // SAFETY: the caller upholds the contract of the libc call of this name.
            unsafe { $crate::causes::interposed::openat_($crate::causes::interposed::WORKING_FOLDER, path, flags, mode) }
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

/// The folder that relative paths of `open` start from.
pub const WORKING_FOLDER: c_int = libc::AT_FDCWD;
