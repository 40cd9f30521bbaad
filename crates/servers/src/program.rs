//! The kinds of servers: their names, how each is started, and what it is asked.

use std::{
    env, fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use url::Url;

use crate::{
    child::{Child, Children},
    nginx, postgres, rabbitmq, redis,
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The web server and proxy. A case starts its own, with its own configuration: see [`crate::nginx`].
    Nginx,
    /// The relational database.
    Postgres,
    /// It and a replica that follows it: the address of the primary, then that of the replica.
    PostgresReplica,
    /// Four of it that do not know of each other.
    PostgresShards,
    /// The message broker.
    RabbitMq,
    /// The cache and data structure server.
    Redis,
    /// Three of it that share all keys.
    RedisCluster,
}

/// What is fixed about a kind of server.
struct Kind {
    name: &'static str,
    title: &'static str,
    package: &'static str,
    /// The name of the program's file.
    file: &'static str,
    oldest: &'static str,
    addresses: Option<Addresses>,
}

/// How a server is named that is not started.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The variable of the environment that names one's own server.
    pub variable: &'static str,
    /// The variable of the environment that hands on a server.
    pub handed_on: &'static str,
    /// The scheme of each.
    pub scheme: &'static str,
    /// What the variable of one's own may hold.
    pub example: &'static str,
}

impl Addresses {
    /// How many addresses a server has.
    pub fn number(&self) -> usize {
        self.example.split(',').count()
    }
}

const NGINX: Kind = Kind {
    name: "nginx",
    title: "nginx",
    package: "nginx-light",
    file: "nginx",
    oldest: "1.18",
    // What a pair measures is a configuration, which it must make itself.
    addresses: None,
};

const POSTGRES: Kind = Kind {
    name: "postgres",
    title: "PostgreSQL",
    package: "postgresql",
    file: "postgres",
    oldest: "13",
    addresses: Some(Addresses {
        variable: "WORTHIT_POSTGRES",
        handed_on: "WORTHIT_STARTED_POSTGRES",
        scheme: "postgres",
        example: "postgres://user:password@127.0.0.1:5432/database",
    }),
};

const POSTGRES_REPLICA: Kind = Kind {
    name: "postgres_replica",
    title: "replicated PostgreSQL",
    addresses: Some(Addresses {
        variable: "WORTHIT_POSTGRES_REPLICA",
        handed_on: "WORTHIT_STARTED_POSTGRES_REPLICA",
        scheme: "postgres",
        example: "postgres://user:password@primary/database,postgres://user:password@replica/database",
    }),
    ..POSTGRES
};

const POSTGRES_SHARDS: Kind = Kind {
    name: "postgres_shards",
    title: "sharded PostgreSQL",
    addresses: Some(Addresses {
        variable: "WORTHIT_POSTGRES_SHARDS",
        handed_on: "WORTHIT_STARTED_POSTGRES_SHARDS",
        scheme: "postgres",
        example: "postgres://user:password@a/database,postgres://user:password@b/database,\
                  postgres://user:password@c/database,postgres://user:password@d/database",
    }),
    ..POSTGRES
};

const RABBITMQ: Kind = Kind {
    name: "rabbitmq",
    title: "RabbitMQ",
    package: "rabbitmq-server",
    file: "rabbitmq-server",
    oldest: "3.8",
    addresses: Some(Addresses {
        variable: "WORTHIT_AMQP",
        handed_on: "WORTHIT_STARTED_AMQP",
        scheme: "amqp",
        example: "amqp://user:password@127.0.0.1:5672/%2f",
    }),
};

const REDIS: Kind = Kind {
    name: "redis",
    title: "Redis",
    package: "redis-server",
    file: "redis-server",
    oldest: "6.0",
    addresses: Some(Addresses {
        variable: "WORTHIT_REDIS",
        handed_on: "WORTHIT_STARTED_REDIS",
        scheme: "redis",
        example: "redis://127.0.0.1:6379",
    }),
};

const REDIS_CLUSTER: Kind = Kind {
    name: "redis_cluster",
    title: "Redis Cluster",
    addresses: Some(Addresses {
        variable: "WORTHIT_REDIS_CLUSTER",
        handed_on: "WORTHIT_STARTED_REDIS_CLUSTER",
        scheme: "redis",
        example: "redis://127.0.0.1:7000,redis://127.0.0.1:7001,redis://127.0.0.1:7002",
    }),
    ..REDIS
};

/// A server that has been started and answers.
pub(crate) struct Started {
    /// Its processes; none if each case starts its own.
    pub children: Children,
    /// Its addresses; none if each case starts its own.
    pub urls: Vec<Url>,
    /// Its version, if it or its program tells.
    pub version: Option<String>,
}

/// What a server says of itself before anybody has logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Its version: "7.0.15". `None` if only a client learns it.
    pub version: Option<String>,
    /// Its process id, on its own machine, if it tells.
    pub process: Option<u32>,
}

impl Greeting {
    /// Returns it if `child` is the process that gives it, so far as it tells.
    pub fn of(self, child: &Child) -> Result<Greeting, String> {
        match self.process.is_none_or(|process| process == child.program()) {
            true => Ok(self),
            false => Err("another server has taken the port".to_owned()),
        }
    }
}

impl Program {
    /// All kinds.
    pub const ALL: [Program; 7] = [
        Program::Nginx,
        Program::Postgres,
        Program::PostgresReplica,
        Program::PostgresShards,
        Program::RabbitMq,
        Program::Redis,
        Program::RedisCluster,
    ];

    fn kind(self) -> &'static Kind {
        match self {
            Program::Nginx => &NGINX,
            Program::Postgres => &POSTGRES,
            Program::PostgresReplica => &POSTGRES_REPLICA,
            Program::PostgresShards => &POSTGRES_SHARDS,
            Program::RabbitMq => &RABBITMQ,
            Program::Redis => &REDIS,
            Program::RedisCluster => &REDIS_CLUSTER,
        }
    }

    /// Its name in protocols and results.
    pub fn name(self) -> &'static str {
        self.kind().name
    }

    /// Returns the kind with this name.
    pub fn named(name: &str) -> Option<Program> {
        Program::ALL.into_iter().find(|program| program.name() == name)
    }

    /// The Debian package that has the program.
    pub fn package(self) -> &'static str {
        self.kind().package
    }

    /// The name of the program's file.
    pub(crate) fn file(self) -> &'static str {
        self.kind().file
    }

    /// How a server of this kind is named; `None` if each case starts its own.
    pub(crate) fn addresses(self) -> Option<&'static Addresses> {
        self.kind().addresses.as_ref()
    }

    /// The oldest version that pairs can use.
    pub(crate) fn oldest(self) -> &'static str {
        self.kind().oldest
    }

    /// Returns the path of the program; `None` if it is not installed.
    pub(crate) fn installed(self) -> Option<PathBuf> {
        match self {
            Program::Postgres | Program::PostgresReplica | Program::PostgresShards => {
                postgres::installed().or_else(|| in_path(self.file()))
            }
            Program::RabbitMq => rabbitmq::installed(),
            Program::Nginx | Program::Redis | Program::RedisCluster => in_path(self.file()),
        }
    }

    /// Starts `program` on loopback, and waits until it answers.
    pub(crate) fn start(self, program: &Path) -> Result<Started, String> {
        match self {
            Program::Nginx => nginx::installed(program),
            Program::Postgres => postgres::start(program),
            Program::PostgresReplica => postgres::start_with_replica(program),
            Program::PostgresShards => postgres::start_shards(program),
            Program::RabbitMq => rabbitmq::start(program),
            Program::Redis => redis::start(program),
            Program::RedisCluster => redis::start_cluster(program),
        }
    }

    /// Asks the server at `url` whether it is one. No error names a password.
    pub(crate) fn greet(self, url: &Url) -> Result<Greeting, String> {
        match self {
            Program::Nginx => Err("each case starts its own".to_owned()),
            Program::Postgres | Program::PostgresReplica | Program::PostgresShards => {
                postgres::greet(url)
            }
            Program::RabbitMq => rabbitmq::greet(url),
            Program::Redis => redis::greet(url),
            Program::RedisCluster => redis::greet_cluster(url),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().title)
    }
}

/// Parses an address of a server that is started.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.to_string())
}

/// Returns the executable file of this name in a folder of `PATH`, or among the programs of administrators, which `PATH`
/// does not have for others.
pub(crate) fn in_path(file: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&folders).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(file)).find(|path| is_program(path))
}

/// Returns whether a path is one of an executable file.
pub(crate) fn is_program(path: &Path) -> bool {
    let found = fs::metadata(path);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executable_files_are_programs() {
        assert!(in_path("sh").is_some());
        for no_program in ["", "no-such-program"] {
            assert_eq!(in_path(no_program), None);
        }
        assert!(!is_program(Path::new("/etc/passwd")));
    }

    #[test]
    fn names_are_read_back() {
        for program in Program::ALL {
            assert_eq!(Program::named(program.name()), Some(program));
            if let Some(addresses) = program.addresses() {
                let examples = crate::parse(addresses, addresses.example).unwrap();
                assert!(examples.iter().all(|url| url.scheme() == addresses.scheme));
            }
        }
        assert_eq!(Program::named("oracle"), None);
    }
}
