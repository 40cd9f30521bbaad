//! Visits of one customer: what he asks for, one request after another, and what he is shown.

use rand::RngExt;

use super::{
    warehouse::{Ordered, Size},
    wire::{Answer, Ask},
};
use crate::fixtures::zipf::Zipf;
use worthit_pair::{
    answer::Found,
    case::{Case, Shape, fnv1a},
};

/// What a customer asks for, one request after another.
pub type Visit = Vec<Ask>;

/// The visit of a case, of as many requests as its point says.
pub fn visit(case: &Case, size: Size) -> Visit {
    let mut rng = case.rng("visit");
    let category = 1 + Zipf::new(size.categories as usize, 4).sample(&mut rng) as u64;
    let product = size.product_of(category, rng.random_range(0..size.products));
    let quantity = rng.random_range(1..=2);
    let add = Ask::Add { product, quantity };
    let page = Ask::Page(category);
    let image = Ask::Image { edition: 0, product };
    // Somebody looks, buys, looks what is left, and buys again.
    let usual =
        [page, image, add, Ask::Checkout, page, Ask::Orders, add, Ask::Basket, Ask::Checkout];
    let requests = case.point as usize;
    if case.shape == Shape::Realistic {
        return usual.into_iter().cycle().take(requests).collect();
    }
    let values = case.values(2 * requests);
    // Some categories and products are others, and some do not exist.
    let any = |value: u64| match case.shape {
        Shape::Adversarial if value.is_multiple_of(2) => value,
        _ => value % (size.products + 3),
    };
    let ask = |values: &[u64]| match values[0] % 9 {
        0 => Ask::Page(any(values[1])),
        1 => Ask::Image { edition: 0, product: any(values[1]) },
        2 => Ask::Add { product: any(values[1]), quantity: values[1] % 4 },
        3 => Ask::Add { product: 1 + values[1] % size.products, quantity: 1 },
        4 => Ask::Add { product, quantity: size.stock + values[1] % 2 },
        5 => Ask::Basket,
        6 => Ask::Orders,
        _ => Ask::Checkout,
    };
    values.chunks(2).map(ask).collect()
}

/// What a customer was shown, without the ids of orders, which differ between steps.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub status: u16,
    pub text: String,
}

impl Shown {
    pub fn of(ask: Ask, answer: &Answer) -> Shown {
        let text = match ask {
            Ask::Image { .. } if answer.status == 200 => {
                format!("picture {:x}", fnv1a(answer.body.iter().copied()))
            }
            _ => without_ids(&String::from_utf8_lossy(&answer.body)),
        };
        Shown { status: answer.status, text }
    }
}

/// Leaves out numbers after `#`.
pub fn without_ids(text: &str) -> String {
    let mut parts = text.split('#');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "#" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// What a visit leaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub shown: Vec<Shown>,
    /// How much of each product is gone.
    pub sold: Vec<(i64, i64)>,
    pub orders: Vec<Ordered>,
    /// Products and numbers in baskets.
    pub baskets: Vec<(i64, i64)>,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        let right = self.shown.iter().filter(|shown| shown.status == 200).count();
        (right + self.orders.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_and_nothing_else() {
        assert_eq!(without_ids("Order #17: 3\nOrder #1: 4"), "Order #: 3\nOrder #: 4");
        assert_eq!(without_ids("no id 5"), "no id 5");
    }

    #[test]
    fn products_are_those_of_their_category() {
        let size = Size { products: 11, categories: 3, stock: 1, customers: 0 };
        for category in 1..=3 {
            for nth in 0..20 {
                let product = size.product_of(category, nth);
                assert!((1..=11).contains(&product) && 1 + product % 3 == category, "{product}");
            }
        }
    }
}
