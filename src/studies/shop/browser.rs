//! A customer's browser: one connection to the shop, which is kept, and what the shop has told it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::wire::{self, Answer, Ask, Head, Session};

/// A customer gives up after this long without a connection, and after this long without an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The kind of failure of a customer who has no connection in time.
pub const NO_CONNECTION: &str = "no connection in 2 s";

/// Where the shop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    pub shop: SocketAddr,
    /// Where the name of the pictures leads.
    pub images: SocketAddr,
    /// The edition of the pictures.
    pub edition: u64,
    /// The address from which customers connect: an address has some 28,000 ports for connections to one place.
    pub from: Ipv4Addr,
}

/// Why there is no answer: the kind of failure, as results name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer(pub &'static str);

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> NoAnswer {
        NoAnswer(match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused",
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no free port",
            _ => "connection lost",
        })
    }
}

/// Connections to the edge that customers of one process share. Each opens one for a page and closes it soon; who has
/// closed his leaves it to the next.
pub type Idle = Arc<Mutex<Vec<TcpStream>>>;

/// A customer's browser.
pub struct Browser {
    places: Places,
    session: Session,
    connection: Option<TcpStream>,
    idle: Idle,
}

impl Browser {
    pub fn new(places: Places, session: Session, idle: &Idle) -> Browser {
        Browser { places, session, connection: None, idle: Arc::clone(idle) }
    }

    /// Begins a session anew, over the same connection.
    pub fn begin(&mut self, session: Session) {
        self.session = session;
    }

    /// Opens the connection to the shop.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn connect(&mut self) -> Result<(), NoAnswer> {
        if self.connection.is_none() {
            self.connection = Some(connect(self.places.from, self.places.shop).await?);
        }
        Ok(())
    }

    /// Closes the connection to the shop, which has a thread for each at first.
    pub fn leave(&mut self) {
        self.connection = None;
    }

    /// Asks, and returns the answer. After a failure the connection is closed; the next request opens another one.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub async fn ask(&mut self, ask: Ask) -> Result<Answer, NoAnswer> {
        let Places { shop, images, from, .. } = self.places;
        if matches!(ask, Ask::Image { .. }) && images != shop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut stream = match idle {
                Some(stream) => stream,
                None => connect(from, images).await?,
            };
            let answer = exchange(&mut stream, ask, self.session).await?;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            return Ok(answer);
        }
        self.connect().await?;
        // It is not there again unless the answer was read to its end.
        let mut stream = self.connection.take().ok_or(NoAnswer("connection lost"))?;
        let answer = exchange(&mut stream, ask, self.session).await?;
        self.connection = Some(stream);
        self.session.seen = answer.seen.unwrap_or(self.session.seen);
        Ok(answer)
    }
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream, NoAnswer> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::V4(from), 0).into())?;
    let connected = timeout(PATIENCE, socket.connect(to)).await;
    let stream = connected.map_err(|_| NoAnswer(NO_CONNECTION))??;
    stream.set_nodelay(true)?;
    // Closed at once: an address that waits for late packets could not be used for a minute.
    stream.set_zero_linger()?;
    Ok(stream)
}

async fn exchange(stream: &mut TcpStream, ask: Ask, session: Session) -> Result<Answer, NoAnswer> {
    let exchanged = timeout(PATIENCE, async {
        stream.write_all(wire::request(ask, session).as_bytes()).await?;
        receive(stream).await
    });
    Ok(exchanged.await.map_err(|_| NoAnswer("no answer in 2 s"))??)
}

async fn receive(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut received = Vec::with_capacity(4_096);
    let head = loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = Head::parse(&received) {
            break head;
        }
    };
    let whole = head.length + head.body();
    while received.len() < whole {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.first.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other("it is no answer"))?,
        body: Bytes::from(received).slice(head.length..whole),
        seen: head.header("set-cookie").map(|cookie| Session::parse(cookie).seen),
        is_lasting: head.header("cache-control").is_some_and(|control| control == wire::LASTING),
    })
}
