//! Passwords of servers that are started.

use rustix::rand::GetRandomFlags;

/// Returns a password that nobody can guess. Whoever knows it can run programs as the server's user.
pub fn choose() -> String {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())
        .expect("sixteen bytes are never too many");
    format!("{:032x}", u128::from_le_bytes(random))
}
