//! The shop as one step runs it: its servers, the balancer and the edge. Only one step runs at a time.

use std::{net::Ipv4Addr, thread};

use futures_util::{TryStreamExt, stream};

use super::{
    balancer,
    browser::{Browser, Idle, Places},
    cdn,
    plan::{Access, Fixes, Plan, Scale},
    server::Server,
    warehouse::Warehouse,
    wire::{Ask, Session},
};
use worthit_pair::{pair::Unavailable, study::Applied};
use worthit_servers::nginx::Nginx;

/// How much the servers take, and where they run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub scale: Scale,
    /// Whether servers and users are processes of their own.
    pub has_processes: bool,
}

/// A step that runs.
pub struct Running {
    pub step: usize,
    /// How many steps began before it did.
    pub turn: u64,
    /// The browser of the customer whose requests are measured. It goes first, as the servers wait for nobody then.
    pub browser: Browser,
    pub places: Places,
    /// The end of the log when it began.
    pub since: u64,
    edge: Option<Nginx>,
    balancer: Option<Nginx>,
    servers: Vec<Server>,
}

/// Pictures that the edge gets at once before a step begins.
const AT_ONCE: usize = 16;

/// The customer whose requests are measured.
pub const MEASURED: u64 = 1_000_000;

/// All steps, of which at most one runs.
pub struct Premises {
    running: Option<Running>,
    pub warehouse: Warehouse,
    steps: Vec<Applied>,
    manner: Manner,
    turns: u64,
    /// Whether the folder of the edges has all pictures.
    is_edge_warm: bool,
    /// What requests have cost at the servers that have ended.
    ended: [u64; 3],
}

impl Premises {
    pub fn new(warehouse: Warehouse, steps: &[Applied], manner: Manner) -> Premises {
        let steps = steps.to_vec();
        Premises {
            running: None,
            warehouse,
            steps,
            manner,
            turns: 0,
            is_edge_warm: false,
            ended: [0; 3],
        }
    }

    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// Returns the step, which runs from now on. What another one did is taken back when it begins.
    pub fn at(&mut self, step: usize) -> Result<&mut Running, Unavailable> {
        if self.running.as_ref().is_none_or(|running| running.step != step) {
            self.end()?;
            self.running = Some(self.begin(step)?);
        }
        Ok(self.running.as_mut().expect("it has just begun"))
    }

    /// Ends the step that runs, when it has nothing left to do.
    fn end(&mut self) -> Result<(), Unavailable> {
        if let Some(mut running) = self.running.take() {
            self.warehouse.settle()?;
            for (ended, count) in self.ended.iter_mut().zip(running.counts()?) {
                *ended += count;
            }
        }
        Ok(())
    }

    fn begin(&mut self, step: usize) -> Result<Running, Unavailable> {
        self.turns += 1;
        let Premises { warehouse, manner, .. } = &*self;
        let fixes = Fixes::of(&self.steps[step]);
        let since = warehouse.restore()?;
        if manner.has_processes {
            warehouse.tidy()?;
        }
        let plan = self.plan(fixes, since);
        let start = |count| Server::start_some(&plan, manner.has_processes, count);
        let (servers, balancer) = match fixes.balancer {
            true => balancer::after(start, warehouse.size.customers)?,
            false => balancer::before(start)?,
        };
        let shop = balancer.as_ref().map_or(servers[0].address(), Nginx::address);
        let edge = fixes.cdn.then(|| cdn::after(shop, warehouse.edge())).transpose()?;
        let images = edge.as_ref().map_or(cdn::before(shop), Nginx::address);
        // The edges of all steps keep pictures in one folder. In a proof a step asks for none that another one has put there.
        let edition = if manner.scale.is_warm { 0 } else { self.turns };
        let places = Places { shop, images, edition, from: Ipv4Addr::LOCALHOST };
        let session = Session { customer: MEASURED, seen: since };
        if manner.scale.is_warm && fixes.cdn && !self.is_edge_warm {
            self.warm(places, session)?;
            self.is_edge_warm = true;
        }
        let browser = Browser::new(places, session, &Idle::default());
        Ok(Running { step, turn: self.turns, browser, places, since, edge, balancer, servers })
    }

    /// Returns how a server serves with these fixes, when the log ended at `since`.
    pub fn plan(&self, fixes: Fixes, since: u64) -> Plan {
        let Premises { warehouse, manner, .. } = self;
        Plan {
            fixes,
            scale: manner.scale,
            categories: warehouse.size.categories,
            images: warehouse.images().to_owned(),
            provider: warehouse.provider.address(),
            primary: Access::of(&warehouse.config),
            follower: Access::of(&warehouse.replica.config),
            since,
            mark: warehouse.database.marked(""),
        }
    }

    /// Fills the edge with all pictures, as those who came before have done.
    fn warm(&self, places: Places, session: Session) -> Result<(), Unavailable> {
        let idle = &Idle::default();
        let pictures = stream::iter((1..=self.warehouse.size.products).map(Ok));
        let all = pictures.try_for_each_concurrent(AT_ONCE, |product| async move {
            let picture = Ask::Image { edition: places.edition, product };
            Browser::new(places, session, idle).ask(picture).await.map(drop)
        });
        let warmed = self.warehouse.database.runtime.block_on(all);
        warmed.map_err(|no| Unavailable(format!("the edge does not answer: {}", no.0)))
    }

    /// Returns what the requests of all steps have cost so far: statements, files, mails that were waited for.
    pub fn counts(&mut self) -> Result<[u64; 3], Unavailable> {
        let running = self.running.as_mut().map_or(Ok([0; 3]), Running::counts)?;
        Ok(std::array::from_fn(|count| self.ended[count] + running[count]))
    }

    /// Returns the memory that the servers, the balancer and the edge of a step hold, bytes; zero if it does not run.
    pub fn memory(&self, step: usize) -> u64 {
        let running = self.running.as_ref().filter(|running| running.step == step);
        running.map_or(0, Running::memory)
    }
}

impl Running {
    fn counts(&mut self) -> Result<[u64; 3], Unavailable> {
        self.servers.iter_mut().try_fold([0; 3], |sum, server| {
            let counts = server.counts()?;
            Ok(std::array::from_fn(|count| sum[count] + counts[count]))
        })
    }

    fn memory(&self) -> u64 {
        let nginx = self.edge.iter().chain(&self.balancer);
        let nginx: u64 = nginx.map(|nginx| worthit_servers::memory(nginx.process())).sum();
        nginx + self.servers.iter().map(Server::memory).sum::<u64>()
    }
}

/// The last step ends before the tables do.
impl Drop for Premises {
    fn drop(&mut self) {
        drop(self.running.take());
    }
}

/// Each takes some hundredths of a second to end, so all do at the same time.
impl Drop for Running {
    fn drop(&mut self) {
        self.browser.leave();
        thread::scope(|scope| {
            for nginx in [self.edge.take(), self.balancer.take()] {
                scope.spawn(|| drop(nginx));
            }
            for server in self.servers.drain(..) {
                scope.spawn(|| drop(server));
            }
        });
    }
}
