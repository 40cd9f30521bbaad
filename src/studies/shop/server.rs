//! Servers of the shop: each a process of its own where this program can start itself again, else threads of this one.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread,
};

use super::{
    application::Shop,
    asynchronous::{self, Threads},
    plan::Plan,
    statements::Tally,
};
use crate::fixtures::http::Service;
use worthit_pair::{
    helper::{self, Control, Helper},
    pair::Unavailable,
};

/// The id of the study, by which its helpers are found.
pub const STUDY: &str = "studies/shop";

/// A server of the shop. Dropping it ends it.
pub enum Server {
    Here { listening: Listening, tally: Arc<Tally> },
    There { helper: Box<Helper>, address: SocketAddr },
}

/// A server in this process.
pub enum Listening {
    Threads(Threads),
    Tasks(Service),
}

impl Server {
    /// Starts one; as a process if `is_process`.
    fn start(plan: &Plan, is_process: bool) -> Result<Server, Unavailable> {
        if !is_process {
            let (listening, tally) = listen(plan)?;
            return Ok(Server::Here { listening, tally });
        }
        let mut helper = helper::start(STUDY)?;
        let failed = |error: String| Unavailable(format!("a server of the shop: {error}"));
        let plan = serde_json::to_string(plan).map_err(|error| failed(error.to_string()))?;
        let said = helper.tell(&format!("serve {plan}")).and_then(|()| helper.hear());
        let said = said.map_err(|error| failed(error.to_string()))?;
        let address = said.parse().map_err(|_| failed(said))?;
        Ok(Server::There { helper: Box::new(helper), address })
    }

    /// Starts some at the same time.
    pub fn start_some(
        plan: &Plan,
        is_process: bool,
        count: usize,
    ) -> Result<Vec<Server>, Unavailable> {
        thread::scope(|scope| {
            let start = || scope.spawn(|| Server::start(plan, is_process));
            let starting: Vec<_> = (0..count).map(|_| start()).collect();
            let panicked = |_| Unavailable("a server's start panicked (see above)".to_owned());
            let started = starting.into_iter().map(|server| server.join().map_err(panicked)?);
            started.collect()
        })
    }

    /// Address on which it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Server::Here { listening, .. } => listening.address(),
            Server::There { address, .. } => *address,
        }
    }

    /// Returns what its requests have cost so far: statements, files, mails that were waited for.
    ///
    /// # Errors
    /// If its process has ended.
    pub fn counts(&mut self) -> Result<[u64; 3], Unavailable> {
        match self {
            Server::Here { tally, .. } => Ok(tally.counts()),
            Server::There { helper, .. } => {
                let said = helper.tell("count").and_then(|()| helper.hear());
                said.and_then(|said| serde_json::from_str(&said).map_err(io::Error::other)).map_err(
                    |error| Unavailable(format!("a server of the shop has ended: {error}")),
                )
            }
        }
    }

    /// Returns the memory that it holds, bytes; that of this whole process, if it is in it.
    pub fn memory(&self) -> u64 {
        worthit_servers::memory(match self {
            Server::Here { .. } => std::process::id(),
            Server::There { helper, .. } => helper.process(),
        })
    }
}

impl Listening {
    fn address(&self) -> SocketAddr {
        match self {
            Listening::Threads(threads) => threads.address(),
            Listening::Tasks(service) => service.address(),
        }
    }
}

/// Starts a server in this process.
fn listen(plan: &Plan) -> Result<(Listening, Arc<Tally>), Unavailable> {
    let plan = plan.clone();
    if plan.fixes.asynchronous {
        let tally = Arc::new(OnceLock::new());
        let told = Arc::clone(&tally);
        let service = asynchronous::after(async move || {
            let shop = Shop::open(plan).await?;
            // The first and only one.
            let _ = told.set(Arc::clone(&shop.tally));
            Ok(shop)
        })?;
        let tally = tally.get().expect("the service has opened its shop");
        return Ok((Listening::Tasks(service), Arc::clone(tally)));
    }
    let failed = |error: io::Error| Unavailable(format!("cannot start a server: {error}"));
    let runtime = asynchronous::runtime().map_err(failed)?;
    let shop = runtime.block_on(Shop::open(plan))?;
    let tally = Arc::clone(&shop.tally);
    let threads = asynchronous::before(shop, runtime).map_err(failed)?;
    Ok((Listening::Threads(threads), tally))
}

/// What a process does that is a server: it says where it listens, and then what its requests have cost whenever it is
/// asked.
pub fn serve(plan: &str, control: &mut Control) {
    let listening = serde_json::from_str(plan)
        .map_err(|error| Unavailable(error.to_string()))
        .and_then(|plan| listen(&plan));
    let (listening, tally) = match listening {
        Ok(listening) => listening,
        Err(Unavailable(reason)) => return control.tell(&reason.replace('\n', " ")),
    };
    control.tell(&listening.address().to_string());
    while control.hear().is_some() {
        control.tell(&format!("{:?}", tally.counts()));
    }
    // Its threads end with it.
    std::process::exit(0);
}
