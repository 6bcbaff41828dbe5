//! What a component reaches of the network: TCP connections to the addresses that the operator granted,
//! and nothing else.
//!
//! `wasi:sockets/tcp` and `ip-name-lookup` are ours, since wasmtime-wasi's need a runtime that waits, and
//! look names up while the guest runs. Here a name is what it was when the handler was loaded: one that
//! changes its address gains nothing. UDP is wasmtime-wasi's, and refuses.

mod link;
mod names;
mod tcp;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::{self, ip_name_lookup, network, tcp_create_socket};
use wasmtime_wasi::p2::bindings::sync;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::guest::Guest;
use super::open_files::OpenFiles;
use crate::config::{ConnectGrant, Grants};
use crate::request::Request;

/// The hosts that a service's handler may connect to, with their addresses.
#[derive(Default)]
pub(super) struct Reachable(Vec<Host>);

struct Host {
    name: String,
    addresses: Vec<SocketAddr>,
}

impl Reachable {
    /// Resolves each host once.
    ///
    /// # Errors
    ///
    /// A name has no address now: which, and what to do.
    pub(super) fn new(grants: &Grants) -> Result<Self, String> {
        let grants_to = &grants.allow_connect;
        let addresses = match &grants.addresses {
            Some(known) => known.clone(),
            None => grants_to.iter().map(resolve).collect::<Result<_, _>>()?,
        };
        let hosts = grants_to.iter().zip(addresses);
        Ok(Reachable(
            hosts
                .map(|(grant, addresses)| Host {
                    name: grant.host.clone(),
                    addresses,
                })
                .collect(),
        ))
    }

    /// Those of each host, in the order of the grants.
    pub(super) fn all_addresses(&self) -> Vec<Vec<SocketAddr>> {
        self.0.iter().map(|host| host.addresses.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_granted(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|host| host.addresses.contains(&address))
    }

    /// The addresses of a name; empty where it was not granted.
    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for host in &self.0 {
            if host.name.eq_ignore_ascii_case(name) {
                found.extend(host.addresses.iter().map(SocketAddr::ip));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn resolve(grant: &ConnectGrant) -> Result<Vec<SocketAddr>, String> {
    let addresses = (grant.host.as_str(), grant.port)
        .to_socket_addrs()
        .map_err(|error| {
            format!("--allow-connect {grant}: {error}; name a host that has an address")
        })?;
    Ok(addresses
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .collect())
}

/// What the interfaces of `wasi:sockets` that are ours work on.
pub(super) struct Network<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) open_files: &'a mut OpenFiles,
    pub(super) reachable: &'a Reachable,
    pub(super) request: &'a Arc<Request>,
}

impl HasData for Network<'static> {
    type Data<'a> = Network<'a>;
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type G = Guest;
    let options = network::LinkOptions::default();
    network::add_to_linker::<G, WasiSockets>(linker, &options, G::sockets)?;
    sockets::instance_network::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    sync::sockets::udp::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    sync::sockets::udp_create_socket::add_to_linker::<G, WasiSockets>(linker, G::sockets)?;
    ip_name_lookup::add_to_linker::<G, Network<'static>>(linker, Guest::network)?;
    tcp_create_socket::add_to_linker::<G, Network<'static>>(linker, Guest::network)?;
    sync::sockets::tcp::add_to_linker::<G, Network<'static>>(linker, Guest::network)
}
