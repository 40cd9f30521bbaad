//! Fix: keep pages in the memory of the server.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::PoolError;
use hyper::body::Bytes;
use quick_cache::sync::Cache;
use tokio::time::sleep;

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

/// Looks whether the page is kept, and makes it if it is not, or is older than what its reader has seen. Of several who
/// miss the same page one makes it, and the others wait.
pub async fn after(
    shop: &Shop,
    pages: &Pages,
    category: u64,
    seen: u64,
) -> Result<Page, PoolError> {
    match pages.get_value_or_guard_async(&category).await {
        Ok(page) if page.as_of >= seen => Ok(page),
        Ok(_) => {
            let page = shop.make_page(category, seen).await?;
            keep(pages, category, &page);
            Ok(page)
        }
        Err(missing) => {
            let page = shop.make_page(category, seen).await?;
            // Fails if somebody has put another one there meanwhile.
            let _ = missing.insert(page.clone());
            Ok(page)
        }
    }
}

/// The pages that are kept, by category.
pub type Pages = Cache<u64, Page>;

/// A page of an unknown category takes room too, so that the number is bounded.
pub const MOST_PAGES: usize = 1_000;
/// Each page is made anew within this time.
const RENEWAL: Duration = Duration::from_secs(5);

/// Keeps a page, unless a newer one is there.
fn keep(pages: &Pages, category: u64, page: &Page) {
    if pages.peek(&category).is_none_or(|kept| kept.as_of <= page.as_of) {
        pages.insert(category, page.clone());
    }
}

/// Makes all pages once.
pub async fn fill(shop: &Shop, pages: &Pages, since: u64) -> Result<(), PoolError> {
    for category in 1..=shop.categories() {
        pages.insert(category, shop.renew_page(category, since).await?);
    }
    Ok(())
}

/// Makes one page after another anew, for as long as the runtime lasts.
pub async fn renew(shop: Arc<Shop>, pages: Arc<Pages>) {
    loop {
        for category in 1..=shop.categories() {
            sleep(RENEWAL.div_f64(shop.categories() as f64)).await;
            // If the database does not answer, the next round tries again.
            if let Ok(page) = shop.renew_page(category, 0).await {
                keep(&pages, category, &page);
            }
        }
    }
}
