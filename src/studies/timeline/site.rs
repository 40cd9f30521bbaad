//! One step of the application as its clients see it: an address, and what is behind it.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hyper::{Request, StatusCode, body::Incoming};
use tokio::runtime::Runtime;

use super::{
    balancer, cache, load,
    place::Place,
    server::{Plan, Server},
    tables::{SharedTables, Size, Tables},
};
use crate::fixtures::http::{Client, Service, closed_loop};
use worthit_pair::{pair::Unavailable, study::Applied};
use worthit_servers::nginx::Nginx;

/// Timelines that are filled at the same time when a step begins.
const FILLED_AT_ONCE: usize = 16;

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
    pub size: Size,
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
        let place = Place::new(size.kept())?;
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
        place.forget()?;
        place.epoch.fetch_add(1, Relaxed);
        if self.size.is_restored {
            return Ok(());
        }
        self.fill_lists()
            .map_err(|error| Unavailable(format!("a timeline cannot be read: {error}")))
    }

    /// Reads the timeline of everybody who is online.
    fn fill_lists(&self) -> io::Result<()> {
        self.runtime.block_on(async {
            let client = Client::connect(self.front.address, FILLED_AT_ONCE).await;
            let client = client.map_err(io::Error::other)?;
            let reads = load::online(self.size).map(|user| {
                let (client, path) = (&client, load::timeline_path(user));
                async move {
                    let answer = client.send(&path, &[]).await?;
                    match answer.status() {
                        StatusCode::OK => Ok(()),
                        // A server says in the body what it lacks.
                        _ => Err(io::Error::other(String::from_utf8_lossy(answer.body()))),
                    }
                }
            });
            closed_loop(FILLED_AT_ONCE, reads).await.map(drop)
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // If the server is gone, so are the keys; else it forgets them within an hour.
        let _ = self.place.as_ref().map(Place::forget);
    }
}
