//! Proofs of the bank on both kinds of database.

use futures_util::future::join_all;

use super::*;
use worthit_pair::{
    family::Family,
    proof::{any_fixes_serve_alike, has_servers},
    study::StudyEntry,
};

const SIZE: Size = Size { accounts: 8, active: 4, entries: 40 };

/// A small bank with its indexes.
fn small(engine: Engine) -> Branch {
    Branch::open(engine, SIZE, indexes::after(), DELAYS_IN_PROOFS).unwrap()
}

/// The kinds of database that there are here.
fn engines() -> Vec<Engine> {
    match has_servers(STUDY.servers, "studies/bank on PostgreSQL") {
        true => vec![Engine::Sqlite, Engine::Postgres],
        false => vec![Engine::Sqlite],
    }
}

fn number(branch: &Branch, sql: &str) -> u64 {
    branch.store.rows(sql)[0].get::<i64>(0) as u64
}

#[test]
fn any_fixes_serve_alike_in_a_file() {
    const IN_FILE: Study = Study {
        servers: &[],
        prepare: |case, steps| prepare_on(Engine::Sqlite, case, steps),
        ..STUDY
    };
    const ID: &str = "studies/bank_in_file";
    const FAMILY: Family =
        Family { name: "studies", studies: &[StudyEntry::new(ID, &IN_FILE)], ..Family::EMPTY };
    any_fixes_serve_alike(&FAMILY, ID);
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
    for engine in engines() {
        let branch = Rc::new(RefCell::new(small(engine)));
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
}

#[test]
fn each_fix_takes_away_its_cause() {
    for engine in engines() {
        let (lines, requests) = (8, 3);
        let case = Case { proof_size: Some(50), ..Case::realistic(lines, 0, 42) };
        let steps = Applied::steps(STUDY.fixes);
        let mut application = prepare_on(engine, &case, &steps).unwrap();
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
        // In a file, a worker is woken without a statement, and there is no function.
        let (outbox, function) = match engine {
            Engine::Postgres => (15, 2),
            Engine::Sqlite => (14, 14),
        };
        // Statements, connections, notices waited for.
        let expected = [
            [14 + lines, 1, 2],
            [14 + lines, 0, 2],
            [14 + lines, 0, 2],
            [13, 0, 2],
            [12, 0, 2],
            [outbox, 0, 0],
            [function, 0, 0],
        ];
        assert_eq!(counts, expected);
    }
}

#[test]
fn a_notice_whose_worker_dies_before_it_is_answered_arrives_again_and_counts_once() {
    for engine in engines() {
        // Receivers answer after 30 s or more: long after the worker has died.
        let mut branch = Branch::open(engine, SIZE, indexes::after(), 75.0).unwrap();
        let teller = branch.teller(Applied::steps(STUDY.fixes).pop().unwrap()).unwrap();
        let receipt = branch.runtime().block_on(teller.serve(&of(1, 3, 250)));
        let Booked::Yes { id, .. } = receipt.booked else { panic!("{receipt:?}") };
        branch.receivers.taken(&[id]).unwrap();
        branch.start_worker().unwrap();
        assert_eq!(branch.receivers.arrived(4).unwrap(), (2, 4));
    }
}

#[test]
fn no_money_and_no_notice_is_lost_or_made_by_many_clients_and_dying_workers() {
    for engine in engines() {
        let mut branch = small(engine);
        for applied in Applied::steps(STUDY.fixes) {
            let teller = branch.teller(applied).unwrap();
            let mut rng = Case::realistic(0, 0, 7).rng("clients");
            let mut between = || rng.random_range(1..=SIZE.accounts);
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
            let entries = number(
                &branch,
                "SELECT count(*) FROM entries WHERE transfer IS NOT NULL AND counterparty <> ''",
            );
            assert_eq!(entries, 2 * ids.len() as u64);
            let wrong = number(&branch,
            "SELECT count(*) FROM accounts WHERE cents - opening <>
             (SELECT coalesce(sum(cents), 0) FROM entries WHERE account = accounts.id AND transfer IS NOT NULL)",
        );
            assert_eq!(wrong, 0, "balances are not what the entries say");
            branch.receivers.taken(&ids).unwrap();
            branch.undo().unwrap();
        }
        let transfers = number(&branch, "SELECT count(*) FROM transfers");
        let (taken, arrived) = branch.receivers.arrived(0).unwrap();
        assert_eq!(taken as u64, 2 * transfers, "each notice of each transfer, and no other");
        assert!(u64::from(arrived) >= 2 * transfers);
    }
}
