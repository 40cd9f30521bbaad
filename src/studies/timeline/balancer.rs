//! Fix: several servers of the application behind a load balancer.

use super::site::Front;
use crate::fixtures::{
    http::Service,
    nginx::{self, PASS},
};
use worthit_pair::{pair::Unavailable, study::Fix};

pub const FIX: Fix = Fix {
    name: "balancer",
    title: "Put a load balancer in front of several servers",
    why: "One process answers all requests on one thread, and uses one core at most. nginx passes requests on to several \
          in turn. That pays where the application's own work takes the time and other cores have nothing to do. On a \
          machine whose few cores are busy with databases, clients and the balancer itself, it only adds a hop.",
    costs: "One more hop, and one more thing that can fail. Servers may keep nothing for themselves, which these do not. \
            Each has pools of its own, so that the databases have several times the connections.",
    source: include_str!("balancer.rs"),
};

/// Servers behind the balancer.
const SERVERS: usize = 3;

/// Starts one server, to which clients connect.
pub fn before(start: impl Fn() -> Result<Service, Unavailable>) -> Result<Front, Unavailable> {
    let server = start()?;
    Ok(Front { address: server.address(), _balancer: None, _servers: vec![server] })
}

/// Starts several servers, and nginx in front of them, to which clients connect. It passes requests on in turn.
pub fn after(start: impl Fn() -> Result<Service, Unavailable>) -> Result<Front, Unavailable> {
    let servers = (0..SERVERS).map(|_| start()).collect::<Result<Vec<Service>, _>>()?;
    let upstream = nginx::upstream("", servers.iter().map(Service::address));
    let balancer = nginx::start(|port| {
        format!("{upstream} server {{ listen 127.0.0.1:{port}; location / {{ {PASS} }} }}")
    })?;
    Ok(Front { address: balancer.address(), _balancer: Some(balancer), _servers: servers })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeMap};

    use http_body_util::Full;
    use hyper::Response;

    use super::*;
    use crate::fixtures::http::{Client, runtime};
    use worthit_pair::proof::has_servers;
    use worthit_servers::Program;

    #[test]
    fn servers_answer_in_turn() {
        if !has_servers(&[Program::Nginx], "studies/timeline") {
            return;
        }
        let started = Cell::new(0);
        let start = || {
            let number = started.replace(started.get() + 1);
            let answer = move |_| async move { Response::new(Full::from(number.to_string())) };
            Service::start(async move || Ok(answer))
        };
        for (front, servers) in [(before(start).unwrap(), 1), (after(start).unwrap(), SERVERS)] {
            let answers = runtime().unwrap().block_on(async {
                let client = Client::connect(front.address, 1).await.unwrap();
                let mut answers: BTreeMap<String, u32> = BTreeMap::new();
                for _ in 0..2 * SERVERS {
                    *answers.entry(client.text("/").await.unwrap()).or_default() += 1;
                }
                answers
            });
            let each = 2 * (SERVERS / servers) as u32;
            assert_eq!(answers.into_values().collect::<Vec<_>>(), vec![each; servers]);
        }
    }
}
