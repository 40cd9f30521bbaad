//! The checkout: from the basket to the order, or to nothing.

use std::sync::atomic::Ordering::Relaxed;

use deadpool_postgres::{Object, PoolError};

use super::{application::Shop, provider::MAIL, queue};
use crate::fixtures::outside::Notice;

/// What became of a checkout.
pub enum Bought {
    /// The basket was empty.
    Nothing,
    /// There is not as much of this product as the basket holds.
    SoldOut(i64),
    Order {
        order: i64,
        mail: Notice,
    },
}

/// Sells what is in a customer's basket, all or nothing.
pub async fn sell(shop: &Shop, client: &mut Object, customer: u64) -> Result<Bought, PoolError> {
    let (statements, customer) = (&*shop.statements, customer as i64);
    // Its begin and its end. It is rolled back when it is dropped.
    shop.tally.statements.fetch_add(2, Relaxed);
    let order = client.transaction().await?;
    // Locked, so that two checkouts of one basket are one after the other.
    let lines = statements.query(&order, &statements.lines, &[&customer]).await?;
    let lines: Vec<(i64, i64)> = lines.iter().map(|row| (row.get(0), row.get(1))).collect();
    if lines.is_empty() {
        return Ok(Bought::Nothing);
    }
    let mut taken = Vec::new();
    // In the order of their ids, as everybody does, so that nobody waits for somebody who waits for him.
    for (product, quantity) in &lines {
        let row = statements.query_opt(&order, &statements.take, &[product, quantity]).await?;
        let Some(row) = row else { return Ok(Bought::SoldOut(*product)) };
        taken.push((*product, *quantity, row.get::<_, i64>(0)));
    }
    let id: i64 = statements.query_one(&order, &statements.order, &[&customer]).await?.get(0);
    for (product, quantity, cents) in &taken {
        statements.execute(&order, &statements.line, &[&id, product, quantity, cents]).await?;
    }
    statements.execute(&order, &statements.empty, &[&customer]).await?;
    let things: i64 = lines.iter().map(|(_, quantity)| quantity).sum();
    let text = format!("Dear customer {customer}, we have your order #{id} of {things} items.");
    let mail = Notice { to: MAIL.to_owned(), key: id, text };
    if shop.plan.fixes.queue {
        queue::after(&order, statements, &mail).await?;
    }
    order.commit().await?;
    Ok(Bought::Order { order: id, mail })
}
