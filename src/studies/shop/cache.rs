//! Fix: keep pages in the memory of the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool_postgres::PoolError;
use futures_util::{TryStreamExt, stream};
use hyper::body::Bytes;
use quick_cache::sync::Cache;
use tokio::time::{interval, sleep};

use super::application::Shop;
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "cache",
    title: "Keep pages in memory",
    why: "Thousands of customers look at the same fifty pages, and the database made each anew for each of them: stars are \
          averaged over all reviews. A page that is kept costs a look into a table.",
    costs: "Others see stock and stars that are up to ten seconds old. A page carries the position in the \
            database's log that it is as new as, so that who has just bought never sees one from before. Pages are made \
            anew in the background whether somebody looks at them or not, by each server.",
    source: include_str!("cache.rs"),
};

/// A page, and how new it is.
#[derive(Clone, Debug)]
pub struct Page {
    /// `None` if there is no such category.
    pub body: Option<Bytes>,
    /// A position in the primary's log up to which all commits are in the page.
    pub as_of: u64,
}

/// Makes the page.
pub async fn before(shop: &Shop, category: u64, seen: u64) -> Result<Page, PoolError> {
    shop.make_page(category, seen).await
}

/// Looks whether the page is kept, and makes it if it is not, or is too old, or older than what its reader has seen. Of
/// several who miss the same page one makes it, and the others wait.
pub async fn after(
    shop: &Shop,
    pages: &Pages,
    category: u64,
    seen: u64,
) -> Result<Page, PoolError> {
    let second = pages.second();
    match pages.kept.get_value_or_guard_async(&category).await {
        Ok(kept) if second.saturating_sub(kept.made) <= OLDEST_S && kept.page.as_of >= seen => {
            Ok(kept.page)
        }
        Ok(_) => {
            let page = shop.make_page(category, seen).await?;
            pages.keep(category, &page, second);
            Ok(page)
        }
        Err(missing) => {
            let page = shop.make_page(category, seen).await?;
            // Fails if somebody has put another one there meanwhile.
            let _ = missing.insert(Kept { page: page.clone(), made: second });
            Ok(page)
        }
    }
}

/// A page of an unknown category takes room too, so that the number is bounded.
const MOST_PAGES: usize = 1_000;
/// Pages that a server makes at once when it starts.
const FILLS_AT_ONCE: usize = 4;
/// Each page is made anew within this time, if the database answers soon.
const RENEWAL: Duration = Duration::from_secs(5);
/// A page that is older is not shown: at most ten seconds have then passed, as seconds are whole.
const OLDEST_S: u64 = 9;

/// The pages that are kept.
pub struct Pages {
    /// By category.
    kept: Cache<u64, Kept>,
    /// Seconds since the server began.
    seconds: AtomicU64,
}

/// A page, and in which second it was begun.
#[derive(Clone)]
struct Kept {
    page: Page,
    made: u64,
}

impl Pages {
    pub fn new() -> Pages {
        Pages { kept: Cache::new(MOST_PAGES), seconds: AtomicU64::new(0) }
    }

    fn second(&self) -> u64 {
        self.seconds.load(Relaxed)
    }

    /// Lets all pages grow a second older.
    pub fn grow_older(&self) {
        self.seconds.fetch_add(1, Relaxed);
    }

    /// Keeps a page that was begun in a second, unless a newer one is there.
    fn keep(&self, category: u64, page: &Page, made: u64) {
        if self.kept.peek(&category).is_none_or(|kept| kept.page.as_of <= page.as_of) {
            self.kept.insert(category, Kept { page: page.clone(), made });
        }
    }
}

/// Counts seconds, for as long as the runtime lasts. Those that it misses because it is busy are counted later.
pub async fn watch_age(pages: Arc<Pages>) {
    let mut seconds = interval(Duration::from_secs(1));
    // The first one comes at once.
    seconds.tick().await;
    loop {
        seconds.tick().await;
        pages.grow_older();
    }
}

/// Makes all pages once.
pub async fn fill(shop: &Shop, pages: &Pages, since: u64) -> Result<(), PoolError> {
    let all = stream::iter((1..=shop.categories()).map(Ok));
    all.try_for_each_concurrent(FILLS_AT_ONCE, async |category| {
        let second = pages.second();
        pages.keep(category, &shop.renew_page(category, since).await?, second);
        Ok(())
    })
    .await
}

/// Makes one page after another anew, for as long as the runtime lasts.
pub async fn renew(shop: Arc<Shop>, pages: Arc<Pages>) {
    loop {
        for category in 1..=shop.categories() {
            sleep(RENEWAL.div_f64(shop.categories() as f64)).await;
            let second = pages.second();
            // If the database does not answer, the next round tries again.
            if let Ok(page) = shop.renew_page(category, 0).await {
                pages.keep(category, &page, second);
            }
        }
    }
}
