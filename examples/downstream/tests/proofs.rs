//! Every pair is proven: both sides agree on inputs of every shape and size, every input is of the
//! size that it claims, and a card names a contract exactly where answers may differ.

use pairs::CATALOGUE;
use worthit::{
    cases,
    family::Entry,
    pair::{Case, Points, Shape},
};

/// Seeds that are tried at each size.
const SEEDS: u64 = 8;

/// Empty, one element, and on; points that are measured where the axis is no size.
fn points(entry: &Entry) -> Vec<u64> {
    match (&entry.axis.points, entry.axis.is_size) {
        (Points::Fixed { .. }, true) => (0..8).map(|n| n * n * entry.proof.max_size / 49).collect(),
        (points, _) => points.default_points(),
    }
}

fn prove(entry: &Entry, case: &Case) {
    // What cannot run here is a row of the report that says why.
    let Ok(mut trial) = (entry.prepare)(case) else { return };
    trial.check_size(case.point).unwrap_or_else(|error| panic!("{}: {error}", entry.id));
    trial.verify().unwrap_or_else(|error| panic!("{} in {case:?}: {error}", entry.id));
    assert_eq!(trial.is_under_contract(), entry.contract.is_some(), "{}", entry.id);
}

#[test]
fn every_pair_is_proven() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        for point in points(entry).into_iter().chain([1]) {
            for level in cases::levels(entry).iter().filter(|level| level.is_measured_at(point)) {
                for shape in Shape::ALL {
                    for seed in 0..SEEDS {
                        let proof_size = Some(seed * entry.proof.max_size / SEEDS);
                        prove(entry, &Case { point, level: level.value, seed, shape, proof_size });
                    }
                }
            }
        }
    }
}
