//! Where the lists of a step are in Redis, and how they are removed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use redis::{Client, RedisError, cmd};

use worthit_pair::pair::Unavailable;
use worthit_servers::Program;

/// Keys that are removed in one command.
const AT_ONCE: usize = 1_000;

/// Where the lists of a step are.
#[derive(Clone, Debug)]
pub struct Place {
    pub client: Client,
    /// How the names of keys begin, in any epoch.
    pub name: String,
    /// Lists of an earlier epoch are forgotten.
    pub epoch: Arc<AtomicU64>,
    /// Round trips.
    pub trips: Arc<AtomicU64>,
    /// Posts that a list keeps.
    pub kept: usize,
}

impl Place {
    /// Returns one whose keys nobody else has.
    pub fn new(kept: usize) -> Result<Place, Unavailable> {
        let server = worthit_servers::server(Program::Redis);
        let server = server.map_err(|missing| Unavailable(missing.to_string()))?;
        let client = Client::open(server.url());
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
    pub fn forget(&self) -> Result<(), Unavailable> {
        self.remove_keys()
            .map_err(|error| Unavailable(format!("Redis does not remove keys: {error}")))
    }

    fn remove_keys(&self) -> Result<(), RedisError> {
        let mut connection = self.client.get_connection()?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}:*", self.name));
            scan.arg("COUNT").arg(AT_ONCE);
            let (next, keys): (u64, Vec<String>) = scan.query(&mut connection)?;
            if !keys.is_empty() {
                let () = cmd("UNLINK").arg(keys).query(&mut connection)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Returns how the names of keys begin in this epoch.
    pub fn prefix(&self) -> String {
        format!("{}:{}", self.name, self.epoch.load(Relaxed))
    }
}
