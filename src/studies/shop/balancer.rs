//! Fix: several servers behind a balancer.

use crate::fixtures::nginx;
use worthit_pair::{pair::Unavailable, study::Fix};
use worthit_servers::nginx::{Nginx, Workers};

use super::server::Server;

pub const FIX: Fix = Fix {
    name: "balancer",
    title: "Put nginx in front of several servers",
    why: "The system lets a process hold a limited number of connections, and one thread answers no more than one \
          core can. nginx holds the customers' connections in several processes, takes little memory for each, and passes \
          requests on to two servers.",
    costs: "Another hop. Servers may keep nothing for themselves that a customer needs: each has its own pages, so \
            the number that says how new they must be travels with the customer. On one machine it adds no cores.",
    source: include_str!("balancer.rs"),
};

/// Servers behind the balancer.
const SERVERS: usize = 2;

/// One server, to which customers connect. `start` starts some.
pub fn before(
    start: impl Fn(usize) -> Result<Vec<Server>, Unavailable>,
) -> Result<(Vec<Server>, Option<Nginx>), Unavailable> {
    Ok((start(1)?, None))
}

/// Several, and nginx, to which customers connect.
pub fn after(
    start: impl Fn(usize) -> Result<Vec<Server>, Unavailable>,
    users: u64,
) -> Result<(Vec<Server>, Option<Nginx>), Unavailable> {
    let servers = start(SERVERS)?;
    let upstream = nginx::upstream("", servers.iter().map(Server::address));
    let balancer = Nginx::start_with(workers(users), |port| {
        // Each worker has a queue of its own, which the system fills evenly.
        format!(
            "{kept} {upstream} server {{
                listen 127.0.0.1:{port} reuseport backlog=4096;
                location / {{ {pass} proxy_next_upstream off; }}
            }}",
            kept = nginx::KEPT,
            pass = nginx::PASS
        )
    });
    Ok((servers, Some(balancer.map_err(|missing| Unavailable(missing.to_string()))?)))
}

/// Customers of one process of nginx: it has 20,000 descriptors at most on many systems, and needs some for the servers.
const OF_A_WORKER: u64 = 15_000;

fn workers(users: u64) -> Workers {
    let processes = users.div_ceil(OF_A_WORKER).clamp(1, 64) as u32;
    Workers { processes, connections: if processes == 1 && users < 4_000 { 8_192 } else { 18_000 } }
}
