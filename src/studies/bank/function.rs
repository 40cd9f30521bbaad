//! Fix: one function on the server for the whole transfer.

use super::{
    connection::{Connection, Error},
    teller::{Booked, Transfer},
};
use worthit_pair::study::Fix;

pub const FIX: Fix = Fix {
    name: "function",
    title: "Book in one function on the server",
    why: "Each statement of the transaction is a round trip, two where it is not prepared, and the rows are locked meanwhile. \
          The call of one function costs the round trips of one statement. SQLite runs in the process: it has no such function, \
          and no round trip to save, so there this step is the one before.",
    costs: "Logic in a second language, deployed with the schema.",
    source: include_str!("function.rs"),
};

/// The function of the server.
pub const CREATE: &str = "
    CREATE FUNCTION transfer(
        payer_email text, payer text, payee text, amount bigint, memo text, into_outbox boolean,
        OUT status text, OUT balance bigint, OUT id bigint
    ) LANGUAGE plpgsql AS $$
    DECLARE
        source bigint; target bigint; owner bigint; login bigint;
    BEGIN
        SELECT customers.id INTO login FROM customers WHERE email = payer_email;
        SELECT accounts.id, customer INTO source, owner FROM accounts WHERE iban = payer;
        SELECT accounts.id INTO target FROM accounts WHERE iban = payee;
        IF source IS NULL OR target IS NULL OR source = target THEN
            status := 'no such account'; RETURN;
        ELSIF login IS NULL OR login <> owner THEN
            status := 'not yours'; RETURN;
        END IF;
        PERFORM FROM accounts WHERE accounts.id IN (source, target) ORDER BY accounts.id FOR UPDATE;
        UPDATE accounts SET cents = cents - amount WHERE accounts.id = source AND cents >= amount
            RETURNING cents INTO balance;
        IF balance IS NULL THEN
            status := 'no funds'; RETURN;
        END IF;
        UPDATE accounts SET cents = cents + amount WHERE accounts.id = target;
        INSERT INTO transfers DEFAULT VALUES RETURNING transfers.id INTO id;
        INSERT INTO entries (account, transfer, cents, memo, counterparty)
            VALUES (source, id, -amount, transfer.memo, payee), (target, id, amount, transfer.memo, payer);
        IF into_outbox THEN
            INSERT INTO outbox (receiver, key, text)
                VALUES ('card', id, payer || ' ' || amount), ('mail', id, payer_email || ' ' || payee);
            PERFORM pg_notify(current_schema, '');
        END IF;
        status := 'booked';
    END $$";

/// Books with one statement for each thing to find out and to change, in the transaction that is open.
pub async fn before(bank: &Connection, transfer: &Transfer) -> Result<Booked, Error> {
    let Transfer { email, from, to, cents, memo, .. } = transfer;
    let login = bank.query_opt("SELECT id FROM customers WHERE email = $1", &[email]).await?;
    let account = "SELECT id, customer FROM accounts WHERE iban = $1";
    let source = bank.query_opt(account, &[from]).await?;
    let target = bank.query_opt(account, &[to]).await?;
    let (Some(source), Some(target)) = (source, target) else { return Ok(Booked::NoSuchAccount) };
    let (source, owner): (i64, i64) = (source.get(0), source.get(1));
    let target: i64 = target.get(0);
    if source == target {
        return Ok(Booked::NoSuchAccount);
    }
    if login.is_none_or(|login| login.get::<i64>(0) != owner) {
        return Ok(Booked::NotYours);
    }
    // In the order of the ids, so that two transfers do not wait for each other.
    let lock = "SELECT id, cents FROM accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE";
    let locked = bank.query(lock, &[&source, &target]).await?;
    let funds = locked.iter().find(|row| row.get::<i64>(0) == source);
    if funds.is_none_or(|row| row.get::<i64>(1) < *cents) {
        return Ok(Booked::NoFunds);
    }
    let change = "UPDATE accounts SET cents = cents + $2 WHERE id = $1 RETURNING cents";
    let balance = bank.query_one(change, &[&source, &-cents]).await?.get(0);
    bank.execute(change, &[&target, cents]).await?;
    let new = "INSERT INTO transfers DEFAULT VALUES RETURNING id";
    let id: i64 = bank.query_one(new, &[]).await?.get(0);
    let entry = "INSERT INTO entries (account, transfer, cents, memo, counterparty)
                 VALUES ($1, $2, $3, $4, $5)";
    bank.execute(entry, &[&source, &id, &-cents, memo, to]).await?;
    bank.execute(entry, &[&target, &id, cents, memo, from]).await?;
    Ok(Booked::Yes { id, balance })
}

/// Books with one call.
pub async fn after(
    bank: &Connection,
    transfer: &Transfer,
    into_outbox: bool,
) -> Result<Booked, Error> {
    let Transfer { email, from, to, cents, memo, .. } = transfer;
    let call = "SELECT status, balance, id FROM transfer($1, $2, $3, $4, $5, $6)";
    let row = bank.query_one(call, &[email, from, to, cents, memo, &into_outbox]).await?;
    Ok(match row.get::<String>(0).as_str() {
        "booked" => Booked::Yes { id: row.get(2), balance: row.get(1) },
        "not yours" => Booked::NotYours,
        "no funds" => Booked::NoFunds,
        _ => Booked::NoSuchAccount,
    })
}
