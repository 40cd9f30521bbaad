//! Read a JSON document of known form: into a struct that borrows its texts, not into a tree of values.

use std::{borrow::Cow, collections::HashSet};

use rand::{Rng, RngExt};
use serde::Deserialize;
use serde_json::{Value, json};

use worthit_pair::prelude::*;

pub const PAIR: Pair = Pair {
    title: "Parse JSON into a struct that borrows",
    review: Review {
        smell: "`let order: Value = serde_json::from_str(document)?`, then `order[\"lines\"][0][\"sku\"].as_str()`, \
                where the fields are known.",
        remedy: "`serde_json::from_str` into a struct that derives `Deserialize`. Its texts are \
                 `#[serde(borrow)] Cow<'a, str>`: a slice of the document, or a copy where an escape had to be \
                 decoded.",
        keep_naive_when: "The form of the document is not known, or it is handed on as it came, with fields that \
                          nobody here knows.",
        costs: "A struct to keep in step with the documents. It judges some documents differently: a key that comes \
                a second time is an error, where `Value` keeps the last one; an array may stand for the struct; and a \
                field that nobody asked for is skipped, with less of a check of its escapes, numbers and depth. The \
                document must outlive the struct. Where it does not, `String`s cost a copy for each text, as in the \
                alternative; so does a Cow without `#[serde(borrow)]`. The peer, sonic_rs, reads the same struct. It \
                chooses its SIMD when it is compiled, so it needs a `target-cpu` that most builds do not set, and has \
                much `unsafe` inside.",
        lint: Lint::None,
    },
    naive: Side { summary: "serde_json::Value, looked up by key", growth: Growth::Linear },
    optimized: Side { summary: "a struct with Cow<str>", growth: Growth::Linear },
    input: "Orders as a shop's web hook sends them, of the stated number of lines. A line has seven fields, of which \
            four are read; one title in ten has an escaped character. The sides add up the lines. Orders alternate.",
    axis: Axis {
        name: "lines",
        unit: "lines",
        is_size: true,
        points: Points::Fixed { default: &[1, 5, 30, 300, 2_000], deep: &[] },
    },
    unit: "line",
    headline: Headline::At { level: "", point: 30 },
    peers: &[SideBeside { name: "sonic_rs", summary: "sonic_rs::from_str into the same struct" }],
    alternatives: &[SideBeside { name: "owned", summary: "a struct with String" }],
    causes: &[Claim {
        cause: causes::ALLOCATIONS,
        // The text of each key, and some of the values.
        naive: Count::AtLeast(|case| 11 * case.point),
        // A title with an escape, and the list, which doubles as it grows.
        optimized: Count::AtMost(|case| 5 + case.point / 3),
    }],
    explanation: Explanation {
        why: "The tree owns a `String` for each key and each text, and a map for each object; all are allocated, \
              filled and freed, also those of fields that nobody reads. The struct keeps a number, or an address and \
              a length, for each field, and skips the others. Both sides look at each character of the document, \
              which is most of the time that is left, so the gain is far below the ratio of allocations. Most of it \
              is the struct and not the borrowing, as the alternative shows.",
        share_of_cause: ShareOfCause::Within(0.01, 0.4),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "no text has an escape",
            reason: "a `&str` would do, and nobody would see that a Cow decodes",
            check: |inputs: &[String]| {
                let escapes: usize = inputs.iter().map(|text| text.matches('\\').count()).sum();
                let all: u64 = inputs.iter().map(|text| lines(text)).sum();
                ensure(escapes as u64 * 20 >= all, || format!("{escapes} escapes, {all} lines"))
            },
            sprung: || vec![r#"{"lines":[{"sku":"A-1","title":"plain"}]}"#.to_owned()],
        },
        &Trap {
            name: "the same order again",
            reason: "the processor would know where each text ends",
            check: |inputs: &[String]| {
                let distinct: HashSet<&String> = inputs.iter().collect();
                let bytes: usize = distinct.iter().map(|text| text.len()).sum();
                ensure(bytes >= 262_144, || format!("{bytes} bytes before they repeat"))
            },
            sprung: || (0..100).map(|_| input(&Case::realistic(30, 0, 1))).collect(),
        },
    ],
    limit: Limit::None(
        "a parser takes some instructions for each character, and no machine number counts those",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 100 },
    prepare,
    ..Pair::DEFAULTS
};

/// What an order comes to. Numbers wrap around.
#[derive(Debug, Default, PartialEq)]
struct Invoice {
    cents: u64,
    bundles: u64,
    /// Bytes of all titles, for the label of the parcel.
    title_bytes: u64,
}

impl Found for Invoice {
    fn found(&self) -> u64 {
        self.cents.found() + self.title_bytes.found()
    }
}

impl Invoice {
    fn add(&mut self, sku: &str, title: &str, quantity: u64, price_cents: u64) {
        self.cents = self.cents.wrapping_add(quantity.wrapping_mul(price_cents));
        self.bundles += u64::from(sku.starts_with("KIT-"));
        self.title_bytes += title.len() as u64;
    }
}

/// Adds up an order; `None` if the document is none.
fn naive(document: &str) -> Option<Invoice> {
    let order: Value = serde_json::from_str(document).ok()?;
    let mut invoice = Invoice::default();
    for line in order["lines"].as_array()? {
        let (sku, title) = (line["sku"].as_str()?, line["title"].as_str()?);
        let (quantity, price) = (line["quantity"].as_u64()?, line["price_cents"].as_u64()?);
        invoice.add(sku, title, quantity, price);
    }
    Some(invoice)
}

#[derive(Deserialize)]
struct Order<'a> {
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    quantity: u64,
    price_cents: u64,
}

/// Adds up an order; `None` if the document is none.
fn optimized(document: &str) -> Option<Invoice> {
    let order: Order = serde_json::from_str(document).ok()?;
    Some(order.invoice())
}

/// Adds up an order; `None` if the document is none.
fn sonic_rs(document: &str) -> Option<Invoice> {
    let order: Order = ::sonic_rs::from_str(document).ok()?;
    Some(order.invoice())
}

impl Order<'_> {
    fn invoice(&self) -> Invoice {
        let mut invoice = Invoice::default();
        for line in &self.lines {
            invoice.add(&line.sku, &line.title, line.quantity, line.price_cents);
        }
        invoice
    }
}

#[derive(Deserialize)]
struct OwnedOrder {
    lines: Vec<OwnedLine>,
}

#[derive(Deserialize)]
struct OwnedLine {
    sku: String,
    title: String,
    quantity: u64,
    price_cents: u64,
}

/// Adds up an order; `None` if the document is none.
fn owned(document: &str) -> Option<Invoice> {
    let order: OwnedOrder = serde_json::from_str(document).ok()?;
    let mut invoice = Invoice::default();
    for line in &order.lines {
        invoice.add(&line.sku, &line.title, line.quantity, line.price_cents);
    }
    Some(invoice)
}

const TITLES: [&str; 8] = [
    "Kettle, enamelled",
    "Desk lamp",
    "Notebook A5, dotted",
    "Bicycle bell",
    "Tea towel",
    "Café au lait bowl",
    "Garden hose 20 m",
    "Screws, box of 200",
];

/// Strings between quotes as they may come, with what a parser may trip over.
const HOSTILE: [&str; 9] = [
    r#""""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u00e9\u0000\uFFFF""#,
    r#""\ud83d\ude00""#,
    r#""🙂 é 日本\u200b""#,
    r#""\ud83d""#,
    "\"a\nb\"",
    "null",
    "7",
];

/// Numbers as they may come.
const NUMBERS: [&str; 9] =
    ["0", "18446744073709551615", "18446744073709551616", "-1", "1.0", "1e2", "-0", "\"3\"", "01"];

/// An order line. Adversarial ones seldom are what the sides expect; see [`HOSTILE`].
fn line(case: &Case, rng: &mut impl Rng) -> String {
    let number = rng.random_range(1..100_000);
    let kind = if rng.random_range(0..8) == 0 { "KIT" } else { "ART" };
    let (mut sku, mut title) =
        (format!("{kind}-{number:05}"), TITLES[rng.random_range(0..8)].to_owned());
    if case.shape == Shape::DuplicateHeavy {
        (sku, title) = ("KIT-1".to_owned(), "the same".to_owned());
    }
    let escaped = if rng.random_range(0..10) == 0 { r#" 3\" wide"# } else { "" };
    let (mut sku, mut title) = (format!("\"{sku}\""), format!("\"{title}{escaped}\""));
    let mut quantity = rng.random_range(1_u64..6).to_string();
    let mut price = match case.shape {
        Shape::Realistic => rng.random_range(100_u64..20_000),
        _ => rng.random(),
    }
    .to_string();
    if case.shape == Shape::Adversarial {
        // One field in some lines, so that some orders are still valid.
        let hostile = HOSTILE[rng.random_range(0..HOSTILE.len())].to_owned();
        let odd = NUMBERS[rng.random_range(0..NUMBERS.len())].to_owned();
        match rng.random_range(0..12) {
            0 => sku = hostile,
            1 => title = hostile,
            2 => quantity = odd,
            3 => price = odd,
            _ => {}
        }
    }
    let gift = rng.random::<bool>();
    let vat = json!({ "rate": 19, "code": "DE" });
    let read =
        format!(r#""sku":{sku},"title":{title},"quantity":{quantity},"price_cents":{price}"#);
    format!(r#"{{{read},"gift":{gift},"vat":{vat},"shelf":"{number:x}"}}"#)
}

fn input(case: &Case) -> String {
    let mut rng = case.rng("order");
    let lines: Vec<String> = (0..case.point).map(|_| line(case, &mut rng)).collect();
    let (id, lines) = (rng.random_range(1..10_000_000), lines.join(","));
    let customer = format!(r#"{{"name":"Ada Example","email":"ada{id}@example.com"}}"#);
    let head = format!(r#""event":"order.placed","id":{id},"customer":{customer}"#);
    let tail = r#""placed_at":"2026-03-14T09:26:53Z","note":null"#;
    let mut document = format!(r#"{{{head},"lines":[{lines}],{tail}}}"#);
    if case.shape == Shape::Adversarial {
        match rng.random_range(0..8) {
            0 => drop(document.pop()),
            1 => document.push('x'),
            2 => document = document.replace(r#""lines":"#, r#""rows":"#),
            3 => document = document.replace(':', " :\t\n "),
            4 => document = document.replace(r#","gift""#, r#","un\u006bnown":[{}],"gift""#),
            _ => {}
        }
    }
    document
}

/// The number of lines in an order, even if it is not valid.
fn lines(document: &str) -> u64 {
    document.matches(r#"{"sku""#).count() as u64
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate((16_384 / case.point.max(1)).clamp(2, 4_096), input);
    let over = |side: fn(&str) -> Option<Invoice>| {
        by_ref(&inputs, move |document: &String| side(document))
    };
    let measured = inputs.measured(|document| lines(document));
    Ok(Trial::new(measured, over(naive), over(optimized))
        .peer(over(sonic_rs))
        .alternative(over(owned))
        .units(case.point))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(document: &str) -> [Option<Invoice>; 4] {
        [naive(document), optimized(document), sonic_rs(document), owned(document)]
    }

    fn invoice(cents: u64, bundles: u64, title_bytes: u64) -> [Option<Invoice>; 4] {
        [(); 4].map(|()| Some(Invoice { cents, bundles, title_bytes }))
    }

    #[test]
    fn known_answers() {
        assert_eq!(all(r#"{"lines":[]}"#), invoice(0, 0, 0));
        let kettle =
            r#"{"sku":"KIT-1","title":"K\u00e9ttle \"XL\"","quantity":2,"price_cents":250}"#;
        let bell = r#"{"price_cents":99,"extra":[{}],"quantity":1,"title":"","sku":"x\n"}"#;
        assert_eq!(all(&format!(r#"{{"a":null,"lines":[{kettle},{bell}]}}"#)), invoice(599, 1, 12));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let with = |field: &str, value: &str| {
            let line = r#"{"sku":"S","title":"T","quantity":1,"price_cents":2}"#;
            let key = format!("\"{field}\":");
            let start = line.find(&key).expect("a field") + key.len();
            let end = start + line[start..].find([',', '}']).expect("an end");
            all(&format!(r#"{{"lines":[{}{value}{}]}}"#, &line[..start], &line[end..]))
        };
        assert_eq!(with("sku", "\"KIT-\""), invoice(2, 1, 1));
        for (field, value) in [
            ("sku", "null"),
            ("title", "5"),
            ("title", r#""\ud800""#),
            ("quantity", "1.0"),
            ("quantity", "-1"),
            ("price_cents", "18446744073709551616"),
            ("price_cents", "\"2\""),
        ] {
            assert_eq!(with(field, value), [None, None, None, None], "{field}: {value}");
        }
        for document in ["", "7", "{}", r#"{"lines":7}"#, r#"{"lines":[7]}"#, r#"{"lines":[]}}"#] {
            assert_eq!(all(document), [None, None, None, None], "{document}");
        }
    }

    #[test]
    fn the_struct_judges_these_documents_differently_as_the_card_says() {
        let twice = r#"{"lines":[],"lines":[]}"#;
        assert_eq!((naive(twice).is_some(), optimized(twice)), (true, None));
        let deep = format!(r#"{{"lines":[],"skipped":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for lenient in [&deep, r#"{"lines":[],"skipped":"\ud800"}"#, "[[]]"] {
            assert_eq!((naive(lenient), optimized(lenient).is_some()), (None, true), "{lenient}");
        }
    }
}
