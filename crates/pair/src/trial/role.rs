//! The roles of sides.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The role of a side in its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Role {
    /// The side that a competent person writes first.
    Naive,
    /// The best side we know.
    Optimized,
    /// A crate that does the same job: the n-th of [`Pair::peers`](crate::pair::Pair::peers), from 0.
    Peer(u8),
    /// Another way of our own: the n-th of [`Pair::alternatives`](crate::pair::Pair::alternatives), from 0.
    Alternative(u8),
}

impl Role {
    /// Returns whether the side is naive or optimized, rather than run beside these two.
    pub fn is_judged(self) -> bool {
        matches!(self, Role::Naive | Role::Optimized)
    }

    /// Returns the side in words: "the optimized side".
    pub fn in_words(self) -> &'static str {
        match self {
            Role::Naive => "the naive side",
            Role::Optimized => "the optimized side",
            Role::Peer(_) => "the peer",
            Role::Alternative(_) => "the alternative",
        }
    }
}

/// Prints the name in results: `naive`, `peer`, `peer_2`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Naive => write!(f, "naive"),
            Role::Optimized => write!(f, "optimized"),
            Role::Peer(0) => write!(f, "peer"),
            Role::Peer(n) => write!(f, "peer_{}", n + 1),
            Role::Alternative(0) => write!(f, "alternative"),
            Role::Alternative(n) => write!(f, "alternative_{}", n + 1),
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> String {
        role.to_string()
    }
}

/// The name of a role that does not exist.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no side `{0}`; sides are naive, optimized, peer, peer_2, … and alternative, alternative_2, …"
)]
pub struct NoSuchRole(String);

impl TryFrom<String> for Role {
    type Error = NoSuchRole;
    fn try_from(name: String) -> Result<Role, NoSuchRole> {
        let (kind, number) = name.rsplit_once('_').unwrap_or((&name, "1"));
        let number = number.parse::<u8>().ok().and_then(|number| number.checked_sub(1));
        match (kind, number) {
            ("naive", Some(0)) => Ok(Role::Naive),
            ("optimized", Some(0)) => Ok(Role::Optimized),
            // Results before version 2 call it `reference`.
            ("peer" | "reference", Some(n)) => Ok(Role::Peer(n)),
            ("alternative", Some(n)) => Ok(Role::Alternative(n)),
            _ => Err(NoSuchRole(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_read_back_from_its_name() {
        let roles = [Role::Naive, Role::Optimized, Role::Peer(0), Role::Peer(1)];
        for role in roles.into_iter().chain([Role::Alternative(0), Role::Alternative(2)]) {
            assert_eq!(Role::try_from(role.to_string()).unwrap(), role);
        }
        assert_eq!(Role::try_from("reference".to_owned()).unwrap(), Role::Peer(0));
        for wrong in ["", "peer_0", "peer_x", "naive_2x", "other"] {
            let error = Role::try_from(wrong.to_owned()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
