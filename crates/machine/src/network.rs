//! The loopback round trip: a byte to another thread and back over TCP, as in lmbench's `lat_tcp` (McVoy and
//! Staelin 1996). `TCP_NODELAY` keeps the kernel from waiting for more to send.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use crate::{Effort, LOOPBACK, Reading, Unit, echo};
use worthit_pair::pair::Unavailable;

pub(crate) fn number(effort: &Effort) -> Reading {
    let trips = round_trips(effort).map_err(|error| {
        Unavailable(format!("cannot connect over loopback: {error}; allow TCP to 127.0.0.1"))
    });
    let about = (LOOPBACK, "loopback round trip", Unit::Nanoseconds);
    Reading::of(about, "a byte over TCP to a thread and back, TCP_NODELAY", trips)
}

fn round_trips(effort: &Effort) -> io::Result<Vec<f64>> {
    let (asking, answering) = connected()?;
    thread::scope(|scope| {
        scope.spawn(move || echo::send_back(&answering, &answering));
        // Moved into this scope, so that the connection, and with it the other thread, ends here.
        let asking = asking;
        effort.try_ns_per_operation(|count| echo::round_trips(&asking, &asking, count))
    })
}

/// Returns both ends of a connection over loopback.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let asking = TcpStream::connect(listener.local_addr()?)?;
    let (answering, _) = listener.accept()?;
    for end in [&asking, &answering] {
        end.set_nodelay(true)?;
    }
    Ok((asking, answering))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_over_loopback_at_once() {
        let (asking, answering) = connected().unwrap();
        assert!(asking.nodelay().unwrap() && answering.nodelay().unwrap());
        assert!(asking.peer_addr().unwrap().ip().is_loopback());
        let echo = thread::spawn(move || echo::send_back(&answering, &answering));
        echo::round_trips(&asking, &asking, 100).unwrap();
        drop(asking);
        assert_eq!(echo.join().unwrap().unwrap(), 100);
    }
}
