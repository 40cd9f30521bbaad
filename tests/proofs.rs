//! Every pair is proven: both sides (and the reference) agree on inputs of every shape and size,
//! every input is of the size that it claims, and a card names a contract exactly where answers may
//! differ.
//!
//! `WORTHIT_PROOFS=n` tries n inputs a pair in place of 256 (memory) and 32 (files, sockets,
//! threads).

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestCaseError, TestRunner},
};
use worthit::{
    CATALOGUE,
    cases::{self, Extent},
    family::{Entry, Family},
    pair::{Case, Pair, Points, Resources, Shape},
};

/// Empty and one-element inputs are tried explicitly, the rest at random.
fn sizes(pair: &Pair) -> impl Strategy<Value = u64> + use<> {
    prop_oneof![1 => Just(0), 1 => Just(1), 8 => 0..=pair.proof.max_size]
}

/// Points of the axis: any size where the axis is one, else the points that are measured.
fn points(pair: &Pair) -> BoxedStrategy<u64> {
    match (&pair.axis.points, pair.axis.is_size) {
        (Points::Fixed { .. }, true) => sizes(pair).boxed(),
        (points, _) => select(points.default_points()).boxed(),
    }
}

fn levels_at(entry: &Entry, point: u64) -> Vec<u64> {
    let levels = cases::levels(entry);
    let measured = levels.iter().filter(|level| level.is_measured_at(point));
    measured.map(|level| level.value).collect()
}

fn prove(family: &Family) {
    let asked = std::env::var("WORTHIT_PROOFS").ok().map(|n| n.parse().expect("a number"));
    for entry in family.pairs {
        let usual = if entry.proof.resources == Resources::Memory { 256 } else { 32 };
        let cases = asked.unwrap_or(usual);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let strategy = (
            points(entry).prop_flat_map(|point| (Just(point), select(levels_at(entry, point)))),
            any::<u64>(),
            select(Shape::ALL.to_vec()),
            sizes(entry),
        );
        let proof =
            TestRunner::new(config).run(&strategy, |((point, level), seed, shape, size)| {
                let case = Case { point, level, seed, shape, proof_size: Some(size) };
                let mut trial = match (entry.prepare)(&case) {
                    Ok(trial) => trial,
                    Err(unavailable) => return Err(TestCaseError::reject(unavailable.to_string())),
                };
                let fail = |error: &dyn std::fmt::Display| TestCaseError::fail(error.to_string());
                trial.check_size(point).map_err(|error| fail(&error))?;
                trial.verify().map_err(|error| fail(&error))
            });
        if let Err(error) = proof {
            panic!("{}: {error}", entry.id);
        }
    }
}

#[test]
fn a_card_names_a_contract_exactly_where_the_type_of_the_answers_is_one() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        let named = cases::measured(entry, Extent::Ends, 42).swap_remove(0);
        let Ok(mut trial) = (entry.prepare)(&named.case) else { continue };
        assert_eq!(trial.is_under_contract(), entry.contract.is_some(), "{}", entry.id);
    }
    let with: Vec<&str> = CATALOGUE
        .iter()
        .flat_map(|family| family.pairs)
        .filter(|entry| entry.contract.is_some())
        .map(|entry| entry.id)
        .collect();
    assert_eq!(with, ["algorithms/wide_sum"], "this test has seen both");
}

macro_rules! families {
    ($($name:ident)*) => {
        $(#[test] fn $name() { prove(&worthit::$name::FAMILY); })*
        #[test]
        fn every_family_is_proven() {
            assert_eq!([$(stringify!($name)),*], CATALOGUE.map(|family| family.name));
        }
    };
}

families!(algorithms caching queries batching io parallelism calibration);
