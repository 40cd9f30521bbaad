//! The loopback round trip: a byte to another thread and back over TCP, as in lmbench's `lat_tcp` (McVoy and
//! Staelin 1996). `TCP_NODELAY` keeps the kernel from waiting for more to send.
//!
//! Two threads on one core take turns; on two cores each wakes the other's, which a virtual machine makes expensive. The
//! scheduler may choose either for a pair's client and server, so the quicker one is the least that a round trip takes.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use crate::{Effort, LOOPBACK, Reading, Unit, echo};
use worthit_pair::{cores, pair::Unavailable};

pub(crate) fn number(effort: &Effort) -> Reading {
    let quicker = || -> io::Result<Vec<f64>> {
        let (apart, together) = (round_trips(effort, false)?, round_trips(effort, true)?);
        Ok(if least(&together) < least(&apart) { together } else { apart })
    };
    let trips = quicker().map_err(|error| {
        Unavailable(format!("cannot connect over loopback: {error}; allow TCP to 127.0.0.1"))
    });
    let about = (LOOPBACK, "loopback round trip", Unit::Nanoseconds);
    let how = "a byte over TCP to a thread and back, TCP_NODELAY; both threads on one core, or on two if that is quicker";
    Reading::of(about, how, trips)
}

fn least(readings: &[f64]) -> f64 {
    readings.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Measures with both threads on the first core, if they are to be together and the system allows it.
fn round_trips(effort: &Effort, together: bool) -> io::Result<Vec<f64>> {
    let (asking, answering) = connected()?;
    let place = move || {
        if together {
            let _ = cores::keep_on(cores::at_first()[0]);
        }
    };
    thread::scope(|scope| {
        scope.spawn(move || {
            place();
            echo::send_back(&answering, &answering)
        });
        // The connection, and with it the other thread, ends with this one, which may be placed as it likes.
        let measuring = scope.spawn(move || {
            place();
            effort.try_ns_per_operation(|count| echo::round_trips(&asking, &asking, count))
        });
        measuring.join().expect("it returns its errors")
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
