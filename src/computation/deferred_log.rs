//! Leave formatting to the log macro, which tests the level first.

use std::{
    cell::RefCell,
    fmt::{self, Display, Write},
    sync::LazyLock,
};

use log::{Level, LevelFilter, Log, Metadata, Record, log};
use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Orders in one iteration; a multiple of 100, so that each share is exact.
const ORDERS: u64 = 1_000;

const FORMATS: Cause = Cause::new("formats", "customers formatted")
    .counted("on customers that count how often they are formatted");

pub const PAIR: Pair = Pair {
    title: "Let the log macro format",
    review: Review {
        smell: "`let message = format!(…);` and then `debug!(\"{message}\")`, or a helper of one's own that takes a \
                finished `String` and tests the level inside.",
        remedy: "Hand the macro the format and its arguments: `log!(*level, \"order {id} of {customer}\")`. It tests \
                 the level before it formats anything, and so do its shorter forms for one level. An expensive call \
                 may stand among the arguments: where the level is off, it is not made.",
        keep_naive_when: "The message is needed in any case, for an error or a response.",
        costs: "An argument with side effects no longer has them where the level is off.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "format!, then the macro",
        growth: Growth::Other("rises a little with what is written"),
    },
    optimized: Side { summary: "format inside the macro", growth: Growth::Linear },
    input: "1,000 orders that are added up, each with a record in the log. The log is set to warnings, as in \
            production. Exactly the stated share of the orders, at random places, log a warning; the others log at \
            the level of debugging, which is off. A record that is enabled is written to a buffer in memory.",
    axis: Axis {
        name: "share enabled",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[0, 1, 10, 50, 100], deep: &[] },
    },
    unit: "order",
    headline: Headline::At { level: "", point: 1 },
    causes: &[
        Claim {
            cause: FORMATS,
            naive: Count::Exactly(|_| ORDERS),
            optimized: Count::Exactly(|case| ORDERS * case.point / 100),
        },
        Claim {
            cause: causes::ALLOCATIONS,
            naive: Count::AtLeast(|_| ORDERS),
            // The buffer of the log doubles as it grows.
            optimized: Count::AtMost(|_| 20),
        },
    ],
    explanation: Explanation {
        why: "The naive side formats and allocates a text for each order, and most of the texts are dropped unread. The \
              macro compares two integers and goes on. What is left is the addition and that test, so the gain is below \
              the ratio of formats where few records are enabled. Where all are enabled, the macro still saves the \
              `String` between the arguments and the buffer. The optimized side is far from its limit, because it formats \
              the records that are enabled.",
        share_of_cause: ShareOfCause::Within(0.2, 1.2),
        far_end: FarEnd::Falls("the formatting of what is enabled, which both sides do"),
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "a predictor knows what is enabled",
        reason: "the test of the level is then free, which it is not where records of all levels mix",
        check: |inputs: &[Vec<Order>]| {
            share::unpredictable(inputs.iter().map(|i| i.iter().map(is_enabled).collect()))
        },
        sprung: || {
            let sorted = |turn| {
                let mut orders = input(&Case { turn, ..Case::realistic(50, 0, 1) });
                orders.sort_by_key(|order| order.level);
                orders
            };
            (0..8).map(sorted).collect()
        },
    }],
    limit: Limit::Work(&[Work::StreamedInTurn {
        bytes: |_| ORDERS * size_of::<Order>() as u64,
        within_bytes: |_| TURNS * ORDERS * size_of::<Order>() as u64,
    }]),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

/// Inputs in the rotation.
const TURNS: u64 = 8;

#[derive(Debug)]
struct Order<C = String> {
    id: u64,
    customer: C,
    cents: u64,
    /// The level of its record.
    level: Level,
}

/// The sum of the orders, modulo 2⁶⁴, and what was logged; `C` is `String` when timed.
fn naive<C: Display>(orders: &[Order<C>]) -> (u64, String) {
    let mut total = 0_u64;
    for order in orders {
        let Order { id, customer, cents, level } = order;
        let message = format!("order {id} of {customer}: {cents} cents");
        log!(*level, "{message}");
        total = total.wrapping_add(*cents);
    }
    (total, written())
}

/// The sum of the orders, modulo 2⁶⁴, and what was logged; `C` is `String` when timed.
fn optimized<C: Display>(orders: &[Order<C>]) -> (u64, String) {
    let mut total = 0_u64;
    for order in orders {
        let Order { id, customer, cents, level } = order;
        log!(*level, "order {id} of {customer}: {cents} cents");
        total = total.wrapping_add(*cents);
    }
    (total, written())
}

/// A logger that writes the records of this file to a buffer of the thread.
struct Buffer;

thread_local! {
    static WRITTEN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What was logged on this thread since the last call.
fn written() -> String {
    WRITTEN.take()
}

impl Log for Buffer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == module_path!()
    }
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (level, args) = (record.level(), record.args());
            WRITTEN.with_borrow_mut(|written| {
                writeln!(written, "{level} {args}").expect("a String takes any text");
            });
        }
    }
    fn flush(&self) {}
}

/// Sets the logger of the process and the level of production, once.
fn start_logging() -> Result<(), Unavailable> {
    static STARTED: LazyLock<bool> = LazyLock::new(|| {
        log::set_max_level(LevelFilter::Warn);
        log::set_logger(&Buffer).is_ok()
    });
    let taken = || Unavailable("the process has another logger".to_owned());
    STARTED.then_some(()).ok_or_else(taken)
}

/// A customer that notes each time that it is formatted.
struct Noted(String);

impl Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        note();
        self.0.fmt(f)
    }
}

/// The orders with customers that count.
fn noted(orders: &[Order]) -> Vec<Order<Noted>> {
    let noted = |order: &Order| {
        let Order { id, ref customer, cents, level } = *order;
        Order { id, customer: Noted(customer.clone()), cents, level }
    };
    orders.iter().map(noted).collect()
}

fn input(case: &Case) -> Vec<Order> {
    const HOSTILE: [&str; 4] = ["", "{}{0}{x}", "äöü\n\u{0}", "🍎🍏"];
    let mut rng = case.rng("orders");
    let (count, enabled) = share::exact(case, ORDERS);
    let order = |i: usize| {
        let number: u32 = match case.shape {
            Shape::DuplicateHeavy => 7,
            _ => rng.random_range(1..1_000_000),
        };
        let (customer, cents) = match case.shape {
            Shape::Adversarial => (HOSTILE[i % HOSTILE.len()].to_owned(), u64::MAX - i as u64),
            _ => (format!("customer{number}@example.com"), rng.random_range(99..100_000)),
        };
        let level = if i < enabled { Level::Warn } else { Level::Debug };
        Order { id: rng.random_range(1..100_000_000), customer, cents, level }
    };
    let mut orders: Vec<Order> = (0..count).map(order).collect();
    if case.shape != Shape::Sorted {
        orders.shuffle(&mut rng);
    }
    orders
}

fn is_enabled<C>(order: &Order<C>) -> bool {
    order.level <= Level::Warn
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    start_logging()?;
    let inputs = case.rotate(TURNS, input);
    let units = inputs[0].len() as u64;
    let counted = inputs.map(|orders| noted(orders));
    Ok(Trial::new(
        inputs.measured(|orders| share::percent(orders, is_enabled)),
        by_ref(&inputs, |orders: &Vec<Order>| naive(orders))
            .counting(FORMATS, noting(&counted, |orders| naive(orders))),
        by_ref(&inputs, |orders: &Vec<Order>| optimized(orders))
            .counting(FORMATS, noting(&counted, |orders| optimized(orders))),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        start_logging().unwrap();
        let order = |id, customer: &str, cents, level| Order {
            id,
            customer: customer.to_owned(),
            cents,
            level,
        };
        let orders = [
            order(1, "ann", 250, Level::Debug),
            order(2, "bob", 1, Level::Warn),
            order(3, "{}", u64::MAX, Level::Error),
        ];
        let expected =
            "WARN order 2 of bob: 1 cents\nERROR order 3 of {}: 18446744073709551615 cents\n";
        for side in [naive, optimized] {
            assert_eq!(side(&orders), (250, expected.to_owned()));
            assert_eq!(side(&[]), (0, String::new()));
        }
    }

    #[test]
    fn trap_the_level_is_tested_at_run_time() {
        start_logging().unwrap();
        assert_eq!(
            log::STATIC_MAX_LEVEL,
            LevelFilter::Trace,
            "a feature of log compiles records out"
        );
        assert_eq!(log::max_level(), LevelFilter::Warn);
    }
}
