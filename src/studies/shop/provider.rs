//! The company that sends the shop's mail, simulated: a server on loopback that answers after a stated delay.

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

use crate::fixtures::background_task::BackgroundTask;
use worthit_pair::case::fnv1a;

/// The provider answers after a time between these, which depends on the order, ms.
pub const DELAY_MS: (u64, u64) = (100, 150);

/// A mail about an order. The provider knows it again by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The id of the order.
    pub key: i64,
    /// One line.
    pub text: String,
}

/// Sends a mail and waits until it has been taken.
///
/// # Errors
/// If the provider has not taken it.
pub async fn send(provider: SocketAddr, mail: &Mail) -> io::Result<()> {
    let mut stream = TcpStream::connect(provider).await?;
    stream.write_all(format!("{} {}\n", mail.key, mail.text).as_bytes()).await?;
    match BufReader::new(stream).read_line(&mut String::new()).await? {
        0 => Err(io::Error::other("the mail provider has not taken a mail")),
        _ => Ok(()),
    }
}

/// The mails that were taken, and how often each arrived.
type Taken = BTreeMap<i64, (String, u32)>;

#[derive(Default)]
struct Book {
    taken: Mutex<Taken>,
    changed: Condvar,
}

impl Book {
    fn note(&self, key: i64, text: &str) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.entry(key).or_insert_with(|| (text.to_owned(), 0)).1 += 1;
        drop(taken);
        self.changed.notify_all();
    }

    /// Waits until enough has been taken, and returns what `read` makes of it.
    fn wait<T>(&self, mut lacks: impl FnMut(&Taken) -> bool, read: impl Fn(&Taken) -> T) -> T {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let most = Duration::from_secs(60);
        let waited = self.changed.wait_timeout_while(taken, most, |taken| lacks(taken));
        let (taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "a mail was lost");
        read(&taken)
    }
}

/// The provider, on a thread of its own. It ends when this is dropped.
pub struct Provider {
    address: SocketAddr,
    book: Arc<Book>,
    _server: BackgroundTask,
}

impl Provider {
    /// Starts a provider whose delays are `share` of the stated ones.
    pub fn start(share: f64) -> io::Result<Provider> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let book = Arc::new(Book::default());
        let server = BackgroundTask::start("provider", {
            let book = Arc::clone(&book);
            move || accept(listener, share, book)
        })?;
        Ok(Provider { address, book, _server: server })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until mails about these orders have been taken, and returns their texts, in the order of the keys that are
    /// given.
    ///
    /// # Panics
    /// If they do not arrive within a minute.
    pub fn taken(&self, orders: &[i64]) -> Vec<String> {
        let lacks = |taken: &Taken| !orders.iter().all(|order| taken.contains_key(order));
        self.book.wait(lacks, |taken| orders.iter().map(|order| taken[order].0.clone()).collect())
    }

    /// Waits until mails have arrived `least` times in all; returns how many were taken, and how often they arrived.
    ///
    /// # Panics
    /// If they do not arrive within a minute.
    #[cfg(test)]
    pub fn arrived(&self, least: u32) -> (usize, u32) {
        let arrivals = |taken: &Taken| taken.values().map(|(_, times)| times).sum::<u32>();
        self.book.wait(|taken| arrivals(taken) < least, |taken| (taken.len(), arrivals(taken)))
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

/// Takes the mail that a sender has, unless it is known, and answers after the delay. A sender that dies meanwhile does not
/// learn that it was taken.
async fn take(stream: TcpStream, share: f64, book: &Book) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let Some((key, text)) = line.trim_end_matches('\n').split_once(' ') else { return Ok(()) };
    let key: i64 = key.parse().map_err(io::Error::other)?;
    book.note(key, text);
    let (least, most) = DELAY_MS;
    let delay = least + fnv1a(key.to_le_bytes().into_iter()) % (most - least + 1);
    sleep(Duration::from_millis(delay).mul_f64(share)).await;
    stream.write_all(b"taken\n").await
}
