//! What people type finds the pair that they mean, over the whole catalogue.

use worthit::CATALOGUE;
use worthit_harness::search::search;

/// What somebody types, and what must come first.
const ASKED: [(&str, &str); 25] = [
    ("n+1", "queries/n_plus_one"),
    ("a query in a loop", "queries/n_plus_one"),
    ("clippy::map_entry", "computation/map_entry"),
    ("contains_key then insert", "computation/map_entry"),
    ("Vec::remove(0)", "algorithms/front_removal"),
    ("std::sync::MutexGuard across await", "parallelism/guard_across_await"),
    ("Regex::new in a loop", "computation/hoisted_regex"),
    ("LinkedList", "algorithms/contiguous_list"),
    ("OFFSET pagination", "queries/keyset_pagination"),
    ("false sharing", "parallelism/padded_counters"),
    ("cache stampede", "caching/single_flight"),
    ("foreign key without an index", "queries/foreign_key_index"),
    ("count(*) > 0", "queries/exists_not_count"),
    ("println in a loop", "io/locked_stdout"),
    ("Nagle", "io/tcp_nodelay"),
    ("serde_json::Value", "allocations/typed_json"),
    ("unbounded channel", "io/bounded_queue"),
    ("clone in loop", "allocations/clone_in_loop"),
    ("unwrap_or", "computation/lazy_default"),
    ("io_uring", "hardware/queue_depth"),
    ("huge pages", "hardware/huge_pages"),
    ("GPU", "hardware/gpu_offload"),
    ("round robin", "scaleout/least_connections"),
    ("e-mail before the answer", "scaleout/job_queue"),
    ("bank", "studies/bank"),
];

#[test]
fn what_people_type_finds_the_pair_that_they_mean() {
    let misses: Vec<String> = ASKED
        .iter()
        .filter_map(|(asked, id)| {
            let found: Vec<&str> = search(&CATALOGUE, asked).iter().map(|found| found.id).collect();
            (found.first() != Some(id)).then(|| format!("{asked}: {found:?}, not {id}"))
        })
        .collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn words_may_be_misspelt() {
    for (asked, id) in [
        ("colect needles", "allocations/needless_collect"),
        ("preparred statment", "queries/prepared_statement"),
        ("conection pol", "queries/connection_pool"),
    ] {
        let found = search(&CATALOGUE, asked);
        assert!(found.iter().take(3).any(|found| found.id == id), "{asked}: {found:?}");
    }
}

#[test]
fn every_pair_is_found_by_its_id_and_by_its_name() {
    for entry in CATALOGUE.iter().flat_map(|family| family.pairs) {
        for asked in [entry.id, entry.name()] {
            let found = search(&CATALOGUE, asked);
            assert_eq!(found[0].id, entry.id, "{found:?}");
            assert!((0.99..=1.0).contains(&found[0].score), "{found:?}");
        }
    }
}

#[test]
fn words_on_no_card_find_nothing() {
    assert_eq!(search(&CATALOGUE, "zzzzzz qqqqqq"), []);
    assert_eq!(search(&CATALOGUE, "in the of"), []);
}
