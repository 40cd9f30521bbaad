//! Make a default only where it is needed: hand over the function, not its result.

use rand::{RngExt, seq::SliceRandom};

use crate::fixtures::share;
use worthit_pair::prelude::*;

/// Products in one iteration; a multiple of 100, so that each share is exact.
const PRODUCTS: u64 = 1_000;

const DEFAULTS_MADE: Cause =
    Cause::new("defaults_made", "defaults made").counted("with a function that counts its calls");

pub const PAIR: Pair = Pair {
    title: "Make a default when it is needed",
    review: Review {
        smell: "`label.unwrap_or(default_label(product))`, `or(fallback())`, `ok_or(format!(\"…\"))`, \
                `map.entry(key).or_insert(build())`: the argument is computed before the method is called, whether or \
                not it is used.",
        remedy: "Hand over a closure: `unwrap_or_else(|| default(product))`. The other methods have such a form, too; \
                 its name ends in else or with.",
        keep_naive_when: "The default is a constant, a number or an empty collection, which cost nothing to make: then \
                          `unwrap_or` or `unwrap_or_default` says the same in fewer words. Or nearly every value is \
                          missing.",
        costs: "None beyond a closure to read. If the function has effects, they now happen only where the default is \
                used.",
        lint: Lint::Switched("clippy::or_fun_call", "clippy::nursery"),
    },
    naive: Side {
        summary: "unwrap_or with a call",
        growth: Growth::Other("falls a little, as fewer labels are copied"),
    },
    optimized: Side {
        summary: "unwrap_or_else with a closure",
        growth: Growth::Other("rises with the share of missing values"),
    },
    input: "1,000 products, of which exactly the stated share has no label of its own, at random places. The default \
            is formatted from brand, name and volume. Lists of products alternate.",
    axis: Axis {
        name: "share missing",
        unit: "%",
        is_size: false,
        points: Points::Fixed { default: &[1, 10, 50, 90, 100], deep: &[] },
    },
    unit: "product",
    headline: Headline::At { level: "", point: 10 },
    causes: &[
        Claim {
            cause: DEFAULTS_MADE,
            naive: Count::Exactly(|_| PRODUCTS),
            optimized: Count::Exactly(|case| PRODUCTS * case.point / 100),
        },
        Claim {
            cause: causes::ALLOCATIONS,
            // A label that is there is copied, too.
            naive: Count::AtLeast(|case| PRODUCTS + PRODUCTS * (100 - case.point) / 100),
            // The list, a copy of each label, and up to four steps of growth while a default is formatted.
            optimized: Count::AtMost(|case| {
                1 + PRODUCTS * (100 - case.point) / 100 + PRODUCTS * 4 * case.point / 100
            }),
        },
    ],
    explanation: Explanation {
        why: "The compiler cannot see that formatting has no side effects, so it leaves out no call whose result is \
              dropped: the naive side formats, allocates and frees a default for each product. The optimized side \
              does so only for those without a label. The labels that are there are copied on both sides, and that \
              keeps the gain below the ratio of defaults.",
        share_of_cause: ShareOfCause::Within(0.15, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::From(100),
    },
    traps: &[
        &Trap {
            name: "a predictor knows who has a label",
            reason: "the optimized side has a branch on it, which costs little only where it can be predicted",
            check: |inputs: &[Vec<Product>]| {
                share::unpredictable(inputs.iter().map(|i| i.iter().map(lacks_label).collect()))
            },
            sprung: || {
                let sorted = |turn| {
                    let mut products = input(&Case { turn, ..Case::realistic(50, 0, 1) });
                    products.sort_by_key(lacks_label);
                    products
                };
                (0..8).map(sorted).collect()
            },
        },
        &Trap {
            name: "the default costs nothing",
            reason: "an empty text is made without an allocation, and the sides would be the same",
            check: |inputs: &[Vec<Product>]| {
                let empty =
                    inputs.iter().flatten().find(|p| p.brand.is_empty() || p.name.is_empty());
                ensure(empty.is_none(), || format!("{empty:?}"))
            },
            sprung: || {
                vec![vec![Product {
                    label: None,
                    brand: String::new(),
                    name: String::new(),
                    millilitres: 0,
                }]]
            },
        },
    ],
    limit: Limit::None(
        "copying labels takes most of the time where few are missing, and no machine number bounds an allocation",
    ),
    proof: Proof { resources: Resources::Memory, max_size: 300 },
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Product {
    label: Option<String>,
    brand: String,
    name: String,
    millilitres: u32,
}

/// The label of each product; `default` is [`default_label`] when timed.
#[expect(clippy::or_fun_call, reason = "the smell that the card describes")]
fn naive(products: &[Product], default: impl Fn(&Product) -> String) -> Vec<String> {
    let label = |product: &Product| product.label.clone().unwrap_or(default(product));
    products.iter().map(label).collect()
}

/// The label of each product; `default` is [`default_label`] when timed.
fn optimized(products: &[Product], default: impl Fn(&Product) -> String) -> Vec<String> {
    let label = |product: &Product| product.label.clone().unwrap_or_else(|| default(product));
    products.iter().map(label).collect()
}

fn default_label(product: &Product) -> String {
    format!("{} {}, {} ml", product.brand, product.name, product.millilitres)
}

/// The default, and that it is made is noted.
fn noted(product: &Product) -> String {
    note();
    default_label(product)
}

fn input(case: &Case) -> Vec<Product> {
    const BRANDS: [&str; 6] =
        ["Alpenhof", "Nordwind", "Sonnentor", "Bergquell", "Taufrisch", "Gut Lindau"];
    const NAMES: [&str; 6] =
        ["apple juice", "olive oil", "oat milk", "lemonade", "still water", "maple syrup"];
    const HOSTILE: [&str; 4] = ["", "{}", "äöü\u{0}", "🍎🍏"];
    let mut rng = case.rng("products");
    let (count, missing) = share::exact(case, PRODUCTS);
    let mut text = |usual: &[&str]| match case.shape {
        Shape::Adversarial => HOSTILE[rng.random_range(0..HOSTILE.len())].to_owned(),
        Shape::DuplicateHeavy => usual[0].to_owned(),
        _ => usual[rng.random_range(0..usual.len())].to_owned(),
    };
    let mut products = Vec::with_capacity(count);
    for i in 0..count {
        let (brand, name) = (text(&BRANDS), text(&NAMES));
        let label = (i >= missing).then(|| format!("{name} no. {}", i * 7_919 % 1_000));
        products.push(Product { label, brand, name, millilitres: 0 });
    }
    for product in &mut products {
        product.millilitres =
            if case.shape == Shape::Adversarial { u32::MAX } else { rng.random_range(20..5_000) };
    }
    if case.shape != Shape::Sorted {
        products.shuffle(&mut rng);
    }
    products
}

fn lacks_label(product: &Product) -> bool {
    product.label.is_none()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let inputs = case.rotate(8, input);
    let units = inputs[0].len() as u64;
    Ok(Trial::new(
        inputs.measured(|products| share::percent(products, lacks_label)),
        by_ref(&inputs, |products: &Vec<Product>| naive(products, default_label))
            .counting(DEFAULTS_MADE, noting(&inputs, |products| naive(products, noted))),
        by_ref(&inputs, |products: &Vec<Product>| optimized(products, default_label))
            .counting(DEFAULTS_MADE, noting(&inputs, |products| optimized(products, noted))),
    )
    .units(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let product = |label: Option<&str>| Product {
            label: label.map(str::to_owned),
            brand: "Alpenhof".to_owned(),
            name: "oat milk".to_owned(),
            millilitres: 750,
        };
        let products = [product(None), product(Some("house brand")), product(Some(""))];
        let expected = ["Alpenhof oat milk, 750 ml", "house brand", ""];
        assert_eq!(naive(&products, default_label), expected);
        assert_eq!(optimized(&products, default_label), expected);
        assert!(naive(&[], default_label).is_empty() && optimized(&[], default_label).is_empty());
    }
}
