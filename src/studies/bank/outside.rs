//! Companies on the internet that take notices, simulated: servers on loopback that answer after a stated delay.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::outbox;
use crate::fixtures::background_task::BackgroundTask;
use worthit_pair::study::SimulatedWait;

/// What the transfer waits for, unless a worker does.
pub const WAITS: [SimulatedWait; 2] = [
    SimulatedWait { on: "the card network", ms: 800, only: "", until: &outbox::FIX },
    SimulatedWait { on: "the mail provider", ms: 400, only: "", until: &outbox::FIX },
];

/// Who takes a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receiver {
    Card,
    Mail,
}

impl Receiver {
    pub fn name(self) -> &'static str {
        match self {
            Receiver::Card => "card",
            Receiver::Mail => "mail",
        }
    }
}

/// A message about a transfer. The receiver knows it again by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub to: Receiver,
    /// The id of the transfer.
    pub key: i64,
    /// One line.
    pub text: String,
}

impl Notice {
    pub fn new(receiver: &str, key: i64, text: String) -> Notice {
        let to = if receiver == Receiver::Card.name() { Receiver::Card } else { Receiver::Mail };
        Notice { to, key, text }
    }
}

/// Where the receivers are.
#[derive(Clone, Copy, Debug)]
pub struct Outside(SocketAddr);

impl Outside {
    /// Sends a notice and waits until it has been taken.
    ///
    /// # Panics
    /// If the receiver is gone, which lives as long as the bank.
    pub async fn send(&self, notice: &Notice) {
        let Notice { to, key, text } = notice;
        let sent = async {
            let mut stream = TcpStream::connect(self.0).await?;
            stream.write_all(format!("{} {key} {text}\n", to.name()).as_bytes()).await?;
            BufReader::new(stream).read_line(&mut String::new()).await
        };
        let taken: io::Result<usize> = sent.await;
        assert!(taken.is_ok_and(|bytes| bytes > 0), "a notice was not taken");
    }
}

/// The notices that were taken, and how often each arrived.
type Taken = BTreeMap<(String, i64), (String, u32)>;

#[derive(Default)]
struct Book {
    taken: Mutex<Taken>,
    changed: Condvar,
}

impl Book {
    /// Notes that a notice arrived.
    fn note(&self, key: (String, i64), text: &str) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.entry(key).or_insert_with(|| (text.to_owned(), 0)).1 += 1;
        drop(taken);
        self.changed.notify_all();
    }
}

/// The receivers, on a thread of their own. They end when this is dropped.
pub struct Receivers {
    outside: Outside,
    book: Arc<Book>,
    _servers: BackgroundTask,
}

impl Receivers {
    /// Starts the receivers, whose delays are `share` of those of [`WAITS`].
    pub fn start(share: f64) -> io::Result<Receivers> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let outside = Outside(listener.local_addr()?);
        let book = Arc::new(Book::default());
        let servers = BackgroundTask::start("receivers", {
            let book = Arc::clone(&book);
            move || accept(listener, share, book)
        })?;
        Ok(Receivers { outside, book, _servers: servers })
    }

    /// Where they are.
    pub fn outside(&self) -> Outside {
        self.outside
    }

    /// Waits until these receivers have taken notices about `transfers`, and returns the texts of those, in their order.
    ///
    /// # Panics
    /// If they do not arrive within a minute.
    pub fn taken(&self, transfers: &[i64]) -> Vec<String> {
        let key = |name: &str, id: &i64| (name.to_owned(), *id);
        let keys = transfers.iter().flat_map(|id| [key("card", id), key("mail", id)]);
        let keys: Vec<_> = keys.collect();
        let lacks = |taken: &mut Taken| !keys.iter().all(|key| taken.contains_key(key));
        let taken = self.book.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.book.changed.wait_timeout_while(taken, Duration::from_secs(60), lacks);
        let (taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "a notice was lost");
        keys.iter().map(|key| taken[key].0.clone()).collect()
    }

    /// Waits until notices have arrived `least` times in all; returns how many were taken, and how often they arrived.
    ///
    /// # Panics
    /// If they do not arrive within a minute.
    #[cfg(test)]
    pub fn arrived(&self, least: u32) -> (usize, u32) {
        let arrivals = |taken: &Taken| taken.values().map(|(_, times)| times).sum::<u32>();
        let taken = self.book.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.book.changed.wait_timeout_while(taken, Duration::from_secs(60), |taken| {
                arrivals(taken) < least
            });
        let (taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "a notice was lost");
        (taken.len(), arrivals(&taken))
    }
}

async fn accept(listener: std::net::TcpListener, share: f64, book: Arc<Book>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let book = Arc::clone(&book);
        // A sender that died has not been answered, and sends again.
        tokio::spawn(async move { take(stream, share, &book).await });
    }
}

/// Takes the notice that a sender has, unless it is known, and answers after the delay. A sender that dies meanwhile does not
/// learn that it was taken.
async fn take(stream: TcpStream, share: f64, book: &Book) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.trim_end_matches('\n').splitn(3, ' ');
    let (Some(name), Some(key), Some(text)) = (words.next(), words.next(), words.next()) else {
        return Ok(());
    };
    let wait = &WAITS[usize::from(name == Receiver::Mail.name())];
    let key = (name.to_owned(), key.parse().map_err(io::Error::other)?);
    book.note(key, text);
    sleep(Duration::from_millis(wait.ms).mul_f64(share)).await;
    stream.write_all(b"taken\n").await
}
