//! Run a transaction of many statements in PostgreSQL: as one function, not statement by statement.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use rand::RngExt;
use tokio_postgres::{Client, Error, Statement};

use crate::fixtures::{
    distance,
    postgres::{Database, SERVER_STATEMENTS, answered},
};
use worthit_pair::prelude::*;

/// Accounts in the bank.
const ACCOUNTS: u64 = 1_000;
/// What is on each account at first, in cents: enough for all that a run transfers.
const BALANCE: i64 = 10_000_000_000;
/// One payer in as many has not enough.
const SHORT_ONE_IN: u64 = 16;

const BANK: &str = "
    CREATE TABLE accounts (id bigint PRIMARY KEY, cents bigint NOT NULL) WITH (fillfactor = 50);
    CREATE TABLE entries (
        id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payer bigint NOT NULL REFERENCES accounts,
        payee bigint NOT NULL REFERENCES accounts,
        cents bigint NOT NULL
    );
    CREATE FUNCTION pay(from_account bigint, to_accounts bigint[], amounts bigint[]) RETURNS boolean
    LANGUAGE plpgsql AS $$
    DECLARE
        total bigint := (SELECT coalesce(sum(amount), 0) FROM unnest(amounts) amount);
    BEGIN
        UPDATE accounts SET cents = cents - total WHERE id = from_account AND cents >= total;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        FOR i IN 1 .. cardinality(to_accounts) LOOP
            UPDATE accounts SET cents = cents + amounts[i] WHERE id = to_accounts[i];
            INSERT INTO entries (payer, payee, cents) VALUES (from_account, to_accounts[i], amounts[i]);
        END LOOP;
        RETURN true;
    END $$";
const WITHDRAW: &str = "UPDATE accounts SET cents = cents - $2 WHERE id = $1 AND cents >= $2";
const CREDIT: &str = "UPDATE accounts SET cents = cents + $2 WHERE id = $1";
const ENTER: &str = "INSERT INTO entries (payer, payee, cents) VALUES ($1, $2, $3)";
const PAY: &str = "SELECT pay($1, $2, $3)";

/// Distances of the server; the one of a millisecond is confirmed.
const DISTANCES: [Level; 3] = distance::levels(&[4]);

pub const PAIR: Pair = Pair {
    title: "Run a transaction as one function",
    review: Review {
        smell: "A transaction of several statements, each of which the program awaits before it sends the next, and what \
                the program decides in between the database could decide.",
        remedy: "A function in the database (PL/pgSQL) that takes the arguments of the whole transaction. Or send the \
                 statements without awaiting each (pipelining: poll several `execute` at once), where none depends on \
                 another's answer.",
        keep_naive_when: "The program must compute something in between that does not belong into the database. Or the \
                          database is near and the commit waits for the disk, which is then most of the time.",
        costs: "Logic in a second language, which is deployed and versioned with the schema, and tested there. CPU time \
                of the one server that is hard to multiply.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "BEGIN, withdraw, credit and enter each payee, COMMIT",
        growth: Growth::Other("two round trips a payee, whose time the scheduler decides"),
    },
    optimized: Side { summary: "one call of a function", growth: Growth::Linear },
    input: "A payer pays some payees different amounts: random accounts of 1,000. One payer in sixteen has not enough, and \
            then nothing is paid. The server flushes its write-ahead log at each commit, as by default. All statements \
            are prepared. One client, a closed loop.",
    axis: Axis {
        name: "payees",
        unit: "payees",
        is_size: true,
        points: Points::Fixed { default: &[1, 4, 16, 64], deep: &[] },
    },
    parameter: Some(Parameter { name: "round-trip time", levels: Levels::Fixed(&DISTANCES) }),
    unit: "payment",
    headline: Headline::At { level: "loopback", point: 16 },
    causes: &[
        Claim {
            cause: causes::ROUND_TRIPS,
            // One that is refused ends after the withdrawal.
            naive: Count::AtLeast(|case| case.point + 3),
            optimized: Count::Exactly(|_| 1),
        },
        Claim {
            cause: SERVER_STATEMENTS,
            naive: Count::AtLeast(|case| case.point + 1),
            optimized: Count::Exactly(|_| 1),
        },
    ],
    explanation: Explanation {
        why: "The program and the server wake each other for each statement, and at a distance each is a round trip. As a \
              function it is one. What remains on both sides is the work in the tables and the flush of the commit. \
              Near by, these two bound the gain; far away the ratio of round trips is the gain.",
        share_of_cause: ShareOfCause::Within(0.05, 1.1),
        far_end: FarEnd::Settled,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[&Trap {
        name: "every payment is refused, or none",
        reason: "a refused one does next to nothing, and the check for money would be free",
        check: |inputs: &[Payment]| {
            let refused = inputs.iter().filter(|payment| payment.total() > BALANCE).count();
            ensure(refused > 0 && refused * 4 < inputs.len(), || {
                format!("{refused} of {} payments are refused", inputs.len())
            })
        },
        sprung: || vec![Payment { payer: 1, payees: vec![2], amounts: vec![2 * BALANCE] }; 8],
    }],
    limit: Limit::Work(&[
        Work::OverwritingFsyncs(|_| 1),
        Work::RoundTrips(|_| 1),
        Work::Waiting(|case| case.level * 1_000),
    ]),
    proof: Proof { resources: Resources::System, max_size: 24 },
    servers: &[Program::Postgres],
    prepare,
    ..Pair::DEFAULTS
};

/// Who pays whom how many cents.
#[derive(Clone, Debug)]
struct Payment {
    payer: i64,
    payees: Vec<i64>,
    amounts: Vec<i64>,
}

impl Payment {
    fn total(&self) -> i64 {
        self.amounts.iter().sum()
    }
}

/// What a payment did.
#[derive(Debug, PartialEq)]
struct Outcome {
    is_paid: bool,
    /// Payer, payee and cents.
    entries: Vec<[i64; 3]>,
    /// Account and cents, of each account that has more or less than before.
    changes: Vec<[i64; 2]>,
}

impl Found for Outcome {
    fn found(&self) -> u64 {
        self.entries.len() as u64
    }
}

/// The bank with the connection of one side.
struct Bank {
    database: Database,
    client: Client,
    withdraw: Statement,
    credit: Statement,
    enter: Statement,
    pay: Statement,
    is_paid: bool,
    /// The id of the last entry that the iteration found.
    last: u64,
    /// The balances that it found.
    before: Vec<[i64; 2]>,
}

impl Bank {
    fn new(case: &Case) -> Result<Bank, Unavailable> {
        let database = Database::new(Duration::from_micros(case.level))?;
        database.execute(BANK)?;
        database.execute(&format!(
            "INSERT INTO accounts SELECT id, {BALANCE} FROM generate_series(1, {ACCOUNTS}) id"
        ))?;
        database.execute("VACUUM (ANALYZE) accounts")?;
        let client = database.connect()?;
        let prepare = |sql| database.prepare(&client, sql);
        let (withdraw, credit) = (prepare(WITHDRAW)?, prepare(CREDIT)?);
        let (enter, pay) = (prepare(ENTER)?, prepare(PAY)?);
        let (is_paid, last, before) = (false, 0, Vec::new());
        Ok(Bank { database, client, withdraw, credit, enter, pay, is_paid, last, before })
    }

    /// Remembers balances and entries. They are not restored, so each payment builds on those before it.
    fn reset(&mut self) {
        self.before = self.rows("SELECT id, cents FROM accounts ORDER BY id");
        self.last = self.database.number("SELECT coalesce(max(id), 0) FROM entries");
    }

    /// What has changed since.
    fn outcome(&mut self) -> Outcome {
        let after = self.rows("SELECT id, cents FROM accounts ORDER BY id");
        let change = |([id, before], [_, after]): (&[i64; 2], &[i64; 2])| [*id, after - before];
        let changes = self.before.iter().zip(&after).map(change);
        let sql =
            format!("SELECT payer, payee, cents FROM entries WHERE id > {} ORDER BY id", self.last);
        Outcome {
            is_paid: self.is_paid,
            entries: self.rows(&sql),
            changes: changes.filter(|[_, cents]| *cents != 0).collect(),
        }
    }

    fn rows<const N: usize>(&self, sql: &str) -> Vec<[i64; N]> {
        let rows = self.database.rows(sql);
        rows.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect()
    }
}

async fn naive(bank: &mut Bank, payment: &Payment) -> Result<(), Error> {
    round_trip();
    let transaction = bank.client.transaction().await?;
    round_trip();
    let total = payment.total();
    bank.is_paid = transaction.execute(&bank.withdraw, &[&payment.payer, &total]).await? == 1;
    if bank.is_paid {
        for (payee, cents) in payment.payees.iter().zip(&payment.amounts) {
            round_trip();
            transaction.execute(&bank.credit, &[payee, cents]).await?;
            round_trip();
            transaction.execute(&bank.enter, &[&payment.payer, payee, cents]).await?;
        }
    }
    round_trip();
    transaction.commit().await
}

async fn optimized(bank: &mut Bank, payment: &Payment) -> Result<(), Error> {
    round_trip();
    let Payment { payer, payees, amounts } = payment;
    bank.is_paid = bank.client.query_one(&bank.pay, &[payer, payees, amounts]).await?.get(0);
    Ok(())
}

fn round_trip() {
    causes::count(causes::Event::RoundTrip, 1);
}

fn payment(case: &Case) -> Payment {
    let mut rng = case.rng("payment");
    let is_short = match case.proof_size {
        None => case.turn % SHORT_ONE_IN == SHORT_ONE_IN / 2,
        Some(_) => rng.random_ratio(1, 4),
    };
    let account = |value: u64| (value % ACCOUNTS) as i64 + 1;
    let payer = account(rng.random());
    let payees: Vec<i64> = case.values(case.point as usize).into_iter().map(account).collect();
    let amount = |_: &i64| if is_short { 2 * BALANCE } else { rng.random_range(1..=500) };
    let amounts = payees.iter().map(amount).collect();
    Payment { payer, payees, amounts }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let payments = case.rotate(2 * SHORT_ONE_IN, payment);
    let trial = Trial::new(
        payments.measured(|payment| payment.payees.len() as u64),
        over(case, &payments, async |bank: &mut Bank, payment: &Payment| {
            naive(bank, payment).await
        })?,
        over(case, &payments, async |bank: &mut Bank, payment: &Payment| {
            optimized(bank, payment).await
        })?,
    );
    Ok(trial)
}

/// The side with each payment, and the server's count of its statements.
fn over(
    case: &Case,
    payments: &Inputs<Payment>,
    side: impl AsyncFn(&mut Bank, &Payment) -> Result<(), Error> + 'static,
) -> Result<impl Runner + 'static, Unavailable> {
    let bank = Rc::new(RefCell::new(Bank::new(case)?));
    let runtime = Arc::clone(&bank.borrow().database.runtime);
    let pay = Rc::new(move |bank: &RefCell<Bank>, payment: &Payment| {
        answered(runtime.block_on(side(&mut bank.borrow_mut(), payment)));
    });
    let (counted, again, counted_payments) = (Rc::clone(&bank), Rc::clone(&pay), payments.clone());
    let runner = changing(
        payments,
        bank,
        |bank| bank.borrow_mut().reset(),
        move |bank, payment| pay(bank, payment),
        |bank| bank.borrow_mut().outcome(),
    )
    .counting(SERVER_STATEMENTS, move |input| {
        let before = counted.borrow().database.statements();
        again(&counted, &counted_payments[input]);
        counted.borrow().database.statements() - before
    });
    Ok(runner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "pg_function") {
            return;
        }
        let case = Case { proof_size: Some(0), ..Case::realistic(0, 0, 1) };
        let mut bank = Bank::new(&case).unwrap();
        let runtime = Arc::clone(&bank.database.runtime);
        for is_naive in [true, false] {
            let mut pay = |payees: &[i64], amounts: &[i64]| {
                let payment = Payment { payer: 7, payees: payees.into(), amounts: amounts.into() };
                bank.reset();
                let bank_ref = &mut bank;
                let paid = runtime.block_on(async {
                    match is_naive {
                        true => naive(bank_ref, &payment).await,
                        false => optimized(bank_ref, &payment).await,
                    }
                });
                paid.unwrap();
                bank.outcome()
            };
            let outcome = pay(&[8, 9, 8, 7], &[10, 20, 30, 40]);
            assert_eq!(outcome.entries, [[7, 8, 10], [7, 9, 20], [7, 8, 30], [7, 7, 40]]);
            assert_eq!(outcome.changes, [[7, -60], [8, 40], [9, 20]]);
            assert!(outcome.is_paid);
            let refused = pay(&[8, 9], &[10, 2 * BALANCE]);
            assert_eq!(refused, Outcome { is_paid: false, entries: vec![], changes: vec![] });
            let nobody = pay(&[], &[]);
            assert_eq!((nobody.entries, nobody.changes), (vec![], vec![]));
        }
    }
}
