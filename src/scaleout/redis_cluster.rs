//! Spread the keys of one Redis over the masters of a cluster.

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc};

use futures_util::future::{join_all, try_join_all};
use rand::{RngExt, seq::index};
use redis::{
    AsyncCommands, Client, Connection, RedisError, RedisResult, aio::MultiplexedConnection,
    cluster::ClusterClient, cluster_async::ClusterConnection,
};
use tokio::runtime::{Builder, Runtime};

use crate::fixtures::redis::{LIFETIME_S, answered};
use worthit_pair::prelude::*;

/// Users, each of whom has a few keys.
const USERS: u64 = 1_000;
/// What a page of a user needs.
const PARTS: [&str; 3] = ["profile", "cart", "settings"];
/// Users in a list.
const LISTED: usize = 4;

const BUSIEST: Cause = Cause::new("commands_on_the_busiest", "commands on the busiest node")
    .counted("between two readings of each node's INFO commandstats");

pub const PAIR: Pair = Pair {
    title: "Spread keys over a Redis Cluster",
    review: Review {
        smell: "One Redis uses its core up, or its keys no longer fit into one machine's memory.",
        remedy: "Redis Cluster with masters on machines of their own, and a client that knows which has which slots: a \
                 `ClusterConnection`. Keys that one command takes together share a hash tag, the part in braces, as the \
                 parts of a page do here. Other commands with many keys fail with the error CROSSSLOT unless the client splits them, \
                 as it does for an `mget` of a list.",
        keep_naive_when: "One core answers all commands, and one machine holds all keys. Or the nodes would share the cores \
                          of one machine, as they do here.",
        costs: "Three servers to run, or six with replicas. No transaction, script or command over keys of different slots. \
                A command that is split becomes several, and is not atomic. A client that follows slots when they move.",
        lint: Lint::None,
    },
    naive: Side { summary: "one server has all keys", growth: Growth::Linear },
    optimized: Side {
        summary: "three masters share the slots of the keys",
        growth: Growth::Linear,
    },
    input: "A burst of requests at once, in a closed loop, over connections that many requests share. Of eight, six read \
            the three parts of a random user of 1,000 with one MGET, one writes when a user was last seen, and one reads a \
            part of four users. Values have 100 to 300 characters. All nodes, the one server and the program share the \
            cores of this machine: what a cluster gains on machines of its own is not measured.",
    axis: Axis {
        name: "requests at once",
        unit: "requests",
        is_size: true,
        points: Points::Fixed { default: &[8, 64, 512], deep: &[] },
    },
    unit: "request",
    headline: Headline::At { level: "", point: 64 },
    causes: &[Claim {
        cause: BUSIEST,
        naive: Count::Exactly(|case| case.point),
        // A list is split into a command for each slot, and the slots of random keys are not spread evenly.
        optimized: Count::AtMost(|case| case.point * 7 / 8),
    }],
    explanation: Explanation {
        why: "The busiest node has fewer commands than the one server had, so where each node has a core the burst is done \
              earlier. Here they share the cores with each other and with the program, and the work is more: the client \
              computes the slot of each key, writes to three connections in place of one, and splits the lists.",
        share_of_cause: ShareOfCause::Within(0.1, 0.6),
        far_end: FarEnd::Falls(
            "one connection carries the more requests in a packet the more there are, while the cluster's client works \
             on each",
        ),
        keep_naive: KeepNaive::Everywhere,
    },
    traps: &[
        &Trap {
            name: "all keys share a hash tag",
            reason: "one node would have them all, and no command would be split",
            check: |inputs: &[Burst]| {
                let reads = inputs.iter().flatten().filter_map(|request| match request {
                    Request::Read(keys) => Some(keys),
                    Request::Write(..) => None,
                });
                let tags =
                    |keys: &Vec<String>| keys.iter().map(|key| tag(key).to_owned()).collect();
                let most =
                    reads.map(|keys| -> HashSet<String> { tags(keys) }).map(|tags| tags.len());
                let most = most.max().unwrap_or(0);
                ensure(most == LISTED, || format!("at most {most} tags in a read"))
            },
            sprung: || vec![vec![Request::Read(vec!["a{1}".to_owned(), "b{1}".to_owned()])]],
        },
        &Trap {
            name: "the same keys again and again",
            reason: "the server would find a few entries in its nearest cache",
            check: |inputs: &[Burst]| {
                let requests = inputs.iter().map(Vec::len).sum::<usize>();
                let keys = inputs.iter().flatten().flat_map(Request::keys);
                let keys: HashSet<&String> = keys.collect();
                ensure(keys.len() >= requests.min(USERS as usize), || {
                    format!("{} keys in {requests} requests", keys.len())
                })
            },
            sprung: || vec![vec![Request::Read(vec!["a{1}".to_owned()]); 8]; 2],
        },
    ],
    limit: Limit::None("no machine number is the CPU time of a command and of its client"),
    proof: Proof { resources: Resources::System, max_size: 40 },
    servers: &[Program::Redis, Program::RedisCluster],
    prepare,
    ..Pair::DEFAULTS
};

#[derive(Clone, Debug)]
enum Request {
    /// Reads the values of some keys.
    Read(Vec<String>),
    /// Sets the value of a key.
    Write(String, String),
}

impl Request {
    fn keys(&self) -> &[String] {
        match self {
            Request::Read(keys) => keys,
            Request::Write(key, _) => std::slice::from_ref(key),
        }
    }
}

type Burst = Vec<Request>;

/// The values of a read; of a write, none.
type Values = Vec<Option<String>>;

/// Returns the part of a key that chooses its slot.
fn tag(key: &str) -> &str {
    let (_, rest) = key.split_once('{').unwrap_or(("", key));
    rest.split_once('}').map_or(key, |(tag, _)| tag)
}

/// Answers the requests at once.
async fn naive(server: &MultiplexedConnection, burst: &[Request]) -> RedisResult<Vec<Values>> {
    let requests = burst.iter().map(|request| answer(server.clone(), request.clone()));
    join_all(requests).await.into_iter().collect()
}

/// Answers the requests at once.
async fn optimized(cluster: &ClusterConnection, burst: &[Request]) -> RedisResult<Vec<Values>> {
    let requests = burst.iter().map(|request| answer(cluster.clone(), request.clone()));
    join_all(requests).await.into_iter().collect()
}

async fn answer(mut connection: impl AsyncCommands, request: Request) -> RedisResult<Values> {
    match request {
        Request::Read(keys) => connection.mget(keys).await,
        Request::Write(key, value) => {
            let () = connection.set_ex(key, value, LIFETIME_S).await?;
            Ok(Values::new())
        }
    }
}

/// The entries of a case on one server or a cluster, with the connection of a side.
struct Store<C: AsyncCommands + Clone> {
    runtime: Arc<Runtime>,
    connection: C,
    /// A connection to each node, which is asked for its counts.
    nodes: Vec<Connection>,
    keys: Vec<String>,
    /// What was answered last, and the keys that were written.
    answers: Vec<Values>,
    written: Vec<String>,
}

impl Store<MultiplexedConnection> {
    fn single(entries: &[(String, String)]) -> Result<Self, Unavailable> {
        let connect =
            async |urls: &[&str]| Client::open(urls[0])?.get_multiplexed_async_connection().await;
        Store::new(Program::Redis, entries, connect)
    }
}

impl Store<ClusterConnection> {
    fn cluster(entries: &[(String, String)]) -> Result<Self, Unavailable> {
        let connect = async |urls: &[&str]| {
            ClusterClient::new(urls.iter().copied())?.get_async_connection().await
        };
        Store::new(Program::RedisCluster, entries, connect)
    }
}

impl<C: AsyncCommands + Clone> Store<C> {
    fn new(
        program: Program,
        entries: &[(String, String)],
        connect: impl AsyncFn(&[&str]) -> RedisResult<C>,
    ) -> Result<Store<C>, Unavailable> {
        let server = worthit_servers::server(program);
        let server = server.map_err(|missing| Unavailable(missing.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|e| Unavailable(format!("cannot start a tokio runtime: {e}")))?;
        let failed = |error: RedisError| Unavailable(format!("{program}: {error}"));
        let nodes = server.urls().into_iter().map(|url| Client::open(url)?.get_connection());
        let nodes = nodes.collect::<RedisResult<_>>().map_err(failed)?;
        let connection = runtime.block_on(connect(&server.urls())).map_err(failed)?;
        let (answers, written) = (Vec::new(), Vec::new());
        let mut store = Store {
            runtime: Arc::new(runtime),
            connection,
            nodes,
            keys: Vec::new(),
            answers,
            written,
        };
        store.keys = entries.iter().map(|(key, _)| key.clone()).collect();
        let writes = entries.iter().map(|(key, value)| {
            answer(store.connection.clone(), Request::Write(key.clone(), value.clone()))
        });
        store.runtime.block_on(try_join_all(writes)).map_err(failed)?;
        Ok(store)
    }

    fn outcome(&mut self) -> (Vec<Values>, Vec<Values>) {
        let reads = self
            .written
            .iter()
            .map(|key| answer(self.connection.clone(), Request::Read(vec![key.clone()])));
        (self.answers.clone(), answered(self.runtime.block_on(try_join_all(reads))))
    }

    /// How many commands of a burst each node has run so far.
    fn commands(&mut self) -> Vec<u64> {
        let count = |node: &mut Connection| {
            let stats: String = answered(redis::cmd("INFO").arg("commandstats").query(node));
            let calls = |name: &str| -> u64 {
                let line = stats.lines().find_map(|line| line.strip_prefix(name));
                let calls = line.and_then(|line| line.split(',').next()?.parse().ok());
                calls.unwrap_or(0)
            };
            calls("cmdstat_mget:calls=") + calls("cmdstat_setex:calls=")
        };
        self.nodes.iter_mut().map(count).collect()
    }
}

impl<C: AsyncCommands + Clone> Drop for Store<C> {
    fn drop(&mut self) {
        let removals = self.keys.iter().map(|key| {
            let mut connection = self.connection.clone();
            async move { connection.unlink::<_, ()>(key).await }
        });
        // If a server is gone, so are its keys; else it forgets them within an hour.
        self.runtime.block_on(join_all(removals));
    }
}

/// Returns the key of a part of a user.
fn key(prefix: u64, user: u64, part: &str) -> String {
    format!("worthit:{prefix:016x}:{{user:{user}}}:{part}")
}

fn entries(case: &Case, prefix: u64, users: u64) -> Vec<(String, String)> {
    let mut rng = case.rng("entries");
    let users = (0..users).flat_map(|user| PARTS.map(|part| key(prefix, user, part)));
    let entry = |key: String| {
        let length = rng.random_range(100..=300);
        (key, (0..length).map(|_| char::from(rng.random_range(b' '..=b'~'))).collect())
    };
    users.map(entry).collect()
}

fn burst(case: &Case, prefix: u64, users: u64) -> Burst {
    let mut rng = case.rng("lists");
    let values = case.values(case.point as usize).into_iter().enumerate();
    let request = |(place, value): (usize, u64)| {
        let user = value % users;
        match place % 8 {
            3 => {
                let listed = index::sample(&mut rng, users as usize, LISTED.min(users as usize));
                Request::Read(
                    listed.iter().map(|user| key(prefix, user as u64, PARTS[0])).collect(),
                )
            }
            // Each write of a burst has a key of its own, so that their order plays no part.
            7 => Request::Write(
                format!("{}:{place}", key(prefix, user, "seen")),
                format!("{value:x}"),
            ),
            _ => Request::Read(PARTS.map(|part| key(prefix, user, part)).to_vec()),
        }
    };
    values.map(request).collect()
}

fn prepare(case: &Case) -> Result<Trial, Unavailable> {
    let users = case.items(USERS).max(1) as u64;
    let prefix = rand::random();
    let bursts = case.rotate(16, |case| burst(case, prefix, users));
    let entries = entries(case, prefix, users);
    let trial = Trial::new(
        bursts.measured(|burst| burst.len() as u64),
        over(&bursts, Store::single(&entries)?, async |server, burst| naive(server, burst).await),
        over(&bursts, Store::cluster(&entries)?, async |cluster, burst| {
            optimized(cluster, burst).await
        }),
    );
    Ok(trial.units(case.point))
}

/// The side with each burst, and the nodes' counts of its commands.
fn over<C: AsyncCommands + Clone + 'static>(
    bursts: &Inputs<Burst>,
    mut store: Store<C>,
    side: impl AsyncFn(&C, &[Request]) -> RedisResult<Vec<Values>> + 'static,
) -> impl Runner + 'static {
    for request in bursts.iter().flatten() {
        if let Request::Write(key, _) = request {
            store.keys.push(key.clone());
        }
    }
    let runtime = Arc::clone(&store.runtime);
    let answer = Rc::new(move |store: &RefCell<Store<C>>, burst: &[Request]| {
        let mut store = store.borrow_mut();
        store.answers = answered(runtime.block_on(side(&store.connection, burst)));
    });
    let store = Rc::new(RefCell::new(store));
    let (counted, again, counted_bursts) = (Rc::clone(&store), Rc::clone(&answer), bursts.clone());
    let runner = changing(
        bursts,
        store,
        |_| {},
        move |store, burst| {
            answer(store, burst);
            let written = burst.iter().filter(|request| matches!(request, Request::Write(..)));
            store.borrow_mut().written = written.map(|request| request.keys()[0].clone()).collect();
        },
        |store| store.borrow_mut().outcome(),
    );
    runner.counting(BUSIEST, move |input| {
        let before = counted.borrow_mut().commands();
        again(&counted, &counted_bursts[input]);
        let after = counted.borrow_mut().commands();
        let commands = before.iter().zip(after).map(|(before, after)| after - before);
        commands.max().expect("there is a node")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use worthit_pair::proof::has_servers;

    #[test]
    fn known_answers() {
        if !has_servers(PAIR.servers, "redis_cluster") {
            return;
        }
        let prefix = rand::random();
        let keys = [1, 2, 3, 4].map(|user| key(prefix, user, "profile"));
        let entries = [0, 2].map(|place| (keys[place].clone(), format!("{place}\r\n")));
        let burst = [
            Request::Read(keys.to_vec()),
            Request::Write(keys[3].clone(), String::new()),
            Request::Read(vec![keys[2].clone()]),
        ];
        let some = |text: &str| Some(text.to_owned());
        let expected: [Values; 3] =
            [vec![some("0\r\n"), None, some("2\r\n"), None], vec![], vec![some("2\r\n")]];
        let mut single = Store::single(&entries).unwrap();
        let mut cluster = Store::cluster(&entries).unwrap();
        // The write may come before or after the read of the same key, so it is read on its own.
        let [read, write, other] = burst;
        for request in [[read], [write], [other]].iter().zip(&expected) {
            let (burst, expected) = request;
            let found = single.runtime.block_on(naive(&single.connection, burst)).unwrap();
            assert_eq!(found[0], *expected);
            let found = cluster.runtime.block_on(optimized(&cluster.connection, burst)).unwrap();
            assert_eq!(found[0], *expected);
        }
        single.keys.push(keys[3].clone());
        cluster.keys.push(keys[3].clone());
    }

    #[test]
    fn trap_a_command_over_slots_is_refused_unless_it_is_split() {
        if !has_servers(PAIR.servers, "redis_cluster") {
            return;
        }
        let prefix = rand::random();
        let [one, other] = [1, 2].map(|user| key(prefix, user, "profile"));
        let mut cluster =
            Store::cluster(&[(one.clone(), "1".to_owned()), (other.clone(), "2".to_owned())])
                .unwrap();
        let asked: RedisResult<Values> =
            redis::cmd("MGET").arg(&one).arg(&other).query(&mut cluster.nodes[0]);
        assert_eq!(asked.unwrap_err().code(), Some("CROSSSLOT"));
        let split = answer(cluster.connection.clone(), Request::Read(vec![one.clone(), other]));
        let values = cluster.runtime.block_on(split).unwrap();
        assert_eq!(values, ["1", "2"].map(|text| Some(text.to_owned())));
        // Keys of one tag have one slot, so that one command takes them.
        let mut slot = |key: String| -> u64 {
            answered(redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut cluster.nodes[0]))
        };
        let slots: HashSet<u64> = PARTS.map(|part| key(prefix, 1, part)).map(&mut slot).into();
        assert_eq!(slots.len(), 1);
        let parts = PARTS.map(|part| key(prefix, 1, part)).to_vec();
        let values =
            cluster.runtime.block_on(answer(cluster.connection.clone(), Request::Read(parts)));
        assert_eq!(values.unwrap(), [Some("1".to_owned()), None, None]);
    }
}
