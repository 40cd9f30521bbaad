//! What a server of the shop must know to serve in the way of a step: it may be a process of its own.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tokio_postgres::{Config, config::Host};

use super::{asynchronous, balancer, cache, cdn, queue, replica};
use worthit_pair::study::Applied;

/// The fixes that a step has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixes {
    pub asynchronous: bool,
    pub cache: bool,
    pub cdn: bool,
    pub queue: bool,
    pub replica: bool,
    pub balancer: bool,
}

impl Fixes {
    pub fn of(applied: &Applied) -> Fixes {
        Fixes {
            asynchronous: applied.has(&asynchronous::FIX),
            cache: applied.has(&cache::FIX),
            cdn: applied.has(&cdn::FIX),
            queue: applied.has(&queue::FIX),
            replica: applied.has(&replica::FIX),
            balancer: applied.has(&balancer::FIX),
        }
    }

    /// Whether a page may be older than what its reader has done, so that readers say how new it must be.
    pub fn may_be_late(self) -> bool {
        self.cache || self.replica
    }
}

/// How much a server takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// Threads of a server that has one for each connection.
    pub threads: usize,
    /// Connections to each database.
    pub pool: usize,
    /// Whether a server makes all pages when it starts, and then again and again.
    pub is_warm: bool,
}

/// The whole of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub fixes: Fixes,
    pub scale: Scale,
    pub categories: u64,
    /// The folder of the images.
    pub images: PathBuf,
    /// The mail provider.
    pub provider: SocketAddr,
    pub primary: Access,
    pub follower: Access,
    /// The end of the primary's log when the step began: pages must not be older.
    pub since: u64,
    /// A comment that marks statements of requests.
    pub mark: String,
}

/// How to connect to a database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
    options: String,
    application: String,
}

impl Access {
    pub fn of(config: &Config) -> Access {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.to_string_lossy().into_owned(),
            None => "localhost".to_owned(),
        };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let password = config.get_password().unwrap_or_default();
        Access {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: text(config.get_user()),
            password: String::from_utf8_lossy(password).into_owned(),
            database: text(config.get_dbname()),
            options: text(config.get_options()),
            application: text(config.get_application_name()),
        }
    }

    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).user(&self.user).password(&self.password);
        config.dbname(&self.database).options(&self.options).application_name(&self.application);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_leads_where_the_configuration_does() {
        let mut config: Config =
            "postgres://me:p%40ss@127.0.0.1:7000/db?application_name=x".parse().unwrap();
        config.options("-c search_path=a,public");
        let again = Access::of(&config).config();
        assert_eq!(again.get_hosts(), config.get_hosts());
        assert_eq!(again.get_ports(), [7000]);
        assert_eq!(again.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(
            [again.get_user(), again.get_dbname(), again.get_options()],
            [Some("me"), Some("db"), Some("-c search_path=a,public")]
        );
    }
}
