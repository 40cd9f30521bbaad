//! Serve the same pages again and again: keep the rendered bytes with their entity tag, until what they show changes.

use std::{collections::HashSet, fmt::Write, hash::BuildHasher, num::NonZeroUsize};

use bytes::Bytes;
use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{Rng, RngExt};

use crate::fixtures::recency::{Keys, Recency, distinct, shuffled_hits};
use worthit_pair::{causes::Event, prelude::*};

/// Requests in one iteration; a multiple of 100, so that each hit rate is exact.
const REQUESTS: u64 = 1_000;
/// Changes of a price in one iteration.
const CHANGES: u64 = REQUESTS / 100;
/// Pages that the cache holds: at every hit rate, fewer than are asked for.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// Products on a page.
const ON_A_PAGE: usize = 24;

pub const PAIR: Pair = Pair {
    title: "Keep rendered responses, and forget them on change",
    review: Review {
        smell: "A handler that renders the page for each request, and computes its `ETag` from the bytes only to find \
                that the client has them.",
        remedy: "A bounded `LruCache` of the page's `Bytes` with their tag, and `get_or_insert` in the handler. A change \
                 of what a page shows drops it with `cache.pop`. A clone of `Bytes` copies nothing.",
        keep_naive_when: "Pages seldom repeat before they are evicted or change: each user has their own, or the price \
                          of something on them changes all the time. Or nobody can say which pages a change touches.",
        costs: "The memory of a full cache, which large pages make large: bound the bytes where sizes differ. Every \
                present and future change must name the pages that show it, and the compiler checks none of it; a page \
                that nobody drops is stale. Across threads it also takes a lock, and a page that was rendered before a \
                change can be cached after it. A page for one user must not be served to another: whatever decides its \
                content belongs in the key.",
        lint: Lint::None,
    },
    naive: Side { summary: "render for every request", growth: Growth::Constant },
    optimized: Side {
        summary: "keep bytes and ETag in an LRU cache",
        growth: Growth::Other("falls with the share of misses"),
    },
    input: "1,000 requests for pages of 24 products, of which exactly the stated percentage hits an LRU cache of 32 \
            pages; hits favour recent pages, and a miss is for a new page, an evicted one or one that changed. Three in \
            ten requests revalidate: they carry the tag that the page had at first. Ten times, the price of a product on \
            a cached page changes. A function that hashes each response stands for the socket. Streams alternate, and \
            each meets an empty cache.",
    axis: Axis {
        name: "hit rate",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 10, 50, 90, 95], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 90 },
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|_| REQUESTS),
        optimized: Count::Exactly(|case| REQUESTS * (100 - case.point) / 100),
    }],
    explanation: Explanation {
        why: "Each hit saves a rendering, and the pass over the page for its tag. What is left is a lookup and the \
              sending, which both sides do, so the gain stays below the ratio of renderings. A request that revalidates \
              sends nothing on either side; without the cache, the server has to render the page even so. Without hits, \
              a lookup, an insertion and an eviction are paid for nothing; they are small beside a rendering. So the \
              break-even hit rate is low, and lower the more a page costs.",
        share_of_cause: ShareOfCause::Within(0.4, 1.2),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "no cached page changes",
            reason: "a cache that is never told of a change would give the same answers",
            check: |inputs: &[Input]| {
                ensure(inputs.iter().any(|input| would_be_stale(&input.ops)), || {
                    "no page is asked for between its change and its eviction".to_owned()
                })
            },
            sprung: || vec![stream_of([Op::Get(0, None), Op::SetPrice(0, 5), Op::Get(1, None)])],
        },
        &Trap {
            name: "the cache holds every page",
            reason: "none would be evicted, and what a bound costs would not show",
            check: |inputs: &[Input]| {
                let fewest = inputs.iter().map(|input| distinct(pages(&input.ops))).min();
                ensure(fewest.unwrap_or(0) > CAPACITY.get(), || format!("{fewest:?} pages"))
            },
            sprung: || vec![stream_of((0..1_000).map(|i| Op::Get(i % 30, None)))],
        },
    ],
    limit: Limit::None(
        "the renderings that are left take most of the time, and no machine number bounds a rendering",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 16 },
    prepare,
    ..Pair::DEFAULTS
};

/// An entity tag: the same for the same bytes.
type ETag = u64;

/// A step of a stream.
#[derive(Debug)]
enum Op {
    /// Asks for a page, unless it still has this tag.
    Get(usize, Option<ETag>),
    /// Sets the price of a product, in cents.
    SetPrice(usize, u32),
}

struct Input {
    ops: Vec<Op>,
    names: Vec<String>,
    /// The price of each product when the stream begins, in cents.
    prices: Vec<u32>,
}

#[derive(Clone)]
struct Response {
    etag: ETag,
    body: Bytes,
}

/// Stands for the socket that responses are sent to.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    responses: u64,
    bytes: usize,
    /// Clients that have the page already.
    not_modified: u64,
    /// Of all responses, in order.
    fingerprint: u64,
}

impl Found for Sent {
    fn found(&self) -> u64 {
        self.responses
    }
}

impl Sent {
    fn send(&mut self, response: &Response, if_none_match: Option<ETag>) {
        self.responses += 1;
        let mut part = response.etag;
        if if_none_match == Some(response.etag) {
            self.not_modified += 1;
        } else {
            self.bytes += response.body.len();
            part ^= FixedState::with_seed(1).hash_one(&response.body[..]);
        }
        self.fingerprint = self.fingerprint.rotate_left(5) ^ part;
    }
}

type Cache = LruCache<usize, Response, FixedState>;

/// Answers the requests of a stream.
fn naive(shop: &mut Shop<'_>, ops: &[Op]) -> Sent {
    let mut sent = Sent::default();
    for op in ops {
        match *op {
            Op::Get(page, if_none_match) => sent.send(&shop.render(page), if_none_match),
            Op::SetPrice(product, cents) => shop.prices[product] = cents,
        }
    }
    sent
}

/// Answers the requests of a stream.
fn optimized(shop: &mut Shop<'_>, cache: &mut Cache, ops: &[Op]) -> Sent {
    let mut sent = Sent::default();
    for op in ops {
        match *op {
            Op::Get(page, if_none_match) => {
                sent.send(cache.get_or_insert(page, || shop.render(page)), if_none_match);
            }
            Op::SetPrice(product, cents) => {
                shop.prices[product] = cents;
                cache.pop(&(product / ON_A_PAGE));
            }
        }
    }
    sent
}

/// What the pages show.
struct Shop<'a> {
    names: &'a [String],
    prices: Vec<u32>,
}

impl Shop<'_> {
    fn new(input: &Input) -> Shop<'_> {
        Shop { names: &input.names, prices: input.prices.clone() }
    }

    /// Renders a page, with its tag.
    fn render(&self, page: usize) -> Response {
        causes::count(Event::Computation, 1);
        let mut html = String::with_capacity(4_096);
        let _ = write!(html, "<!doctype html><title>Page {page}</title><ul>");
        let first = page * ON_A_PAGE;
        for product in first..self.names.len().min(first + ON_A_PAGE) {
            let _ = write!(html, "<li><a href=\"/products/{product}\">");
            escape(&self.names[product], &mut html);
            let price = self.prices[product];
            let _ = write!(html, "</a> <b>{}.{:02} €</b></li>", price / 100, price % 100);
        }
        html.push_str("</ul>");
        Response { etag: FixedState::default().hash_one(&html), body: Bytes::from(html) }
    }
}

/// Appends a text to a page, so that it shows as it is.
fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            letter => html.push(letter),
        }
    }
}

/// A name as sellers write it.
fn name(case: &Case, rng: &mut impl Rng) -> String {
    const WORDS: [&str; 12] = [
        "Lamp ",
        "small ",
        "Garden table ",
        "R&D's ",
        "for ",
        "two ",
        "oak ",
        "12\" ",
        "<large> ",
        "Söhne ",
        "with drawer, ",
        "blue ",
    ];
    const HOSTILE: [&str; 6] = ["&amp;", "\"><b>", "", "e\u{301}🙂&", "\u{0}", "&&&&&&&&&&&&&&&&"];
    let words: &[&str] = if case.shape == Shape::Adversarial { &HOSTILE } else { &WORDS };
    (0..rng.random_range(2..7)).map(|_| words[rng.random_range(0..words.len())]).collect()
}

fn input(case: &Case) -> Input {
    // In a multiple of 100, every point of the axis is a whole number of requests.
    let count = case.items(REQUESTS).max(1).next_multiple_of(100);
    let mut rng = case.rng("stream");
    let mut keys = Keys::new(CAPACITY.get(), if case.shape == Shape::Random { 0 } else { 4 });
    let mut ops = Vec::new();
    let hits = shuffled_hits(count, count * case.point as usize / 100, &mut rng);
    for (i, hit) in hits.into_iter().enumerate() {
        ops.push(Op::Get(keys.next(hit, &mut rng), None));
        if (i + 50) % (REQUESTS / CHANGES) as usize == 0
            && let Some(page) = keys.change_one(&mut rng)
        {
            let product = page * ON_A_PAGE + rng.random_range(0..ON_A_PAGE);
            ops.push(Op::SetPrice(product, rng.random_range(0..100_000)));
        }
    }
    let products = keys.known() * ON_A_PAGE;
    let names = (0..products).map(|_| name(case, &mut rng)).collect();
    let prices = (0..products).map(|_| rng.random_range(99..50_000)).collect();
    let mut input = Input { ops, names, prices };
    let tags: Vec<ETag> =
        (0..keys.known()).map(|page| Shop::new(&input).render(page).etag).collect();
    for op in &mut input.ops {
        if let Op::Get(page, if_none_match) = op
            && rng.random_range(0..10) < 3
        {
            *if_none_match = Some(tags[*page]);
        }
    }
    input
}

/// The pages that a stream asks for, in order.
fn pages(ops: &[Op]) -> impl Iterator<Item = usize> {
    ops.iter().filter_map(|op| match op {
        Op::Get(page, _) => Some(*page),
        Op::SetPrice(..) => None,
    })
}

/// The percentage of requests that hit an LRU cache, by replay with a model.
fn hit_rate(input: &Input) -> u64 {
    let mut cache = Recency::new(CAPACITY.get());
    let mut hits = 0;
    for op in &input.ops {
        match op {
            Op::Get(page, _) => hits += u64::from(cache.ask(*page).0),
            Op::SetPrice(product, _) => drop(cache.forget(&(product / ON_A_PAGE))),
        }
    }
    hits * 100 / pages(&input.ops).count() as u64
}

/// Whether an LRU cache that is never told of a change would serve a page from before it.
fn would_be_stale(ops: &[Op]) -> bool {
    let (mut cache, mut changed) = (Recency::new(CAPACITY.get()), HashSet::<usize>::new());
    ops.iter().any(|op| match op {
        Op::Get(page, _) => {
            let is_hit = cache.ask(*page).0;
            if !is_hit {
                // It is rendered anew.
                changed.remove(page);
            }
            changed.contains(page)
        }
        Op::SetPrice(product, _) => {
            changed.insert(product / ON_A_PAGE);
            false
        }
    })
}

/// A stream over nameless products, for traps and tests.
fn stream_of(ops: impl IntoIterator<Item = Op>) -> Input {
    let ops = ops.into_iter().collect();
    Input { ops, names: vec![String::new(); 2 * ON_A_PAGE], prices: vec![100; 2 * ON_A_PAGE] }
}

/// An empty cache. The crate's default hasher is the same, but seeded anew by each process.
fn empty() -> Cache {
    Cache::with_hasher(CAPACITY, FixedState::default())
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let naive = by_ref(&inputs, |input| naive(&mut Shop::new(input), &input.ops));
    let optimized =
        by_ref(&inputs, |input| optimized(&mut Shop::new(input), &mut empty(), &input.ops));
    let units = pages(&inputs[0].ops).count() as u64;
    Ok(Trial::new(inputs.measured(hit_rate), naive, optimized).units(units))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn both(input: &Input) -> [Sent; 2] {
        let optimized = optimized(&mut Shop::new(input), &mut empty(), &input.ops);
        [naive(&mut Shop::new(input), &input.ops), optimized]
    }

    #[test]
    fn known_answers() {
        let names = vec!["R&D \"<x>\"".to_owned(), "Säge".to_owned()];
        let shop = Shop { names: &names, prices: vec![5, 1_250] };
        let page = shop.render(0);
        assert_eq!(
            str::from_utf8(&page.body).unwrap(),
            "<!doctype html><title>Page 0</title><ul>\
             <li><a href=\"/products/0\">R&amp;D &quot;&lt;x&gt;&quot;</a> <b>0.05 €</b></li>\
             <li><a href=\"/products/1\">Säge</a> <b>12.50 €</b></li></ul>"
        );

        let first = Shop::new(&stream_of([])).render(0);
        let revalidates = || Op::Get(0, Some(first.etag));
        let ops = [revalidates(), Op::Get(0, None), Op::SetPrice(3, 999), revalidates()];
        for sent in both(&stream_of(ops)) {
            assert_eq!((sent.responses, sent.not_modified), (3, 1), "the tag of old is stale");
            assert_eq!(sent.bytes, 2 * first.body.len());
        }
        // Back to the price of old, and so to its page and tag.
        let ops = [Op::Get(0, None), Op::SetPrice(3, 9), Op::SetPrice(3, 100), revalidates()];
        assert!(both(&stream_of(ops)).iter().all(|sent| sent.not_modified == 1));
        assert!(both(&stream_of([])).iter().all(|sent| *sent == Sent::default()));
    }

    #[test]
    fn a_change_drops_its_page_and_no_other_and_the_cache_is_bounded() {
        let input = input(&Case::realistic(0, 0, 42));
        let (mut shop, mut cache) = (Shop::new(&input), empty());
        optimized(&mut shop, &mut cache, &[Op::Get(0, None), Op::Get(1, None)]);
        optimized(&mut shop, &mut cache, &[Op::SetPrice(2 * ON_A_PAGE - 1, 1)]);
        assert!(cache.contains(&0) && !cache.contains(&1));
        optimized(&mut shop, &mut cache, &input.ops);
        assert_eq!(cache.len(), CAPACITY.get());
    }

    #[test]
    fn a_rendering_that_panics_leaves_nothing_behind() {
        let input = stream_of([]);
        let (mut shop, mut cache) = (Shop::new(&input), empty());
        let prices = std::mem::take(&mut shop.prices);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            optimized(&mut shop, &mut cache, &[Op::Get(0, None)])
        }));
        assert!(failed.is_err() && cache.is_empty());
        shop.prices = prices;
        let after = optimized(&mut shop, &mut cache, &[Op::Get(0, None)]);
        assert_eq!(after, naive(&mut shop, &[Op::Get(0, None)]));
    }
}
