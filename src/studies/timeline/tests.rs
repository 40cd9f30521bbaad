//! Tests of the timeline.

use std::panic::{AssertUnwindSafe, catch_unwind};

use worthit_pair::{proof::has_servers, trial::Loads};

use super::*;
use crate::fixtures::postgres::connect;
use session::{Operation, Shown};

pub fn has_all() -> bool {
    has_servers(STUDY.servers, "studies/timeline")
}

/// An application in which nobody follows anybody.
pub const EMPTY: Size = Size {
    users: 8,
    most_followed: 0,
    posts: 0,
    page: 3,
    celebrity: 3,
    salt: 0,
    is_restored: true,
};

pub fn surroundings(size: Size) -> Surroundings {
    let (tables, turn) = (Default::default(), Rc::default());
    Surroundings { size, tables, turn, runtime: runtime().unwrap() }
}

/// The application as it grew, and with all fixes.
pub fn ends() -> [Applied; 2] {
    [Applied::default(), Applied::steps(STUDY.fixes).pop().unwrap()]
}

#[test]
fn known_answers() {
    if !has_all() {
        return;
    }
    use Operation::{Delete, Follow, Post, Read, Unfollow};
    let post = |author, text: &str| Post(author, text.to_owned());
    let changed = Shown::Changed;
    let read = |posts: &[(i64, &str)]| {
        let posts = posts.iter().map(|(author, text)| (*author, (*text).to_owned()));
        Shown::Timeline(posts.collect())
    };
    // The nth post seen or written so far.
    let delete = |nth| Delete { nth, by_author: true };
    let steps = [
        (post(2, "a"), changed(true)),
        (post(2, "b"), changed(true)),
        (Read(1), read(&[])),
        (Delete { nth: 0, by_author: false }, changed(false)),
        // The older posts are there at once.
        (Follow(1, 2), changed(true)),
        (Read(1), read(&[(2, "b"), (2, "a")])),
        (Follow(1, 2), changed(false)),
        (post(2, "c"), changed(true)),
        (post(2, "d"), changed(true)),
        (Read(1), read(&[(2, "d"), (2, "c"), (2, "b")])),
        // The last one seen is `b`, and before it come `c` and `d`.
        (delete(8), changed(true)),
        (Read(1), read(&[(2, "d"), (2, "c"), (2, "a")])),
        (delete(6), changed(true)),
        (delete(6), changed(false)),
        (delete(7), changed(true)),
        (Read(1), read(&[(2, "a")])),
        (post(2, "e"), changed(true)),
        (post(2, "f"), changed(true)),
        // Somebody with three followers is a celebrity.
        (Follow(1, 5), changed(true)),
        (post(5, "g"), changed(true)),
        (Read(1), read(&[(5, "g"), (2, "f"), (2, "e")])),
        (Follow(3, 5), changed(true)),
        (Follow(4, 5), changed(true)),
        (post(5, "h"), changed(true)),
        (Read(1), read(&[(5, "h"), (5, "g"), (2, "f")])),
        (post(2, "i"), changed(true)),
        (post(5, "j"), changed(true)),
        (Read(1), read(&[(5, "j"), (2, "i"), (5, "h")])),
        (Read(3), read(&[(5, "j"), (5, "h"), (5, "g")])),
        // No celebrity any more.
        (Unfollow(4, 5), changed(true)),
        (Unfollow(4, 5), changed(false)),
        (post(5, "k"), changed(true)),
        (Read(1), read(&[(5, "k"), (5, "j"), (2, "i")])),
        (Read(4), read(&[])),
        (Unfollow(1, 5), changed(true)),
        (Read(1), read(&[(2, "i"), (2, "f"), (2, "e")])),
        // Nobody of that name.
        (Read(99), read(&[])),
        (post(99, "x"), changed(false)),
        (Follow(1, 99), changed(false)),
        (Follow(99, 1), changed(false)),
        (Follow(1, 1), changed(false)),
        (Unfollow(99, 1), changed(false)),
    ];
    let (operations, expected): (Vec<Operation>, Vec<Shown>) = steps.into_iter().unzip();
    let session = Session { operations, page: EMPTY.page as u64 };
    let surroundings = surroundings(EMPTY);
    for (step, applied) in ends().iter().enumerate() {
        let site = Rc::new(Site::open(&surroundings, step, applied).unwrap());
        let mut visitor = Visitor::new(&site).unwrap();
        // The second time finds everything as it was at first.
        for _ in 0..2 {
            site.begin().unwrap();
            visitor.serve(&session);
            let shown = visitor.shown();
            for ((operation, shown), expected) in
                session.operations.iter().zip(&shown).zip(&expected)
            {
                assert_eq!(shown, expected, "{operation:?} at step {step}");
            }
            assert!(shown.found() > 0);
        }
    }
}

#[test]
fn each_fix_takes_away_its_cause() {
    if !has_all() {
        return;
    }
    const READS: u64 = 8;
    let case = Case::realistic(STUDY.size, 2_000, 42);
    let steps = Applied::steps(STUDY.fixes);
    let mut application = prepare(&case, &steps).unwrap();
    let mut counts = Vec::new();
    for step in 0..steps.len() {
        let role = study::role(step, steps.len());
        let shown = application.trial.answer(role, 0);
        assert!(shown.amount_found() > 0);
        let before = (application.count)();
        for _ in 0..READS {
            application.trial.measure(role, 1);
        }
        let after = (application.count)();
        counts.push(before.iter().zip(&after).map(|(before, after)| after - before).collect());
    }
    let counts: Vec<Vec<u64>> = counts;
    let sent: Vec<u64> = counts.iter().map(|counts| counts[0]).collect();
    assert_eq!(sent, [READS, READS, 0, 0, 0]);
    let trips: Vec<u64> = counts.iter().map(|counts| counts[1]).collect();
    // The list and the texts, and the lists of celebrities if the reader follows any.
    let cached = trips[2];
    assert!((2 * READS..=3 * READS).contains(&cached), "{trips:?}");
    assert_eq!(trips, [0, 0, cached, cached, cached]);
    let pages: Vec<u64> = counts.iter().map(|counts| counts[2]).collect();
    assert!(pages[0] > pages[1] && pages[2..] == [0, 0, 0], "{pages:?}");
}

#[test]
fn a_session_counts_the_same_each_time() {
    if !has_all() {
        return;
    }
    let case = Case { proof_size: Some(20), ..Case::realistic(5, 0, 42) };
    let mut application = prepare(&case, &ends()).unwrap();
    let inputs = application.trial.inputs() as u64;
    let mut counted = || {
        let before = (application.count)();
        application.trial.measure(study::role(1, 2), inputs);
        let after = (application.count)();
        let counts = before.iter().zip(&after).map(|(before, after)| after - before);
        counts.take(STUDY.causes.len()).collect::<Vec<u64>>()
    };
    let first = counted();
    assert!(first.iter().all(|count| *count > inputs), "{first:?}");
    assert_eq!([counted(), counted()], [first.clone(), first]);
}

#[test]
fn a_step_under_load_begins_with_what_is_there_at_first() {
    if !has_all() {
        return;
    }
    let case = Case::realistic(STUDY.size, 200, 42);
    let steps = Applied::steps(STUDY.fixes);
    let mut application = prepare(&case, &steps).unwrap();
    let mut found = Vec::new();
    for step in 0..steps.len() {
        let role = study::role(step, steps.len());
        application.trial.measure(role, 1);
        let load = application.trial.send(role, 200.0, 100, 1).unwrap().unwrap();
        assert_eq!((load.requests, load.failures), (100, Default::default()), "step {step}");
        application.trial.end_loads(role);
        assert!(application.trial.send(role, 200.0, 1, 1).unwrap().is_none());
    }
    // All steps have changed their tables, and none sees what another one did.
    for step in 0..steps.len() {
        let answer = application.trial.answer(study::role(step, steps.len()), 0);
        found.push(format!("{answer:?}"));
        assert!(!found[step].contains("Loaded"), "{}", found[step]);
    }
    assert!(found.iter().all(|other| *other == found[0]));
}

#[test]
fn a_server_whose_tables_are_gone_is_a_reason_and_no_quick_answer() {
    if !has_all() {
        return;
    }
    let size = Size { users: 40, most_followed: 4, posts: 40, is_restored: false, ..EMPTY };
    let surroundings = surroundings(size);
    let [_, all] = ends();
    let site = Rc::new(Site::open(&surroundings, 0, &all).unwrap());
    let access = surroundings.tables.of(size, &all).unwrap().access();
    let (config, _) = &access.servers[2];
    surroundings.runtime.block_on(async {
        let lost = connect(config).await.unwrap();
        lost.batch_execute("DROP TABLE posts, follows, users").await.unwrap();
    });
    let Unavailable(reason) = site.begin().unwrap_err();
    assert!(reason.contains("PostgreSQL: ") && reason.contains("does not exist"), "{reason}");
    let requests = load::requests(&Case::realistic(3, 0, 1), &size);
    // Others have followees on the servers that are left.
    let load = load::loads(&requests, &site).send(200.0, 20, 1).unwrap();
    assert_eq!(load.failures.keys().collect::<Vec<_>>(), ["an error of the server"]);
    let session = Session { operations: vec![Operation::Read(2)], page: 3 };
    let mut visitor = Visitor::new(&site).unwrap();
    let answered = catch_unwind(AssertUnwindSafe(|| visitor.serve(&session)));
    assert!(answered.is_err());
}
