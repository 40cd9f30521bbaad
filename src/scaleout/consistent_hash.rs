//! Spread keys over nodes so that few of them move when a node joins.

use std::{cell::RefCell, collections::HashSet, rc::Rc, time::Duration};

use rand::RngExt;
use redis::{Pipeline, RedisResult};

use crate::fixtures::redis::{Keyspace, LIFETIME_S, answered};
use worthit_pair::{case::fnv1a, prelude::*};

/// Keys in a set.
const KEYS: u64 = 512;
/// Keys that are copied in one pipeline, so that client and server hold no more values than that.
const AT_ONCE: usize = 256;

const KEYS_MOVED: Cause = Cause::new("keys_moved", "keys moved")
    .counted("and asks each node for the keys that it had before");

pub const PAIR: Pair = Pair {
    title: "Choose nodes by rendezvous hashing",
    review: Review {
        smell: "`nodes[hash(key) % nodes.len()]`, where `nodes` may change.",
        remedy: "Give each node a score for the key, and take the node with the highest: `max_by_key`. A node that joins \
                 takes the keys for which its score is the highest, and no other key moves. Where nodes only join and leave \
                 at the end of the list, jump hashing does the same without a look at each node: the alternative.",
        keep_naive_when: "The number of nodes never changes, or nothing is lost when all keys move: an empty cache, a \
                          division of work that no state depends on.",
        costs: "Each look-up computes a score for every node: with very many nodes, take a ring or jump hashing. All \
                clients must know the same list of nodes. Whoever reads while keys move asks the old owner too.",
        lint: Lint::None,
    },
    naive: Side {
        summary: "the node is the hash modulo the number of nodes",
        growth: Growth::Other("the more nodes, the nearer it is to all keys"),
    },
    optimized: Side {
        summary: "the node is the one whose score for the key is the highest",
        growth: Growth::Other(
            "fewer keys move to each further node, but each key has one more score",
        ),
    },
    input: "A node joins. All keys whose owner changes are copied to it and deleted from their old node, in \
            pipelines of up to 256 commands. There are 512 keys with values of 150 to 250 characters, and eight such \
            sets take turns. The nodes are key prefixes in one Redis, so this measures the work of moving keys, not \
            the benefit of more machines. The client knows the names of all keys and works in a closed loop.",
    axis: Axis {
        name: "nodes before",
        unit: "nodes",
        is_size: false,
        points: Points::Fixed { default: &[2, 4, 8, 16], deep: &[] },
    },
    unit: "join",
    headline: Headline::At { level: "", point: 8 },
    alternatives: &[SideBeside { name: "jump", summary: "jump hashing" }],
    causes: &[Claim {
        cause: KEYS_MOVED,
        // Which keys move is chance, so that the counts of a seed lie around the expected ones.
        naive: Count::AtLeast(|case| KEYS * case.point / (case.point + 1) * 95 / 100),
        optimized: Count::AtMost(|case| KEYS / (case.point + 1) * 130 / 100),
    }],
    explanation: Explanation {
        why: "With one more node, the remainder of nearly every hash is another one, so nearly every key moves, most of them \
              between nodes that were there before. A node that joins by rendezvous takes its own share, from all others \
              alike. What a key costs that moves is the same on both sides. The scores of the keys that stay are small \
              beside that.",
        share_of_cause: ShareOfCause::Within(0.4, 1.1),
        far_end: FarEnd::Rises,
        keep_naive: KeepNaive::Nowhere,
    },
    traps: &[
        &Trap {
            name: "the values are empty",
            reason: "a key that moves would cost no copy",
            check: |inputs: &[Set]| {
                let shortest = inputs.iter().flat_map(|set| set.entries.iter());
                let shortest = shortest.map(|(_, value)| value.len()).min();
                ensure(shortest >= Some(100), || format!("a value of {shortest:?} bytes"))
            },
            sprung: || vec![Set { nodes: 2, entries: [("a".to_owned(), String::new())].into() }],
        },
        &Trap {
            name: "the same keys again and again",
            reason: "one set may be an uncommonly lucky or unlucky one",
            check: |inputs: &[Set]| {
                let keys = inputs.iter().flat_map(|set| set.entries.iter()).map(|(name, _)| name);
                let (all, distinct) = (keys.clone().count(), keys.collect::<HashSet<_>>().len());
                ensure(distinct == all, || format!("{distinct} distinct keys of {all}"))
            },
            sprung: || {
                vec![Set { nodes: 2, entries: [("a".to_owned(), "x".repeat(200))].into() }; 8]
            },
        },
    ],
    limit: Limit::None(
        "two round trips are little beside the commands for each key that moves, and no machine number is their time",
    ),
    proof: Proof { resources: Resources::System, max_size: 400 },
    servers: &[Program::Redis],
    prepare,
    ..Pair::DEFAULTS
};

/// Names and values that the nodes hold when another node joins.
#[derive(Clone)]
struct Set {
    nodes: usize,
    entries: Rc<[(String, String)]>,
}

/// Returns the node of a key, of as many nodes.
type Route = fn(&str, usize) -> usize;

/// Nodes that hold all sets, but for the one that was moved last.
struct Nodes {
    keyspace: Keyspace,
    route: Route,
    moved: Option<Set>,
}

impl Nodes {
    fn new(sets: &[Set], route: Route) -> Result<Nodes, Unavailable> {
        let mut keyspace = Keyspace::new(Duration::ZERO)?;
        let entries =
            sets.iter().flat_map(|set| set.entries.iter().map(|entry| (set.nodes, entry)));
        let place = |(nodes, (name, value)): (usize, &(String, String))| {
            (key(&keyspace, route(name, nodes), name), value.clone())
        };
        let entries: Vec<_> = entries.map(place).collect();
        keyspace.store(entries)?;
        Ok(Nodes { keyspace, route, moved: None })
    }

    /// A node leaves: the last one that joined.
    fn reset(&mut self) -> RedisResult<()> {
        let Some(set) = self.moved.take() else { return Ok(()) };
        relocate(&mut self.keyspace, &set, self.route, [set.nodes + 1, set.nodes])
    }

    /// The values that are found where the keys belong after the join, and how many keys there are on all nodes.
    fn outcome(&mut self) -> (Vec<Option<String>>, u64) {
        let (route, nodes) = (self.route, self.moved.as_ref().map_or(0, |set| set.nodes + 1));
        let keys = (0..nodes).map(|node| self.values(|_| node).iter().flatten().count() as u64);
        let keys = keys.sum();
        (self.values(|name| route(name, nodes)), keys)
    }

    /// How many keys are no longer where they were before the join.
    fn keys_moved(&mut self) -> u64 {
        let (route, nodes) = (self.route, self.moved.as_ref().map_or(0, |set| set.nodes));
        let values = self.values(|name| route(name, nodes));
        values.iter().filter(|value| value.is_none()).count() as u64
    }

    /// The value of each key of the set that was moved, as the node that is asked for it has it.
    fn values(&mut self, node_of: impl Fn(&str) -> usize) -> Vec<Option<String>> {
        let set = self.moved.as_ref().expect("the side has moved it");
        let mut pipeline = Pipeline::new();
        for (name, _) in set.entries.iter() {
            pipeline.get(key(&self.keyspace, node_of(name), name));
        }
        match pipeline.is_empty() {
            true => Vec::new(),
            false => answered(pipeline.query(&mut self.keyspace.connection)),
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // Back to the keys that the keyspace knows and removes. If the server is gone, so are the keys.
        let _ = self.reset();
    }
}

/// Returns the key under which a node has an entry.
fn key(keyspace: &Keyspace, node: usize, name: &str) -> String {
    format!("{}:{name}", keyspace.key(node as u64))
}

/// A node joins where the remainder chooses.
fn naive(nodes: &mut Nodes, set: &Set) -> RedisResult<()> {
    relocate(&mut nodes.keyspace, set, by_remainder, [set.nodes, set.nodes + 1])
}

/// A node joins where the highest score chooses.
fn optimized(nodes: &mut Nodes, set: &Set) -> RedisResult<()> {
    relocate(&mut nodes.keyspace, set, by_score, [set.nodes, set.nodes + 1])
}

/// A node joins where the last jump chooses.
fn jump(nodes: &mut Nodes, set: &Set) -> RedisResult<()> {
    relocate(&mut nodes.keyspace, set, by_jump, [set.nodes, set.nodes + 1])
}

fn by_remainder(name: &str, nodes: usize) -> usize {
    (hash(name) % nodes as u64) as usize
}

fn by_score(name: &str, nodes: usize) -> usize {
    let hash = hash(name);
    // A node's name would be hashed once, too.
    let score = |node: &usize| mixed(hash ^ mixed(*node as u64));
    (0..nodes).max_by_key(score).expect("there is a node")
}

/// Jump hashing, by Lamping and Veach: <https://arxiv.org/abs/1406.2294>.
fn by_jump(name: &str, nodes: usize) -> usize {
    last_jump(hash(name), nodes as i64) as usize
}

fn last_jump(mut state: u64, nodes: i64) -> i64 {
    let (mut last, mut next) = (0, 0);
    while next < nodes {
        last = next;
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let share = (1_u64 << 31) as f64 / ((state >> 33) + 1) as f64;
        next = ((last + 1) as f64 * share) as i64;
    }
    last
}

fn hash(name: &str) -> u64 {
    mixed(fnv1a(name.bytes()))
}

/// Makes each bit depend on all (the finalizer of SplitMix64).
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Moves each entry whose node changes with the number of nodes.
fn relocate(
    keyspace: &mut Keyspace,
    set: &Set,
    route: Route,
    [before, after]: [usize; 2],
) -> RedisResult<()> {
    let moving = set.entries.iter().filter_map(|(name, _)| {
        let [from, to] = [before, after].map(|nodes| route(name, nodes));
        (from != to).then(|| [from, to].map(|node| key(keyspace, node, name)))
    });
    for moving in moving.collect::<Vec<[String; 2]>>().chunks(AT_ONCE) {
        let mut reads = Pipeline::with_capacity(moving.len());
        for [from, _] in moving {
            reads.get(from);
        }
        let values: Vec<String> = reads.query(&mut keyspace.connection)?;
        let mut writes = Pipeline::with_capacity(2 * moving.len());
        for ([from, to], value) in moving.iter().zip(values) {
            writes.set_ex(to, value, LIFETIME_S).ignore().del(from).ignore();
        }
        let () = writes.query(&mut keyspace.connection)?;
    }
    Ok(())
}

fn set(case: &Case) -> Set {
    let mut rng = case.rng("entries");
    let mut names = case.values(case.items(KEYS));
    names.sort_unstable();
    names.dedup();
    let entry = |name: u64| {
        let length = rng.random_range(150..=250);
        let value = (0..length).map(|_| char::from(rng.random_range(b' '..=b'~'))).collect();
        (format!("session:{}:{name:016x}", case.turn), value)
    };
    Set { nodes: case.point as usize, entries: names.into_iter().map(entry).collect() }
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let sets = case.rotate(8, set);
    let trial = Trial::new(
        sets.measured(|set| set.nodes as u64),
        over(&sets, by_remainder, naive)?,
        over(&sets, by_score, optimized)?,
    );
    Ok(trial.alternative(over(&sets, by_jump, jump)?))
}

/// The side on nodes whose keys its own route has placed, and the server's count of those that move.
fn over(
    sets: &Inputs<Set>,
    route: Route,
    side: fn(&mut Nodes, &Set) -> RedisResult<()>,
) -> Result<impl Runner + 'static, Unavailable> {
    let nodes = Rc::new(RefCell::new(Nodes::new(sets, route)?));
    let join = move |nodes: &RefCell<Nodes>, set: &Set| {
        let mut nodes = nodes.borrow_mut();
        answered(side(&mut nodes, set));
        nodes.moved = Some(set.clone());
    };
    let (counted, counted_sets) = (Rc::clone(&nodes), sets.clone());
    let runner = changing(
        sets,
        nodes,
        |nodes| answered(nodes.borrow_mut().reset()),
        move |nodes, set| join(nodes, set),
        |nodes| nodes.borrow_mut().outcome(),
    );
    Ok(runner.counting(KEYS_MOVED, move |input| {
        answered(counted.borrow_mut().reset());
        join(&counted, &counted_sets[input]);
        counted.borrow_mut().keys_moved()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    const ROUTES: [Route; 3] = [by_remainder, by_score, by_jump];

    fn named(count: u64) -> Vec<String> {
        (0..count).map(|name| format!("session:{name}")).collect()
    }

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "consistent_hash") {
            return;
        }
        let entries: Vec<_> =
            named(30).into_iter().map(|name| (name.clone(), format!("{name}\r\n"))).collect();
        let values: Vec<_> = entries.iter().map(|(_, value)| Some(value.clone())).collect();
        let set = Set { nodes: 2, entries: entries.into() };
        let sides = [naive, optimized, jump];
        for (route, side) in ROUTES.into_iter().zip(sides) {
            let mut nodes = Nodes::new(std::slice::from_ref(&set), route).unwrap();
            let moves = set.entries.iter().filter(|(name, _)| route(name, 2) != route(name, 3));
            side(&mut nodes, &set).unwrap();
            nodes.moved = Some(set.clone());
            assert_eq!(nodes.outcome(), (values.clone(), 30));
            assert_eq!(nodes.keys_moved(), moves.count() as u64);
            // The node leaves again, and each key is where it was.
            nodes.reset().unwrap();
            nodes.moved = Some(set.clone());
            assert_eq!(nodes.keys_moved(), 0);
            nodes.moved = None;
        }
    }

    /// From the tests of other implementations, which take them from the paper's.
    #[test]
    fn known_jumps() {
        for (key, nodes, node) in [
            (1, 1, 0),
            (42, 57, 43),
            (0xdead_10cc, 1, 0),
            (0xdead_10cc, 666, 361),
            (256, 1_024, 520),
        ] {
            assert_eq!(last_jump(key, nodes), node);
        }
    }

    #[test]
    fn only_keys_of_the_new_node_move() {
        for nodes in 1..20 {
            for name in named(200) {
                for route in [by_score, by_jump] {
                    let (before, after) = (route(&name, nodes), route(&name, nodes + 1));
                    assert!(after == before || after == nodes, "{name} from {before} to {after}");
                }
            }
        }
    }

    #[test]
    fn nodes_have_alike_shares() {
        const NODES: usize = 8;
        for (place, route) in ROUTES.into_iter().enumerate() {
            let mut shares = [0_u64; NODES];
            named(8_000).iter().for_each(|name| shares[route(name, NODES)] += 1);
            // With seven degrees of freedom, chance exceeds 24.32 once in a thousand.
            let chi_squared: f64 =
                shares.iter().map(|share| (*share as f64 - 1_000.0).powi(2) / 1_000.0).sum();
            assert!(chi_squared < 24.32, "route {place}: {shares:?}");
        }
    }
}
