//! What the bank has: its tables, the receivers of its notices, and the worker that delivers them.

use std::sync::{Arc, atomic::AtomicU64};

use tokio::runtime::Runtime;

use super::{
    connection::Tally,
    outside, pool,
    store::{Engine, Store},
    teller::Teller,
};
use crate::fixtures::{background_task::BackgroundTask, outside::Companies};
use worthit_pair::{
    pair::{Case, Unavailable},
    study::Applied,
};

/// Sizes of the bank when it is measured.
const ACCOUNTS: u64 = 200_000;
const ENTRIES: u64 = 400_000;
/// One account of this many is active: the entries are theirs.
const ACTIVE_ONE_IN: u64 = 250;
/// What each account holds at first, cents.
pub const OPENING: i64 = 100_000_000;

const TABLES: &str = "
    CREATE TABLE customers (
        id          bigint PRIMARY KEY,
        email       text NOT NULL,
        name        text NOT NULL,
        city        text NOT NULL
    );
    CREATE TABLE accounts (
        id          bigint PRIMARY KEY,
        iban        text NOT NULL,
        customer    bigint NOT NULL,
        opening     bigint NOT NULL,
        cents       bigint NOT NULL CHECK (cents >= 0)
    );
    CREATE TABLE transfers (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        booked_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    CREATE TABLE entries (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account     bigint NOT NULL,
        transfer    bigint,
        cents       bigint NOT NULL,
        memo        text NOT NULL,
        counterparty text NOT NULL
    );
    CREATE INDEX entries_transfer ON entries (transfer) WHERE transfer IS NOT NULL;
    CREATE TABLE outbox (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        receiver    text NOT NULL,
        key         bigint NOT NULL,
        text        text NOT NULL
    )";

/// How large the bank is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub accounts: u64,
    pub active: u64,
    pub entries: u64,
}

impl Size {
    pub fn of(case: &Case) -> Size {
        let accounts = (case.items(ACCOUNTS) as u64).max(4);
        let active = (accounts / ACTIVE_ONE_IN).max(2);
        Size { accounts, active, entries: (case.items(ENTRIES / 4) * 4) as u64 }
    }

    /// Returns the id of the `nth` active account, which starts again after the last.
    pub fn active_account(self, nth: u64) -> u64 {
        1 + nth % self.active * (self.accounts / self.active)
    }
}

/// Returns the number by which a customer knows an account.
pub fn iban(account: u64) -> String {
    format!("WB{account:018}")
}

/// Returns how the owner of an account logs in. Each has two accounts.
pub fn email(account: u64) -> String {
    format!("customer{}@example.org", account.div_ceil(2))
}

/// Returns the statements that fill the tables. Both kinds of database understand them.
fn fill(size: Size) -> String {
    let Size { accounts, active, entries } = size;
    let numbers = |last: u64| {
        format!(
            "WITH RECURSIVE numbers (n) AS
                (SELECT CAST(1 AS bigint) WHERE {last} > 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
        )
    };
    // Digits after the first, which keeps them from being fewer.
    let iban = |n: &str| format!("'WB' || substr(CAST(1000000000000000000 + {n} AS text), 2)");
    // As long and as different as what people write.
    let text = "CAST(1000000000000000 + n * 2654435761 % 999999999999989 AS text) ||
                CAST(1000000000000000 + n * 1779033703 % 999999999999989 AS text)";
    format!(
        "INSERT INTO customers {customer}
            SELECT n, 'customer' || n || '@example.org', 'Customer ' || {text}, 'City ' || (n % 100) FROM numbers;
         INSERT INTO accounts {account}
            SELECT n, {own}, (n + 1) / 2, {OPENING}, {OPENING} FROM numbers;
         -- One counterparty of sixteen is at another bank.
         INSERT INTO entries (account, cents, memo, counterparty) {entry}
            SELECT 1 + n % {active} * ({accounts} / {active}), n * 31 % 20000 - 10000, 'Invoice ' || {text}, {other}
            FROM numbers",
        customer = numbers(accounts.div_ceil(2)),
        account = numbers(accounts),
        own = iban("n"),
        entry = numbers(entries),
        other = iban(&format!("1 + n * 7919 % ({accounts} * 16 / 15)")),
    )
}

/// The bank: its tables, and everybody who acts on them.
pub struct Branch {
    /// Ends first: it has a transaction open, for which the end of the database would wait.
    worker: Option<BackgroundTask>,
    pub store: Store,
    pub receivers: Companies,
}

impl Branch {
    /// Makes a bank, with `indexes` (SQL) on its tables. Receivers answer after `delays` times their delays.
    pub fn open(
        engine: Engine,
        size: Size,
        indexes: &str,
        delays: f64,
    ) -> Result<Branch, Unavailable> {
        let store = Store::new(engine)?;
        store.execute(&format!("{TABLES}; {}; {indexes}", fill(size)))?;
        store.settle()?;
        // So that the first request finds in memory what the others do.
        for (table, texts) in [
            ("customers", "email || name || city"),
            ("accounts", "iban"),
            ("entries", "memo || counterparty"),
        ] {
            store.rows(&format!("SELECT sum(length({texts})) FROM {table}"));
        }
        let receivers = outside::start(delays)?;
        let mut branch = Branch { worker: None, store, receivers };
        branch.start_worker()?;
        Ok(branch)
    }

    /// Starts a worker, in the place of the one before, which dies wherever it is.
    pub fn start_worker(&mut self) -> Result<(), Unavailable> {
        drop(self.worker.take());
        let worker = self.store.start_worker(self.receivers.address());
        let worker = worker.map_err(|error| Unavailable(format!("the worker: {error}")))?;
        self.worker = Some(worker);
        Ok(())
    }

    /// Returns what serves requests with these fixes.
    pub fn teller(&self, applied: Applied) -> Result<Teller, Unavailable> {
        let access = self.store.access()?;
        // A pool connects when it is asked, and the first request is not to wait for that.
        if let Err(error) = self.runtime().block_on(pool::after(&access)) {
            return Err(Unavailable(format!("the pool cannot connect: {error}")));
        }
        Ok(Teller {
            applied,
            access,
            outside: self.receivers.address(),
            tally: Tally { mark: self.store.marked(""), statements: Arc::default() },
            connects: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
        })
    }

    pub fn runtime(&self) -> Arc<Runtime> {
        self.store.runtime()
    }

    /// Takes all transfers back, so that each request finds the same bank.
    pub fn undo(&self) -> Result<(), Unavailable> {
        self.store.execute(
            "BEGIN;
             UPDATE accounts SET cents = opening
                WHERE id IN (SELECT account FROM entries WHERE transfer IS NOT NULL);
             DELETE FROM entries WHERE transfer IS NOT NULL;
             COMMIT",
        )
    }

    /// Returns which balances have changed since the beginning, and by how much.
    pub fn changed_balances(&self) -> Vec<(String, i64)> {
        let changed =
            "SELECT iban, cents - opening FROM accounts WHERE cents <> opening ORDER BY iban";
        self.store.rows(changed).iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}
