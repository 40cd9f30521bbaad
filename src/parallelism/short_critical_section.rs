//! Hold a lock for as long as what it protects is used, and compute before or after.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    hash::BuildHasher,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use foldhash::fast::FixedState;
use rand::RngExt;

use worthit_pair::prelude::*;

/// Items that are rendered while the lock is held.
const RENDERED_UNDER_LOCK: Cause =
    Cause::new("rendered_under_lock", "items rendered while the lock is held")
        .counted("with a renderer that asks whether the lock is held");

/// Users whose sessions are kept.
const USERS: u64 = 1_024;

/// More items for an order, and fewer orders.
const GROWTH: Growth =
    Growth::Other("nearly constant, as the items in all are as many at every point");

pub const PAIR: Pair = Pair {
    title: "Compute outside of the lock",
    review: Review {
        smell: "A guard that lives to the end of its block, with formatting, hashing, serializing, copying or a call \
                below its last use: `let mut sessions = sessions.lock().unwrap();`, two lines that use it, then \
                `render(…)`. `cache.lock().unwrap().insert(key, render(…))` does the same: the lock is taken before the \
                argument is computed.",
        remedy: "Take out what is needed while the guard is a temporary, `let discount = \
                 lock(sessions).book(order.user);`, and `render(&order.items, discount)` when it has gone. A block \
                 around the guard, or dropping it by hand, does the same.",
        keep_naive_when: "What is computed must fit the state at the moment when others see it: then compute first, \
                          take the lock, and check that nothing has changed. Or it takes no longer than the lock \
                          itself. Or only one thread takes the lock.",
        costs: "What was taken out may be out of date when it is used. What is computed before the lock may have been \
                in vain. And a lock that is taken a second time to put a result back is paid for again.",
        lint: Lint::Switched("clippy::significant_drop_tightening", "clippy::nursery"),
    },
    naive: Side { summary: "render while the guard lives", growth: GROWTH },
    optimized: Side { summary: "render when the guard has gone", growth: GROWTH },
    input: "Orders of users, split evenly among the threads. An order counts in its user's session, which is behind the \
            lock and says the discount; then its items are rendered as JSON, as many as the axis says. The threads do \
            nothing else. The more items an order has, the fewer orders there are: 16,384 items, but 64 to 4,096 \
            orders. Users are equally likely. Streams of orders alternate.",
    axis: Axis {
        name: "items rendered for an order",
        unit: "items",
        is_size: true,
        points: Points::Fixed { default: &[1, 16, 64, 256], deep: &[] },
    },
    parameter: Some(Parameter { name: "threads", levels: Levels::Threads }),
    unit: "order",
    headline: Headline::AllCoresOf(16),
    causes: &[Claim {
        cause: RENDERED_UNDER_LOCK,
        naive: Count::Exactly(|case| orders(case.point) * case.point),
        optimized: Count::Exactly(|_| 0),
    }],
    explanation: Explanation {
        why: "What is done under a lock is done by one thread at a time, however many there are. With the rendering \
              outside, the threads render at once, and take turns only for the look-up in the session. Taking turns \
              costs more than the turns: a thread that waits for longer than it spins is put to sleep and must be \
              woken, so on the naive side threads together get less done than one alone, and the gain exceeds their \
              number. The longer an order takes to render, the fewer such turns there are, and the closer the gain \
              comes to the number of threads. With one thread nobody waits, and the sides are alike.",
        share_of_cause: ShareOfCause::NoRatio("nothing is rendered under the lock any more"),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "one thread has nearly all orders",
            reason: "it would have the lock to itself, for however long it holds it",
            check: |inputs: &[Input]| {
                let is_uneven = |parts: &Input| {
                    let fair = parts.iter().map(Vec::len).sum::<usize>() / parts.len();
                    parts.iter().any(|part| part.len().abs_diff(fair) > 1)
                };
                ensure(!inputs.iter().any(is_uneven), || "orders are split unevenly".to_owned())
            },
            sprung: || vec![vec![vec![order(1, 4); 100], vec![]]],
        },
        &Trap {
            name: "all orders are of one user",
            reason: "a lock for each user would be the remedy, and one session would stay in the nearest cache",
            check: |inputs: &[Input]| {
                let orders = inputs.iter().flatten().flatten();
                let users: HashSet<u64> = orders.map(|order| order.user).collect();
                ensure(users.len() > 100, || format!("{} users", users.len()))
            },
            sprung: || vec![vec![vec![order(7, 4); 1_000]]],
        },
    ],
    limit: Limit::None(
        "the formatting of numbers takes the time, and no machine number says how long that takes",
    ),
    proof: Proof { resources: Resources::System, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Orders in one iteration, of all threads together, if each has this many items.
fn orders(items: u64) -> u64 {
    (16_384 / items.max(1)).clamp(64, 4_096)
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: u32,
    cents: u32,
    count: u32,
}

#[derive(Clone, Debug)]
struct Order {
    user: u64,
    items: Vec<Item>,
}

/// The orders of each thread.
type Input = Vec<Vec<Order>>;

#[derive(Clone, Copy, Debug)]
struct Session {
    discount: u64,
    orders: u64,
}

/// The sessions of all users. The discount of a user does not change, so what is rendered does not depend on the order
/// of orders.
#[derive(Clone, Debug)]
struct Sessions(HashMap<u64, Session, FixedState>);

impl Sessions {
    fn new() -> Sessions {
        let session = |user| (user, Session { discount: user * 7 % 50, orders: 0 });
        Sessions((0..USERS).map(session).collect())
    }

    /// Counts an order of a user and returns the user's discount in percent; a stranger has none.
    fn book(&mut self, user: u64) -> u64 {
        let stranger = Session { discount: 0, orders: 0 };
        let session = self.0.entry(user).or_insert(stranger);
        session.orders += 1;
        session.discount
    }
}

/// Books an order and returns what is rendered of it.
#[expect(clippy::significant_drop_tightening, reason = "rendering does not need the sessions")]
fn naive<T>(sessions: &Mutex<Sessions>, order: &Order, render: impl Fn(&[Item], u64) -> T) -> T {
    let mut sessions = lock(sessions);
    let discount = sessions.book(order.user);
    render(&order.items, discount)
}

/// Books an order and returns what is rendered of it.
fn optimized<T>(
    sessions: &Mutex<Sessions>,
    order: &Order,
    render: impl Fn(&[Item], u64) -> T,
) -> T {
    let discount = lock(sessions).book(order.user);
    render(&order.items, discount)
}

fn lock(sessions: &Mutex<Sessions>) -> MutexGuard<'_, Sessions> {
    sessions.lock().expect("no side panics")
}

/// The items of an order as JSON, with what each costs at this discount in percent.
fn render(items: &[Item], discount: u64) -> String {
    let mut json = String::with_capacity(16 + 64 * items.len());
    json.push('[');
    for (nth, Item { id, cents, count }) in items.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        let net = u64::from(*cents) * u64::from(*count) * (100 - discount) / 100;
        write!(json, r#"{comma}{{"id":{id},"cents":{cents},"count":{count},"net":{net}}}"#)
            .expect("writing to a String cannot fail");
    }
    json.push(']');
    json
}

/// Counts the items that a side renders while the lock is held.
fn rendered_under_lock(
    side: impl Fn(&Mutex<Sessions>, &Order, &dyn Fn(&[Item], u64)),
    input: &Input,
) -> u64 {
    let sessions = Mutex::new(Sessions::new());
    let render = |items: &[Item], _| {
        if sessions.try_lock().is_err() {
            items.iter().for_each(|_| note());
        }
    };
    let orders = input.iter().flatten();
    noted_during(|| orders.for_each(|order| side(&sessions, order, &render)))
}

fn order(user: u64, items: u32) -> Order {
    let item = |id| Item { id, cents: 250 * id, count: 1 + id % 3 };
    Order { user, items: (0..items).map(item).collect() }
}

/// Items of each order.
fn items(orders: &Input) -> u64 {
    orders.iter().flatten().next().map_or(0, |order| order.items.len() as u64)
}

/// Users of other shapes may have no session yet.
fn input(case: &Case) -> Input {
    let values = case.values(case.items(orders(case.point)));
    let mut rng = case.rng("items");
    let mut item = || Item {
        id: rng.random_range(1..200_000),
        cents: rng.random_range(50..100_000),
        count: rng.random_range(1..10),
    };
    let mut order = |value: &u64| Order {
        user: if case.shape == Shape::Realistic { value % USERS } else { *value },
        items: (0..case.point).map(|_| item()).collect(),
    };
    let threads = case.level as usize;
    let bound = |thread: usize| values.len() * thread / threads;
    let mut part =
        |thread| values[bound(thread)..bound(thread + 1)].iter().map(&mut order).collect();
    (0..threads).map(&mut part).collect()
}

/// Sessions in use by several threads.
struct Shared {
    sessions: Mutex<Sessions>,
    /// Sum of the hashes of all that was rendered.
    digest: AtomicU64,
}

/// What was rendered, and the orders of each user who had one.
#[derive(Debug, PartialEq)]
struct Outcome {
    digest: u64,
    orders: Vec<(u64, u64)>,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.orders.iter().map(|(_, orders)| orders).sum()
    }
}

impl Outcome {
    fn of(shared: &Shared) -> Outcome {
        let sessions = lock(&shared.sessions);
        let mut orders: Vec<_> =
            sessions.0.iter().map(|(user, session)| (*user, session.orders)).collect();
        orders.retain(|(_, orders)| *orders > 0);
        orders.sort_unstable();
        Outcome { digest: shared.digest.load(Relaxed), orders }
    }
}

/// A side whose threads share the sessions for a whole batch.
fn side(
    inputs: &Inputs<Input>,
    work: impl Fn(&Mutex<Sessions>, &Order) -> String + Sync + 'static,
) -> impl Runner + 'static {
    let sessions = Sessions::new();
    contended(
        inputs[0].len(),
        inputs,
        move || Shared { sessions: Mutex::new(sessions.clone()), digest: AtomicU64::new(0) },
        move |shared, parts, thread| {
            let hash = |order| FixedState::default().hash_one(work(&shared.sessions, order));
            let digest = parts[thread].iter().map(hash).fold(0, u64::wrapping_add);
            shared.digest.fetch_add(digest, Relaxed);
        },
        Outcome::of,
    )
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(4, input);
    let (of_naive, of_optimized) = (inputs.clone(), inputs.clone());
    let naive_side = side(&inputs, |sessions, order| naive(sessions, order, render)).counting(
        RENDERED_UNDER_LOCK,
        move |i| {
            rendered_under_lock(
                |sessions, order, render| naive(sessions, order, render),
                &of_naive[i],
            )
        },
    );
    let optimized_side = side(&inputs, |sessions, order| optimized(sessions, order, render))
        .counting(RENDERED_UNDER_LOCK, move |i| {
            rendered_under_lock(
                |sessions, order, render| optimized(sessions, order, render),
                &of_optimized[i],
            )
        });
    let units = inputs[0].iter().map(|part| part.len() as u64).sum();
    Ok(Trial::new(inputs.measured(items), naive_side, optimized_side).units(units))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn known_answers() {
        let items = [Item { id: 9, cents: 1_000, count: 2 }, Item { id: 1, cents: 3, count: 1 }];
        // User 8 has a discount of 6 percent, and a stranger none. Cents are rounded down.
        let expected = [
            (
                8,
                r#"[{"id":9,"cents":1000,"count":2,"net":1880},{"id":1,"cents":3,"count":1,"net":2}]"#,
            ),
            (
                u64::MAX,
                r#"[{"id":9,"cents":1000,"count":2,"net":2000},{"id":1,"cents":3,"count":1,"net":3}]"#,
            ),
        ];
        let (one, other) = (Mutex::new(Sessions::new()), Mutex::new(Sessions::new()));
        for (user, json) in expected {
            let order = Order { user, items: items.to_vec() };
            for _ in 0..2 {
                assert_eq!(naive(&one, &order, render), json);
                assert_eq!(optimized(&other, &order, render), json);
            }
            for sessions in [&one, &other] {
                assert_eq!(lock(sessions).0[&user].orders, 2);
            }
        }
        assert_eq!(render(&[], 7), "[]");
    }

    #[test]
    fn no_order_of_any_thread_is_lost() {
        let orders = |book: fn(&Mutex<Sessions>, &Order) -> usize| {
            let sessions = Mutex::new(Sessions::new());
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        (0..1_000).map(|user| book(&sessions, &order(user % 3, 2))).sum::<usize>()
                    });
                }
            });
            let sessions = lock(&sessions);
            [0, 1, 2].map(|user| sessions.0[&user].orders)
        };
        let expected = [8 * 334, 8 * 333, 8 * 333];
        assert_eq!(orders(|sessions, order| naive(sessions, order, render).len()), expected);
        assert_eq!(orders(|sessions, order| optimized(sessions, order, render).len()), expected);
    }
}
