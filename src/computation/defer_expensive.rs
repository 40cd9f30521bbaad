//! Test first what is cheap to test, and compute only for the items that pass.

use rand::{Rng, RngExt, seq::SliceRandom};
use serde::Deserialize;
use serde_json::json;

use crate::fixtures::share;
use worthit_pair::{causes::Event, prelude::*};

/// Events in one iteration; a multiple of 100, so that each share is exact.
const EVENTS: u64 = 1_000;

pub const PAIR: Pair = Pair {
    title: "Compute after the cheap test",
    review: Review {
        smell: "`let total = expensive(&event);`, then `if event.kind == Kind::Refund { … total … }`: the result is \
                computed before it is known whether anybody needs it.",
        remedy: "Move the call into the branch that uses it: `refunds.push(total_cents(&event.body))` after the test.",
        keep_naive_when: "Nearly every item needs the result, or it costs no more than the test: then the order does \
                          not matter, and the one that reads better wins.",
        costs: "Side effects of the computation happen only for the items that pass: a body that nobody needs may be \
                invalid, and nothing reports it.",
        lint: Lint::None,
    },
    naive: Side { summary: "parse each body, then test the kind", growth: Growth::Constant },
    optimized: Side { summary: "test the kind, then parse", growth: Growth::Linear },
    input: "1,000 events with JSON bodies of some three hundred bytes, of which exactly the stated share are refunds. \
            They are at random places, and event streams alternate. A refund's total is taken from its body.",
    axis: Axis {
        name: "share needed",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 50, 90, 100], deep: &[] },
    },
    unit: "event",
    headline: Headline::At { level: "", point: 10 },
    causes: &[Claim {
        cause: causes::COMPUTATIONS,
        naive: Count::Exactly(|_| EVENTS),
        optimized: Count::Exactly(|case| EVENTS * case.point / 100),
    }],
    explanation: Explanation {
        why: "Parsing takes most of the time, so the gain follows the ratio of parses. Both sides also read and test \
              each event, and the outcome of the test is a branch that no predictor can learn. That part shows where \
              few bodies are left to parse.",
        share_of_cause: ShareOfCause::Within(0.6, 1.25),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(100),
    },
    traps: &[
        &Trap {
            name: "the work is cheap",
            reason: "a computation that costs no more than the test gains nothing by waiting for it",
            check: |inputs: &[Vec<Message>]| {
                let short = inputs.iter().flatten().find(|event| event.body.len() < 200);
                ensure(short.is_none(), || {
                    format!("a body of {:?} bytes", short.map(|e| e.body.len()))
                })
            },
            sprung: || vec![vec![Message { kind: Kind::Refund, body: "{}".to_owned() }]],
        },
        &Trap {
            name: "the events that need it are known beforehand",
            reason: "a predictor would know the outcome of the test if they came first, or in a stream that repeats",
            check: |inputs: &[Vec<Message>]| {
                share::unpredictable(inputs.iter().map(|i| i.iter().map(is_refund).collect()))
            },
            sprung: || {
                let sorted = |turn| {
                    let mut events = input(&Case { turn, ..Case::realistic(50, 0, 1) });
                    events.sort_by_key(is_refund);
                    events
                };
                (0..8).map(sorted).collect()
            },
        },
    ],
    limit: Limit::None(
        "the parses that are left take most of the time, and no machine number bounds a parse",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sale,
    Refund,
    Visit,
}

#[derive(Debug)]
struct Message {
    kind: Kind,
    /// JSON, if the client sent what it should.
    body: String,
}

/// The totals of the refunds, in order.
fn naive(events: &[Message]) -> Vec<Option<u64>> {
    let mut refunds = Vec::new();
    for event in events {
        let total = total_cents(&event.body);
        if event.kind == Kind::Refund {
            refunds.push(total);
        }
    }
    refunds
}

/// The totals of the refunds, in order.
fn optimized(events: &[Message]) -> Vec<Option<u64>> {
    let mut refunds = Vec::new();
    for event in events {
        if event.kind == Kind::Refund {
            refunds.push(total_cents(&event.body));
        }
    }
    refunds
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sku: &'a str,
    quantity: u64,
    cents: u64,
}

/// The expensive part: the sum in cents of the lines that have a SKU. `None` if the body is invalid or the sum
/// overflows.
fn total_cents(body: &str) -> Option<u64> {
    causes::count(Event::Computation, 1);
    let body: Body = serde_json::from_str(body).ok()?;
    let counted = body.lines.iter().filter(|line| !line.sku.is_empty());
    counted
        .map(|line| line.quantity.checked_mul(line.cents))
        .try_fold(0_u64, |sum, cents| sum.checked_add(cents?))
}

fn body(case: &Case, rng: &mut impl Rng) -> String {
    if case.shape == Shape::Adversarial {
        let hostile = [
            "",
            "{",
            "[]",
            r#"{"lines":[]}"#,
            r#"{"lines":[{"sku":"","quantity":1,"cents":1}]}"#,
            r#"{"lines":[{"sku":"ä","quantity":18446744073709551615,"cents":2}]}"#,
            r#"{"lines":[{"sku":"x","quantity":-1,"cents":2}]}"#,
        ];
        return hostile[rng.random_range(0..hostile.len())].to_owned();
    }
    let line = |_| {
        json!({
            "sku": format!("SKU-{:06}", rng.random_range(0..1_000_000)),
            "quantity": rng.random_range(1..10),
            "cents": rng.random_range(99..100_000),
        })
    };
    let lines: Vec<_> = (0..4).map(line).collect();
    let (order, customer) = (rng.random_range(0..10_000_000), rng.random_range(0..100_000));
    json!({
        "order": order,
        "customer": format!("customer{customer}@example.com"),
        "lines": lines,
        "currency": "EUR",
    })
    .to_string()
}

fn input(case: &Case) -> Vec<Message> {
    let mut rng = case.rng("events");
    let (count, refunds) = share::exact(case, EVENTS);
    let kind = |i: usize| match i {
        i if i < refunds => Kind::Refund,
        i if i % 3 == 0 => Kind::Visit,
        _ => Kind::Sale,
    };
    let mut events: Vec<Message> =
        (0..count).map(|i| Message { kind: kind(i), body: body(case, &mut rng) }).collect();
    if case.shape != Shape::Sorted {
        events.shuffle(&mut rng);
    }
    events
}

fn is_refund(event: &Message) -> bool {
    event.kind == Kind::Refund
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let units = inputs[0].len() as u64;
    Ok(Trial::new(
        inputs.measured(|events| share::percent(events, is_refund)),
        by_ref(&inputs, |events: &Vec<Message>| naive(events)),
        by_ref(&inputs, |events: &Vec<Message>| optimized(events)),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let event = |kind, body: &str| Message { kind, body: body.to_owned() };
        let two =
            r#"{"lines":[{"sku":"a","quantity":2,"cents":50},{"sku":"b","quantity":1,"cents":7}]}"#;
        let events = [
            event(Kind::Sale, two),
            event(Kind::Refund, two),
            event(Kind::Visit, "not JSON"),
            event(Kind::Refund, "not JSON"),
            event(Kind::Refund, r#"{"lines":[]}"#),
            event(
                Kind::Refund,
                r#"{"lines":[{"sku":"a","quantity":18446744073709551615,"cents":2}]}"#,
            ),
        ];
        for refunds in [naive, optimized] {
            assert_eq!(refunds(&events), [Some(107), None, Some(0), None]);
            assert!(refunds(&[]).is_empty());
        }
    }
}
