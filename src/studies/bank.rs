//! The bank: a transfer that does everything while its customer waits.

mod branch;
mod connection;
mod function;
mod indexes;
mod join;
mod outbox;
mod outside;
mod pool;
mod report;
mod teller;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rand::RngExt;

use crate::fixtures::postgres::{Database, SERVER_PAGES};
use branch::{Branch, Size, email, iban};
use teller::{Booked, Receipt, Teller, Transfer};
use worthit_pair::{
    prelude::*,
    study::{self, Application, Applied, Study},
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
               place. A notice may arrive a second time if a worker died; its receiver knows it again.",
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
        let entries = branch.database.rows(entries);
        Outcome {
            receipt,
            balances: branch.changed_balances(),
            entries: entries
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
                .collect(),
            notices: branch.receivers.taken(&ids),
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
    let size = Size::of(case);
    let transfers = case.rotate(TRANSFERS, |case| transfer(case, size));
    let delays = if case.proof_size.is_some() { DELAYS_IN_PROOFS } else { 1.0 };
    let open = |indexes| Ok(Rc::new(RefCell::new(Branch::open(size, indexes, delays)?)));
    let branches = [open(indexes::before())?, open(indexes::after())?];
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
        let of_branches = |read: fn(&Database) -> u64| {
            branches.iter().map(|branch| read(&branch.borrow().database)).sum()
        };
        let of_tellers = |counter: fn(&Teller) -> &AtomicU64| {
            tellers.iter().map(|teller| counter(teller).load(Relaxed)).sum()
        };
        vec![
            of_tellers(|teller| &teller.tally.statements),
            of_tellers(|teller| &teller.connects),
            of_tellers(|teller| &teller.awaited),
            of_branches(Database::pages),
        ]
    };
    Ok(Application { trial, count: Box::new(count), memory: None })
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use worthit_pair::proof::has_servers;

    /// A small bank with its indexes.
    fn small() -> (Size, Branch) {
        let size = Size { accounts: 8, active: 4, entries: 40 };
        (size, Branch::open(size, indexes::after(), DELAYS_IN_PROOFS).unwrap())
    }

    fn of(from: u64, to: u64, cents: i64) -> Transfer {
        Transfer {
            email: email(from),
            from: iban(from),
            to: iban(to),
            cents,
            memo: "rent".to_owned(),
            lines: 2,
        }
    }

    #[test]
    fn known_answers() {
        if !has_servers(STUDY.servers, "studies/bank") {
            return;
        }
        let (_, branch) = small();
        let branch = Rc::new(RefCell::new(branch));
        for applied in [Applied::default(), Applied::steps(STUDY.fixes).pop().unwrap()] {
            branch.borrow().undo().unwrap();
            let teller = Rc::new(branch.borrow().teller(applied).unwrap());
            let mut counter = Counter { branch: Rc::clone(&branch), teller, receipt: None };
            for (transfer, why) in [
                (Transfer { email: email(3), ..of(1, 3, 5) }, Booked::NotYours),
                (Transfer { email: "nobody".to_owned(), ..of(1, 3, 5) }, Booked::NotYours),
                (of(1, 99, 5), Booked::NoSuchAccount),
                (of(99, 1, 5), Booked::NoSuchAccount),
                (of(1, 1, 5), Booked::NoSuchAccount),
                (of(1, 3, branch::OPENING + 1), Booked::NoFunds),
            ] {
                counter.serve(&transfer);
                let outcome = counter.outcome();
                assert_eq!(outcome.receipt.booked, why);
                assert_eq!((outcome.balances, outcome.entries.len()), (vec![], 0));
            }
            counter.serve(&of(1, 3, 250));
            let outcome = counter.outcome();
            assert_eq!(outcome.receipt.history.len(), 2);
            assert_eq!(
                outcome.receipt.booked,
                Booked::Yes { id: 0, balance: branch::OPENING - 250 }
            );
            assert_eq!(outcome.balances, [(iban(1), -250), (iban(3), 250)]);
            let entry = |account, cents, other| (account, cents, "rent".to_owned(), iban(other));
            assert_eq!(outcome.entries, [entry(1, -250, 3), entry(3, 250, 1)]);
            assert_eq!(
                outcome.notices,
                [format!("{} 250", iban(1)), format!("{} {}", email(1), iban(3))]
            );
            assert!(outcome.found() > 0);
        }
    }

    #[test]
    fn each_fix_takes_away_its_cause() {
        if !has_servers(STUDY.servers, "studies/bank") {
            return;
        }
        let (lines, requests) = (8, 3);
        let case = Case { proof_size: Some(50), ..Case::realistic(lines, 0, 42) };
        let steps = Applied::steps(STUDY.fixes);
        let mut application = prepare(&case, &steps).unwrap();
        let mut counts = Vec::new();
        for step in 0..steps.len() {
            let before = (application.count)();
            for _ in 0..requests {
                application.trial.measure(study::role(step, steps.len()), 1);
            }
            let after = (application.count)();
            let of_request = before.iter().zip(&after).map(|(before, after)| {
                assert_eq!((after - before) % requests, 0, "each request counts the same");
                (after - before) / requests
            });
            counts.push(of_request.take(STUDY.causes.len()).collect::<Vec<u64>>());
        }
        // Statements, connections, notices waited for.
        let expected = [
            [14 + lines, 1, 2],
            [14 + lines, 0, 2],
            [14 + lines, 0, 2],
            [13, 0, 2],
            [12, 0, 2],
            [15, 0, 0],
            [2, 0, 0],
        ];
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_notice_whose_worker_dies_before_it_is_answered_arrives_again_and_counts_once() {
        if !has_servers(STUDY.servers, "studies/bank") {
            return;
        }
        let size = Size { accounts: 8, active: 4, entries: 40 };
        // Receivers answer after 30 s or more: long after the worker has died.
        let mut branch = Branch::open(size, indexes::after(), 75.0).unwrap();
        let teller = branch.teller(Applied::steps(STUDY.fixes).pop().unwrap()).unwrap();
        let receipt = branch.runtime().block_on(teller.serve(&of(1, 3, 250)));
        let Booked::Yes { id, .. } = receipt.booked else { panic!("{receipt:?}") };
        branch.receivers.taken(&[id]);
        branch.start_worker().unwrap();
        assert_eq!(branch.receivers.arrived(4), (2, 4));
    }

    #[test]
    fn no_money_and_no_notice_is_lost_or_made_by_many_clients_and_dying_workers() {
        if !has_servers(STUDY.servers, "studies/bank") {
            return;
        }
        let (size, mut branch) = small();
        for applied in Applied::steps(STUDY.fixes) {
            let teller = branch.teller(applied).unwrap();
            let mut rng = Case::realistic(0, 0, 7).rng("clients");
            let mut between = || rng.random_range(1..=size.accounts);
            let mut booked = Vec::new();
            for _ in 0..3 {
                let transfers: Vec<Transfer> =
                    (0..32).map(|_| of(between(), between(), branch::OPENING / 3)).collect();
                let serve = transfers.iter().map(|transfer| teller.serve(transfer));
                booked.extend(branch.runtime().block_on(join_all(serve)));
                branch.start_worker().unwrap();
            }
            let ids = booked.iter().filter_map(|receipt| match receipt.booked {
                Booked::Yes { id, .. } => Some(id),
                _ => None,
            });
            let ids: Vec<i64> = ids.collect();
            assert!(ids.len() > 10 && ids.len() < booked.len(), "some are refused");
            let balances = branch.changed_balances();
            assert_eq!(balances.iter().map(|(_, change)| change).sum::<i64>(), 0);
            let entries = branch.database.number(
                "SELECT count(*) FROM entries WHERE transfer IS NOT NULL AND counterparty <> ''",
            );
            assert_eq!(entries, 2 * ids.len() as u64);
            let wrong = branch.database.number(
                "SELECT count(*) FROM accounts WHERE cents - opening <>
                 (SELECT coalesce(sum(cents), 0) FROM entries WHERE account = accounts.id AND transfer IS NOT NULL)",
            );
            assert_eq!(wrong, 0, "balances are not what the entries say");
            branch.receivers.taken(&ids);
            branch.undo().unwrap();
        }
        let transfers = branch.database.number("SELECT count(*) FROM transfers");
        let (taken, arrived) = branch.receivers.arrived(0);
        assert_eq!(taken as u64, 2 * transfers, "each notice of each transfer, and no other");
        assert!(u64::from(arrived) >= 2 * transfers);
    }
}
