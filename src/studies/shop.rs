//! The shop: a sale brings a hundred times as many customers as there ever were.

mod application;
mod asynchronous;
mod balancer;
mod browser;
mod cache;
mod cdn;
mod checkout;
mod crowd;
mod plan;
mod premises;
mod provider;
mod queue;
mod replica;
mod server;
mod statements;
#[cfg(test)]
mod tests;
mod visit;
mod warehouse;
mod wire;

use std::{cell::RefCell, rc::Rc, time::Duration};

use crate::fixtures::postgres::SERVER_PAGES;
use crowd::Customers;
use plan::Scale;
use premises::{MEASURED, Manner, Premises};
use visit::{Outcome, Shown, Visit, visit, without_ids};
use warehouse::{Size, Warehouse};
use wire::{Ask, Session};
use worthit_pair::{
    helper::{self, Control},
    prelude::*,
    study::{self, Application, Applied, Pace, SimulatedWait, Study, UserLoads},
};

/// The study.
pub const STUDY: Study = Study {
    title: "Hold a sale",
    story: "An online shop was written for a thousand customers: a thread for each connection, everything asked of \
            the database, and all of it in the request. It ran well for years. Then a sale brings far more, and \
            the site is gone.",
    workload: "2,000 products in 50 categories, 40,000 reviews, pictures of 2 to 20 KiB. Each customer opens a \
               connection before the load and keeps it, and asks every 30 s on average, at random: 60 % pages of a category (by Zipf's law), 30 % \
               pictures, 7 % something with the basket, 3 % checkouts, each followed by the list of orders. A customer who \
               gets no connection, or no answer, within 2 s fails. Customers of one process share connections to the edge \
               that sends pictures: it is near and has room, but a process may hold 20,000 descriptors. One request after \
               another, a request is a page and one of its pictures. The mail provider is simulated, by a server on \
               loopback that answers after 100 to 150 ms; only checkouts wait for it. Customers and servers are processes \
               on the same cores.",
    contract: "No stock below zero and nothing sold twice. Every order that a customer was told of is in the \
               database, with exactly one mail (a mail may arrive twice if a worker died; the provider takes it once). \
               The same pages, whichever fixes are in place: stock and stars may be up to ten seconds old, and as much \
               more as a replica is behind, but never older than the customer's own last purchase.",
    unit: "page and picture",
    size: 2,
    fixes: &[
        &asynchronous::FIX,
        &cache::FIX,
        &cdn::FIX,
        &queue::FIX,
        &replica::FIX,
        &balancer::FIX,
    ],
    other_order: &[
        &balancer::FIX,
        &replica::FIX,
        &queue::FIX,
        &cdn::FIX,
        &cache::FIX,
        &asynchronous::FIX,
    ],
    waits: &[SimulatedWait {
        on: "the mail provider",
        ms: provider::DELAY_MS.0.midpoint(provider::DELAY_MS.1),
        only: "checkout",
        until: &queue::FIX,
    }],
    servers: &[Program::PostgresReplica, Program::Nginx],
    instead: None,
    causes: &[SENT, FILES, AWAITED],
    // Pages are also read for what is made in the background.
    observations: &[SERVER_PAGES],
    loads: Some(UserLoads {
        users: &[1_000, 5_000, 10_000],
        deep: &[100_000],
        p99: Duration::from_millis(200),
        pace: Pace::Thinking(Duration::from_secs(30)),
    }),
    helper: Some(help),
    prepare,
};

const SENT: Cause = Cause::new("sent_statements", "statements sent")
    .counted("by the servers of the shop, which send them");
const FILES: Cause = Cause::new("files_read", "files read by the application")
    .counted("by the servers of the shop, which read them");
const AWAITED: Cause = Cause::new("awaited_mails", "mails waited for")
    .counted("by the servers of the shop, where a request waits for the provider");

/// Visits to rotate through.
const VISITS: u64 = 64;

/// Threads of a server that has one for each connection.
const THREADS: usize = 1_000;
/// Connections of a server to each database.
const POOL: usize = 16;

/// In a proof, everything is smaller, runs in this process, and makes no page in the background.
const PROOF: Manner =
    Manner { scale: Scale { threads: 8, pool: 4, is_warm: false }, has_processes: false };
/// Share of the provider's delays in proofs.
const DELAYS_IN_PROOFS: f64 = 0.001;

/// A customer of one step, and what he was shown.
struct Customer {
    premises: Rc<RefCell<Premises>>,
    step: usize,
    /// Whether each visit finds the shop as it was at first.
    is_restored: bool,
    /// The turn of the step at the last visit.
    turn: u64,
    shown: Vec<Shown>,
}

impl Customer {
    fn new(premises: &Rc<RefCell<Premises>>, step: usize, is_restored: bool) -> Customer {
        Customer { premises: Rc::clone(premises), step, is_restored, turn: 0, shown: Vec::new() }
    }

    /// Makes the step run, and takes back what the last visit did.
    fn reset(&mut self) -> Result<(), Unavailable> {
        let premises = &mut *self.premises.borrow_mut();
        let turn = premises.at(self.step)?.turn;
        if self.is_restored && turn == self.turn {
            let seen = premises.warehouse.restore()?;
            premises.at(self.step)?.browser.begin(Session { customer: MEASURED, seen });
        }
        self.turn = turn;
        self.shown.clear();
        Ok(())
    }

    fn visit(&mut self, visit: &Visit) {
        let premises = &mut *self.premises.borrow_mut();
        let runtime = std::sync::Arc::clone(&premises.warehouse.database.runtime);
        let running = found(premises.at(self.step));
        let edition = running.places.edition;
        for ask in visit {
            let ask = match *ask {
                Ask::Image { product, .. } => Ask::Image { edition, product },
                other => other,
            };
            let answer = runtime.block_on(running.browser.ask(ask));
            let answer = answer.unwrap_or_else(|no| panic!("the shop does not answer: {}", no.0));
            self.shown.push(Shown::of(ask, &answer));
        }
    }

    fn outcome(&mut self) -> Outcome {
        let warehouse = &self.premises.borrow().warehouse;
        let mut orders = found(warehouse.orders());
        for order in &mut orders {
            order.mail = without_ids(&order.mail);
        }
        let baskets = "SELECT product, quantity FROM baskets ORDER BY customer, product LIMIT 100";
        let baskets = warehouse.database.rows(baskets);
        Outcome {
            shown: std::mem::take(&mut self.shown),
            sold: warehouse.sold(),
            orders,
            baskets: baskets.iter().map(|row| (row.get(0), row.get(1))).collect(),
        }
    }
}

/// Unwraps a result where requests are measured one after another, which cannot pass an error on.
///
/// # Panics
/// With the reason of the error.
fn found<T>(result: Result<T, Unavailable>) -> T {
    result.unwrap_or_else(|Unavailable(reason)| panic!("{reason}"))
}

fn prepare(case: &Case, steps: &[Applied]) -> Result<Application, Unavailable> {
    let is_proof = case.proof_size.is_some();
    let has_processes = helper::is_available();
    let scale = Scale { threads: THREADS, pool: POOL, is_warm: true };
    let manner = if is_proof { PROOF } else { Manner { scale, has_processes } };
    let size = Size::of(case);
    let delays = if is_proof { DELAYS_IN_PROOFS } else { 1.0 };
    application(case, steps, Warehouse::open(case, size, delays)?, manner)
}

/// The application with the steps in a shop that is there.
fn application(
    case: &Case,
    steps: &[Applied],
    warehouse: Warehouse,
    manner: Manner,
) -> Result<Application, Unavailable> {
    let size = warehouse.size;
    let visits = case.rotate(VISITS, |case| visit(case, size));
    let premises = Rc::new(RefCell::new(Premises::new(warehouse, steps, manner)));
    let side = |step| {
        changing(
            &visits,
            Customer::new(&premises, step, case.proof_size.is_some()),
            |customer: &mut Customer| {
                found(customer.reset());
            },
            Customer::visit,
            Customer::outcome,
        )
    };
    let sides = (0..steps.len()).map(side).collect();
    let mut trial = study::trial(visits.measured(|visit| visit.len() as u64), sides);
    for step in 0..steps.len() {
        trial = trial.loads_of(study::role(step, steps.len()), Customers::of(&premises, step));
    }
    let (counted, held) = (Rc::clone(&premises), premises);
    let count = move || {
        let premises = &mut *counted.borrow_mut();
        let mut counts = found(premises.counts()).to_vec();
        counts.push(premises.warehouse.database.pages() + premises.warehouse.replica.pages());
        counts
    };
    let memory = move |step| held.borrow().memory(step);
    Ok(Application { trial, count: Box::new(count), memory: Some(Box::new(memory)) })
}

/// What a process does that this study has started: it is a server of the shop, or has customers.
fn help(mut control: Control) {
    let Some(line) = control.hear() else { return };
    match line.split_once(' ') {
        Some(("serve", plan)) => server::serve(plan, &mut control),
        Some(("users", crowd)) => crowd::send(crowd, &mut control),
        _ => control.tell("it is told neither to serve nor to have users"),
    }
}
