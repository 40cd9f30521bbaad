//! Fix: let an edge send the pictures.

use std::{net::SocketAddr, path::Path};

use crate::fixtures::nginx;
use worthit_pair::{pair::Unavailable, study::Fix};
use worthit_servers::nginx::Nginx;

pub const FIX: Fix = Fix {
    name: "cdn",
    title: "Let an edge send the pictures",
    why: "Many requests are for pictures that never change. The application read each from the disk, for \
          every customer. nginx keeps what the application has sent once, and the name of the pictures leads to it.",
    costs: "Another server, and another name. A picture that changes needs a new address, because the edge keeps \
            the old one. Here the edge is as near as the shop is, has all pictures before, and its connections are shared; \
            elsewhere it is nearer to the customers, and that is what most rent it for.",
    source: include_str!("cdn.rs"),
};

/// The name of the pictures leads to the shop.
pub fn before(shop: SocketAddr) -> SocketAddr {
    shop
}

/// Starts an edge, which the name of the pictures leads to. It keeps them in `folder`.
pub fn after(shop: SocketAddr, folder: &Path) -> Result<Nginx, Unavailable> {
    nginx::cache(shop, folder, "proxy_cache_lock on;")
}
