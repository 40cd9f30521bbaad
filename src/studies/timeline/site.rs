//! One step of the application as its clients see it: an address, and what is behind it.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hyper::{Request, body::Incoming};
use redis::{Client as RedisClient, Connection, RedisError};
use tokio::runtime::Runtime;

use super::{
    balancer, cache,
    lists::Place,
    load,
    server::{Plan, Server},
    tables::{SharedTables, Size, Tables},
};
use crate::fixtures::http::{Client, Service, closed_loop};
use worthit_pair::{pair::Unavailable, study::Applied};
use worthit_servers::{Program, nginx::Nginx};

/// Timelines that are filled at the same time when a step begins.
const FILLED_AT_ONCE: usize = 16;
/// Keys that are removed in one command.
const AT_ONCE: usize = 1_000;

/// What clients connect to. The balancer ends before its servers.
pub struct Front {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What passes their requests on, if there is one.
    pub _balancer: Option<Nginx>,
    /// What answers them.
    pub _servers: Vec<Service>,
}

/// The step whose turn it is, so that another one knows that it begins.
pub type Turn = Rc<Cell<Option<usize>>>;

/// What all steps have in common.
pub struct Surroundings {
    pub size: Size,
    pub tables: SharedTables,
    pub turn: Turn,
    /// Drives the clients.
    pub runtime: Arc<Runtime>,
}

/// A step.
pub struct Site {
    step: usize,
    size: Size,
    turn: Turn,
    pub front: Front,
    pub runtime: Arc<Runtime>,
    tables: Rc<Tables>,
    /// Where the lists of a step with the cache are.
    place: Option<Place>,
    /// Statements that its servers sent.
    pub statements: Arc<AtomicU64>,
    /// Round trips to Redis.
    pub trips: Arc<AtomicU64>,
}

impl Site {
    /// Starts the servers of a step, and makes the tables if no step before has the same.
    pub fn open(
        surroundings: &Surroundings,
        step: usize,
        applied: &Applied,
    ) -> Result<Site, Unavailable> {
        let Surroundings { size, tables, turn, runtime } = surroundings;
        let tables = tables.of(*size, applied)?;
        let place = place(size.kept())?;
        let plan = Plan {
            applied: applied.clone(),
            size: *size,
            access: tables.access(),
            place: place.clone(),
            statements: Arc::default(),
        };
        let statements = Arc::clone(&plan.statements);
        let start = || {
            let plan = plan.clone();
            Service::start(async move || {
                let server = Arc::new(Server::open(plan).await?);
                Ok(move |request: Request<Incoming>| {
                    let server = Arc::clone(&server);
                    async move { server.answer(request).await }
                })
            })
        };
        let front = match applied.has(&balancer::FIX) {
            true => balancer::after(start)?,
            false => balancer::before(start)?,
        };
        Ok(Site {
            step,
            size: *size,
            turn: Rc::clone(turn),
            front,
            runtime: Arc::clone(runtime),
            tables,
            trips: Arc::clone(&place.trips),
            place: applied.has(&cache::FIX).then_some(place),
            statements,
        })
    }

    /// Makes everything as it is at first, if another step had its turn before this one, or if sessions start afresh:
    /// the tables, and the lists, which have those of the users who are online when a step is measured.
    pub fn begin(&self) -> Result<(), Unavailable> {
        let was_its_turn = self.turn.replace(Some(self.step)) == Some(self.step);
        if was_its_turn && !self.size.is_restored {
            return Ok(());
        }
        self.tables.restore()?;
        let Some(place) = &self.place else { return Ok(()) };
        forget(place)?;
        place.epoch.fetch_add(1, Relaxed);
        if self.size.is_restored {
            return Ok(());
        }
        self.fill_lists()
            .map_err(|error| Unavailable(format!("a timeline cannot be read: {error}")))
    }

    /// Reads the timeline of everybody who is online.
    fn fill_lists(&self) -> std::io::Result<()> {
        self.runtime.block_on(async {
            let client = Client::connect(self.front.address, FILLED_AT_ONCE).await;
            let client = client.map_err(std::io::Error::other)?;
            let paths = load::online(self.size).map(load::timeline_path);
            let reads = paths.map(|path| {
                let client = &client;
                async move { client.get(&path).await }
            });
            closed_loop(FILLED_AT_ONCE, reads).await.map(drop)
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // If the server is gone, so are the keys; else it forgets them within an hour.
        let _ = self.place.as_ref().map(forget);
    }
}

/// Returns a place for lists whose keys nobody else has.
pub fn place(kept: usize) -> Result<Place, Unavailable> {
    let server = worthit_servers::server(Program::Redis);
    let server = server.map_err(|missing| Unavailable(missing.to_string()))?;
    let client = RedisClient::open(server.url());
    let client =
        client.map_err(|error| Unavailable(format!("Redis at {}: {error}", server.place())))?;
    Ok(Place {
        client,
        name: format!("worthit:{:016x}", rand::random::<u64>()),
        epoch: Arc::default(),
        trips: Arc::default(),
        kept,
    })
}

/// Removes the keys of all epochs.
pub fn forget(place: &Place) -> Result<(), Unavailable> {
    let removed = || -> Result<(), RedisError> {
        let mut connection: Connection = place.client.get_connection()?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{}:*", place.name))
                .arg("COUNT")
                .arg(AT_ONCE);
            let (next, keys): (u64, Vec<String>) = scan.query(&mut connection)?;
            if !keys.is_empty() {
                let () = redis::cmd("UNLINK").arg(keys).query(&mut connection)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    };
    removed().map_err(|error| Unavailable(format!("Redis does not remove keys: {error}")))
}
