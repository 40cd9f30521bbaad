//! The bank: a transfer that does everything while its customer waits.

mod branch;
mod connection;
mod file;
mod function;
mod indexes;
mod join;
mod outbox;
mod outside;
mod pool;
mod report;
mod store;
mod teller;

use std::{
    cell::RefCell,
    panic::resume_unwind,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use rand::RngExt;

use crate::fixtures::postgres::SERVER_PAGES;
use branch::{Branch, Size, email, iban};
use store::Engine;
use teller::{Booked, Receipt, Teller, Transfer};
use worthit_pair::{
    prelude::*,
    study::{self, Application, Applied, StandIn, Study},
};

/// The study.
pub const STUDY: Study = Study {
    title: "Book a transfer in milliseconds",
    story: "A bank's web application books transfers. It was written for a few hundred accounts, and each wish since was \
            added where it was easiest: in the request.",
    workload: "One customer at a time transfers money from one of 800 active accounts to any of 200,000, and gets a receipt \
               with the last 400 lines of the account, each with the name of the other side. 100,000 customers, 400,000 \
               entries. The card network and the mail provider are told of each transfer; they are simulated, by servers on \
               loopback that answer after 800 and 400 ms.",
    contract: "The same receipt, the same balances and entries, and each notice taken exactly once, whichever fixes are in \
               place. A notice may arrive a second time if a worker died; its receiver takes it once.",
    unit: "transfer",
    size: 400,
    fixes: &[&pool::FIX, &indexes::FIX, &join::FIX, &report::FIX, &outbox::FIX, &function::FIX],
    other_order: &[
        &outbox::FIX,
        &report::FIX,
        &join::FIX,
        &indexes::FIX,
        &function::FIX,
        &pool::FIX,
    ],
    waits: &outside::WAITS,
    servers: &[Program::Postgres],
    instead: Some(StandIn { name: "SQLite", version: rusqlite::version }),
    causes: &[SENT, CONNECTS, AWAITED],
    // Rows that were changed and taken back lie on pages until they are vacuumed.
    observations: &[SERVER_PAGES],
    loads: None,
    helper: None,
    prepare,
};

const SENT: Cause =
    Cause::new("sent_statements", "statements sent").counted("by the program, which sends them");
const CONNECTS: Cause =
    Cause::new("connects", "connections opened").counted("by the program, which opens them");
const AWAITED: Cause = Cause::new("awaited_notices", "notices waited for")
    .counted("by the program, where a request waits for a receiver");

/// Transfers to rotate through: enough that no step repeats one, its warm-up included.
const TRANSFERS: u64 = 256;
/// Share of the receivers' delays in proofs.
const DELAYS_IN_PROOFS: f64 = 0.001;

/// What a request leaves.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    receipt: Receipt,
    /// Accounts whose balance changed, and by how much.
    balances: Vec<(String, i64)>,
    /// Entries of the transfer: account, cents, memo, the other side.
    entries: Vec<(i64, i64, String, String)>,
    /// The texts of the notices that were taken.
    notices: Vec<String>,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        (self.receipt.history.len() + self.entries.len() + self.notices.len()) as u64
    }
}

/// A teller at a branch, and what the last request got.
struct Counter {
    branch: Rc<RefCell<Branch>>,
    teller: Rc<Teller>,
    receipt: Option<Receipt>,
}

impl Counter {
    fn serve(&mut self, transfer: &Transfer) {
        let runtime = self.branch.borrow().runtime();
        self.receipt = Some(runtime.block_on(self.teller.serve(transfer)));
    }

    fn outcome(&mut self) -> Outcome {
        let branch = self.branch.borrow();
        let mut receipt = self.receipt.take().expect("a request was served");
        let ids: Vec<i64> = match &mut receipt.booked {
            // Ids differ between steps.
            Booked::Yes { id, .. } => vec![std::mem::take(id)],
            _ => Vec::new(),
        };
        let entries = "SELECT account, cents, memo, counterparty FROM entries
                       WHERE transfer IS NOT NULL ORDER BY id";
        let entries = branch.store.rows(entries);
        Outcome {
            receipt,
            balances: branch.changed_balances(),
            entries: entries
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
                .collect(),
            notices: branch
                .receivers
                .taken(&ids)
                .unwrap_or_else(|Unavailable(reason)| panic!("{reason}")),
        }
    }
}

/// A transfer: a good one as it occurs, or any.
fn transfer(case: &Case, size: Size) -> Transfer {
    let mut rng = case.rng("transfer");
    let lines = case.point as i64;
    let from = size.active_account(rng.random_range(0..size.active));
    // To any other account.
    let to = 1 + (from + rng.random_range(0..size.accounts - 1)) % size.accounts;
    let good = Transfer {
        email: email(from),
        from: iban(from),
        to: iban(to),
        cents: rng.random_range(1..=10_000),
        memo: format!("Invoice {}", rng.random_range(1..1_000_000)),
        lines,
    };
    if case.shape == Shape::Realistic {
        return good;
    }
    let values = case.values(3);
    // Some logins and accounts are others, and some do not exist.
    let any = |value: u64| value % (size.accounts + 3);
    match values[0] % 8 {
        0 => Transfer { email: email(any(values[1])), ..good },
        1 => Transfer { to: iban(any(values[1])), ..good },
        2 => Transfer { from: iban(any(values[1])), ..good },
        3 => Transfer { to: good.from.clone(), ..good },
        4 => Transfer { cents: branch::OPENING + (values[2] % 3) as i64 - 1, ..good },
        5 => Transfer { memo: "'; DROP TABLE \"x\" \\ ü 🦀 %s".to_owned(), ..good },
        6 => Transfer { memo: String::new(), ..good },
        _ => good,
    }
}

fn prepare(case: &Case, steps: &[Applied]) -> Result<Application, Unavailable> {
    let engine = match STUDY.stand_in() {
        Some(_) => Engine::Sqlite,
        None => Engine::Postgres,
    };
    prepare_on(engine, case, steps)
}

fn prepare_on(engine: Engine, case: &Case, steps: &[Applied]) -> Result<Application, Unavailable> {
    let size = Size::of(case);
    let transfers = case.rotate(TRANSFERS, |case| transfer(case, size));
    let delays = if case.proof_size.is_some() { DELAYS_IN_PROOFS } else { 1.0 };
    let open = |indexes| Branch::open(engine, size, indexes, delays);
    // To fill one takes a while, in which a second core can fill the other.
    let (bare, indexed) = thread::scope(|scope| {
        let indexed = scope.spawn(|| open(indexes::after()));
        (open(indexes::before()), indexed.join())
    });
    let indexed = indexed.unwrap_or_else(|panic| resume_unwind(panic));
    let branches = [bare?, indexed?].map(|branch| Rc::new(RefCell::new(branch)));
    let branch_of = |applied: &Applied| &branches[usize::from(applied.has(&indexes::FIX))];
    let teller =
        |applied: &Applied| Ok(Rc::new(branch_of(applied).borrow().teller(applied.clone())?));
    let tellers = steps.iter().map(teller).collect::<Result<Vec<_>, Unavailable>>()?;
    let step = |(applied, teller): (&Applied, &Rc<Teller>)| {
        let counter = Counter {
            branch: Rc::clone(branch_of(applied)),
            teller: Rc::clone(teller),
            receipt: None,
        };
        changing(
            &transfers,
            counter,
            |counter| {
                if let Err(unavailable) = counter.branch.borrow().undo() {
                    panic!("{unavailable}");
                }
            },
            Counter::serve,
            Counter::outcome,
        )
    };
    let steps = steps.iter().zip(&tellers).map(step).collect();
    let trial = study::trial(transfers.measured(|transfer| transfer.lines as u64), steps);
    let count = move || {
        let of_tellers = |counter: fn(&Teller) -> &AtomicU64| {
            tellers.iter().map(|teller| counter(teller).load(Relaxed)).sum()
        };
        let mut counts = vec![
            of_tellers(|teller| &teller.tally.statements),
            of_tellers(|teller| &teller.connects),
            of_tellers(|teller| &teller.awaited),
        ];
        let pages = branches.iter().map(|branch| branch.borrow().store.pages());
        counts.extend(pages.sum::<Option<u64>>());
        counts
    };
    Ok(Application { trial, count: Box::new(count), memory: None })
}

#[cfg(test)]
mod tests;
