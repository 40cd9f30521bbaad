//! Answer from Redis what PostgreSQL was asked before, and forget it when it changes.

use std::{
    cell::RefCell, collections::HashSet, num::NonZeroUsize, rc::Rc, sync::Arc, time::Duration,
};

use foldhash::fast::FixedState;
use lru::LruCache;
use rand::{RngExt, seq::SliceRandom};
use redis::{Commands, Connection};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Statement};

use crate::fixtures::{
    pg_shop,
    postgres::{self, Database, SERVER_STATEMENTS},
    price_stream::{Op, by_popularity, reads_what_it_wrote},
    redis::{Keyspace, LIFETIME_S, answered},
    shop::Size,
    zipf::Zipf,
};
use worthit_pair::prelude::*;

/// Products in the shop; requests for them follow Zipf's law.
const PRODUCTS: usize = 500;
/// Orders in the shop, of which a product's page says how often it was ordered.
const ORDERS: u64 = 10_000;
/// Products that the cache has at the start of a stream: the most popular ones.
const CACHED: usize = 200;
/// Reads in a stream.
const READS: u64 = 50;
/// Changes of prices in a stream.
const WRITES: u64 = 2;

const INDEX: &str = "CREATE INDEX lines_by_product ON order_lines (product_id)";
const PRODUCT: &str = "SELECT name, description, price_cents,
         (SELECT count(*) FROM order_lines WHERE product_id = p.id),
         (SELECT coalesce(sum(quantity), 0)::bigint FROM order_lines WHERE product_id = p.id)
     FROM products p WHERE id = $1";
const SET_PRICE: &str = "UPDATE products SET price_cents = $2 WHERE id = $1";

pub const PAIR: Pair = Pair {
    title: "Put Redis in front of a query",
    review: Review {
        smell: "Each request for a page runs the same query for the same few things.",
        remedy: "`cache.get`; if it misses, ask the database and `cache.put` with a lifetime, so that what nobody deleted is \
                 wrong for a while and not for ever. Whoever writes calls `cache.forget` once the database has the write. \
                 In Redis these are GET, SET with EX, and DEL.",
        keep_naive_when: "The query is a look-up by key: Redis costs a round trip, as the database does. Or most reads \
                          would miss.",
        costs: "A second server to run. Values are encoded and decoded. All that write must delete keys; a reader that \
                misses while another writes can put the old value back, which is wrong until the key expires. A miss \
                costs more than no cache. With one process of the application, a cache in its memory is far cheaper: \
                the alternative `lru`.",
        lint: Lint::None,
    },
    naive: Side { summary: "a query for each read", growth: Growth::Constant },
    optimized: Side {
        summary: "GET; if it misses, the query and SET; on write, DEL",
        growth: Growth::Other("a hit costs less than a miss does"),
    },
    input: "50 reads of products and 2 changes of a price, in random order. A read is a row of 500 products, whose popularity \
            follows Zipf's law, and how often the product was ordered: some fifty rows, found by an index. Exactly the \
            stated share of reads hits. The cache has the 200 most popular products at the start; a changed one misses \
            once. One client, one connection to each server, a closed loop; statements are prepared. Commits of prices \
            wait for no flush (`synchronous_commit = off`), on both sides.",
    axis: Axis {
        name: "reads that hit",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 50, 70, 90, 98], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 70 },
    alternatives: &[SideBeside {
        name: "lru",
        summary: "the same with a cache in the memory of the process",
    }],
    causes: &[Claim {
        cause: SERVER_STATEMENTS,
        naive: Count::Exactly(|_| READS + WRITES),
        optimized: Count::Exactly(|case| READS - READS * case.point / 100 + WRITES),
    }],
    explanation: Explanation {
        why: "A read that hits is a `GET`, whose answer is ready, in place of a query that joins and counts. A read that \
              misses is the `GET`, the query and a `SET`: three round trips in place of one. So the share of hits decides, \
              and how much more the query costs than a round trip does.",
        share_of_cause: ShareOfCause::Within(0.3, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::UpTo(0),
    },
    traps: &[
        &Trap {
            name: "no changed product is read again",
            reason: "a cache that is never told of a write would give the same answers",
            check: |inputs: &[Input]| {
                ensure(inputs.iter().any(|input| reads_what_it_wrote(&input.ops)), || {
                    "each product is read before it is changed".to_owned()
                })
            },
            sprung: || {
                let ops = vec![Op::Read(1), Op::SetPrice(1, 2), Op::Read(2)];
                vec![Input { ops, cached: [].into() }]
            },
        },
        &Trap {
            name: "a few products are read again and again",
            reason: "server and client would find them in their nearest caches",
            check: |inputs: &[Input]| {
                let ops = inputs.iter().flat_map(|input| &input.ops);
                let read: HashSet<i64> = ops.map(|op| op.product()).collect();
                ensure(read.len() >= 100, || format!("{} products", read.len()))
            },
            sprung: || {
                let ops = (0..50).map(|read| Op::Read(read % 5)).collect();
                vec![Input { ops, cached: [].into() }]
            },
        },
    ],
    limit: Limit::Work(&[Work::RoundTrips(|case| {
        let misses = READS - READS * case.point / 100;
        READS + 2 * misses + 2 * WRITES
    })]),
    proof: Proof { resources: Resources::System, max_size: 12 },
    servers: &[Program::Postgres, Program::Redis],
    prepare,
    ..Pair::DEFAULTS
};

/// A stream, and the products that the cache has at its start.
struct Input {
    ops: Vec<Op>,
    cached: Rc<[i64]>,
}

/// What a page shows of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    description: String,
    price_cents: i64,
    orders: i64,
    sold: i64,
}

impl Found for Product {
    fn found(&self) -> u64 {
        1
    }
}

/// A shop with the connection of one side.
struct Shop {
    database: Database,
    client: Client,
    product: Statement,
    set_price: Statement,
}

impl Shop {
    fn new(case: &Case) -> Result<Shop, Unavailable> {
        let database = Database::new(Duration::ZERO)?;
        let size = Size {
            customers: 100,
            products: PRODUCTS as u64,
            orders: case.items(ORDERS) as u64,
            ..Size::default()
        };
        pg_shop::fill(&database, case, size, INDEX)?;
        database.execute("CREATE TABLE first_prices AS SELECT id, price_cents FROM products")?;
        let client = database.connect()?;
        database
            .runtime
            .block_on(client.batch_execute("SET synchronous_commit = off"))
            .map_err(|error| Unavailable(error.to_string()))?;
        let (product, set_price) =
            (database.prepare(&client, PRODUCT)?, database.prepare(&client, SET_PRICE)?);
        Ok(Shop { database, client, product, set_price })
    }

    async fn select(&self, id: i64) -> Product {
        let row = postgres::answered(self.client.query_one(&self.product, &[&id]).await);
        Product {
            name: row.get(0),
            description: row.get(1),
            price_cents: row.get(2),
            orders: row.get(3),
            sold: row.get(4),
        }
    }

    async fn set_price(&self, id: i64, cents: i64) {
        postgres::answered(self.client.execute(&self.set_price, &[&id, &cents]).await);
    }

    fn run(&mut self, ops: &[Op]) -> Vec<Product> {
        let runtime = Arc::clone(&self.database.runtime);
        runtime.block_on(naive(self, ops))
    }

    fn shop(&self) -> &Shop {
        self
    }

    /// Restores the prices.
    fn reset(&mut self) {
        let restored = self.database.execute(
            "UPDATE products p SET price_cents = f.price_cents FROM first_prices f
             WHERE f.id = p.id AND f.price_cents <> p.price_cents",
        );
        restored.expect("the shop takes its old prices back");
    }
}

/// Something that keeps products under their ids.
trait Cache {
    fn get(&mut self, id: i64) -> Option<Product>;
    fn put(&mut self, id: i64, product: &Product);
    fn forget(&mut self, id: i64);
    /// Makes it hold these products and no others.
    fn refill(&mut self, products: &[(i64, Product)]);
}

/// Keys that hold products as JSON, and expire.
struct InRedis(Keyspace);

impl InRedis {
    fn new() -> Result<InRedis, Unavailable> {
        let mut keyspace = Keyspace::new(Duration::ZERO)?;
        // So that it knows all keys that it has to remove.
        let keys: Vec<_> =
            (1..=PRODUCTS as u64).map(|id| (keyspace.key(id), String::new())).collect();
        keyspace.store(keys)?;
        Ok(InRedis(keyspace))
    }

    fn parts(&mut self, id: i64) -> (String, &mut Connection) {
        (self.0.key(id as u64), &mut self.0.connection)
    }
}

impl Cache for InRedis {
    fn get(&mut self, id: i64) -> Option<Product> {
        let (key, redis) = self.parts(id);
        let text: Option<String> = answered(redis.get(key));
        text.map(|text| serde_json::from_str(&text).expect("it is as it was put"))
    }

    fn put(&mut self, id: i64, product: &Product) {
        let (key, redis) = self.parts(id);
        let () = answered(redis.set_ex(key, json(product), LIFETIME_S));
    }

    fn forget(&mut self, id: i64) {
        let (key, redis) = self.parts(id);
        let () = answered(redis.del(key));
    }

    fn refill(&mut self, products: &[(i64, Product)]) {
        let mut pipeline = redis::pipe();
        for id in 1..=PRODUCTS as u64 {
            pipeline.del(self.0.key(id)).ignore();
        }
        for (id, product) in products {
            pipeline.set_ex(self.0.key(*id as u64), json(product), LIFETIME_S).ignore();
        }
        let () = answered(pipeline.query(&mut self.0.connection));
    }
}

fn json(product: &Product) -> String {
    serde_json::to_string(product).expect("it has no map")
}

type InMemory = LruCache<i64, Product, FixedState>;

impl Cache for InMemory {
    fn get(&mut self, id: i64) -> Option<Product> {
        LruCache::get(self, &id).cloned()
    }

    fn put(&mut self, id: i64, product: &Product) {
        LruCache::put(self, id, product.clone());
    }

    fn forget(&mut self, id: i64) {
        self.pop(&id);
    }

    fn refill(&mut self, products: &[(i64, Product)]) {
        self.clear();
        products.iter().for_each(|(id, product)| Cache::put(self, *id, product));
    }
}

/// The products that the reads of the stream found.
async fn naive(shop: &Shop, ops: &[Op]) -> Vec<Product> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(shop.select(id).await),
            Op::SetPrice(id, cents) => shop.set_price(id, cents).await,
        }
    }
    reads
}

/// The products that the reads of the stream found.
async fn optimized(shop: &Shop, cache: &mut impl Cache, ops: &[Op]) -> Vec<Product> {
    let mut reads = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            Op::Read(id) => reads.push(match cache.get(id) {
                Some(product) => product,
                None => {
                    let product = shop.select(id).await;
                    cache.put(id, &product);
                    product
                }
            }),
            Op::SetPrice(id, cents) => {
                shop.set_price(id, cents).await;
                cache.forget(id);
            }
        }
    }
    reads
}

/// The same with a cache in the memory of the process.
async fn lru(shop: &Shop, cache: &mut InMemory, ops: &[Op]) -> Vec<Product> {
    optimized(shop, cache, ops).await
}

/// A shop with a cache aside.
struct Aside<C> {
    shop: Shop,
    cache: C,
    /// What the cache has at the start of each stream.
    warm: Vec<(i64, Product)>,
}

impl<C: Cache> Aside<C> {
    fn new(case: &Case, mut cache: C, cached: &[i64]) -> Result<Aside<C>, Unavailable> {
        let shop = Shop::new(case)?;
        let runtime = Arc::clone(&shop.database.runtime);
        let product = |id: &i64| (*id, runtime.block_on(shop.select(*id)));
        let warm: Vec<(i64, Product)> = cached.iter().map(product).collect();
        cache.refill(&warm);
        Ok(Aside { shop, cache, warm })
    }

    fn reset(&mut self) {
        self.shop.reset();
        self.cache.refill(&self.warm);
    }

    fn run(&mut self, ops: &[Op]) -> Vec<Product> {
        let runtime = Arc::clone(&self.shop.database.runtime);
        runtime.block_on(optimized(&self.shop, &mut self.cache, ops))
    }

    fn shop(&self) -> &Shop {
        &self.shop
    }
}

/// A stream of which exactly the stated share of reads hits.
fn stream(case: &Case, by_rank: &[i64]) -> Vec<Op> {
    let mut rng = case.rng("stream");
    let zipf = Zipf::new(by_rank.len(), 4);
    let hits = READS * case.point / 100;
    let mut kinds: Vec<Option<bool>> = (0..READS).map(|read| Some(read < hits)).collect();
    kinds.extend([None; WRITES as usize]);
    kinds.shuffle(&mut rng);
    let mut cached: HashSet<i64> = by_rank[..CACHED].iter().copied().collect();
    // Of those that miss, a changed one comes first.
    let mut changed: Vec<i64> = Vec::new();
    let op = |kind: Option<bool>| {
        let mut any = |is_cached: bool| loop {
            let id = by_rank[zipf.sample(&mut rng)];
            if cached.contains(&id) == is_cached {
                return id;
            }
        };
        match kind {
            Some(true) => Op::Read(any(true)),
            Some(false) => {
                let id = changed.pop().unwrap_or_else(|| any(false));
                cached.insert(id);
                Op::Read(id)
            }
            None => {
                let id = any(true);
                cached.remove(&id);
                changed.push(id);
                Op::SetPrice(id, rng.random_range(99..50_000))
            }
        }
    };
    kinds.into_iter().map(op).collect()
}

/// Percentage of the reads that hit.
fn hits(input: &Input) -> u64 {
    let mut cached: HashSet<i64> = input.cached.iter().copied().collect();
    let (mut reads, mut hits) = (0, 0);
    for op in &input.ops {
        match op {
            Op::Read(id) => {
                reads += 1;
                hits += u64::from(!cached.insert(*id));
            }
            Op::SetPrice(id, _) => {
                cached.remove(id);
            }
        }
    }
    100 * hits / reads
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let by_rank = by_popularity(case, PRODUCTS);
    let cached: Rc<[i64]> = by_rank[..CACHED].into();
    let inputs =
        case.rotate(12, |case| Input { ops: stream(case, &by_rank), cached: Rc::clone(&cached) });
    let in_redis = Aside::new(case, InRedis::new()?, &cached)?;
    let trial = Trial::new(
        inputs.measured(hits),
        over(&inputs, Shop::new(case)?, Shop::reset, Shop::run, Shop::shop),
        over(&inputs, in_redis, Aside::reset, Aside::run, Aside::shop),
    );
    let capacity = NonZeroUsize::new(PRODUCTS).expect("not zero");
    let in_memory = InMemory::with_hasher(capacity, FixedState::default());
    let in_memory = Aside::new(case, in_memory, &cached)?;
    let run = |aside: &mut Aside<InMemory>, ops: &[Op]| {
        let runtime = Arc::clone(&aside.shop.database.runtime);
        runtime.block_on(lru(&aside.shop, &mut aside.cache, ops))
    };
    let lru = over(&inputs, in_memory, Aside::reset, run, Aside::shop);
    Ok(trial.alternative(lru).units(READS + WRITES))
}

/// The side with each stream, and the server's count of its statements.
fn over<S: 'static>(
    inputs: &Inputs<Input>,
    state: S,
    reset: fn(&mut S),
    run: fn(&mut S, &[Op]) -> Vec<Product>,
    shop: fn(&S) -> &Shop,
) -> impl Runner + 'static {
    let state = Rc::new(RefCell::new(state));
    let (counted, counted_inputs) = (Rc::clone(&state), inputs.clone());
    resetting(
        inputs,
        state,
        move |state: &mut Rc<RefCell<S>>| reset(&mut state.borrow_mut()),
        move |state, input| run(&mut state.borrow_mut(), &input.ops),
    )
    .counting(SERVER_STATEMENTS, move |input| {
        let mut state = counted.borrow_mut();
        reset(&mut state);
        let before = shop(&state).database.statements();
        run(&mut state, &counted_inputs[input].ops);
        shop(&state).database.statements() - before
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "redis_cache_aside") {
            return;
        }
        let case = Case { proof_size: Some(0), ..Case::realistic(50, 0, 1) };
        let prices = |products: Vec<Product>| -> Vec<i64> {
            products.iter().map(|product| product.price_cents).collect()
        };
        let ops = [Op::Read(1), Op::Read(2), Op::SetPrice(1, 7), Op::Read(1), Op::Read(1)];
        let mut plain = Shop::new(&case).unwrap();
        let first = prices(plain.run(&[Op::Read(1), Op::Read(2)]));
        let expected = [first[0], first[1], 7, 7];
        assert_eq!(prices(plain.run(&ops)), expected);
        let mut aside = Aside::new(&case, InRedis::new().unwrap(), &[1]).unwrap();
        for _ in 0..2 {
            aside.reset();
            let before = aside.shop.database.statements();
            assert_eq!(prices(aside.run(&ops)), expected);
            // The second product, the write, and the first product after it.
            assert_eq!(aside.shop.database.statements() - before, 3);
        }
    }

    #[test]
    fn a_stream_hits_as_often_as_it_should() {
        for point in [0, 2, 50, 98, 100] {
            let case = Case::realistic(point, 0, 42);
            let by_rank = by_popularity(&case, PRODUCTS);
            let input = Input { ops: stream(&case, &by_rank), cached: by_rank[..CACHED].into() };
            assert_eq!(hits(&input), point);
            assert_eq!(input.ops.len() as u64, READS + WRITES);
        }
    }
}
