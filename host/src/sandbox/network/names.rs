//! `wasi:sockets/ip-name-lookup`: the names that were granted, and addresses, which are their own names.

use std::net::IpAddr;
use std::vec;

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    self, Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketResult, subscribe};

use super::Network;

/// What of an answer the guest has not taken yet.
struct Addresses(vec::IntoIter<IpAddr>);

/// The linker knows a stream of addresses as wasmtime-wasi's; in the table it is ours.
fn ours(stream: &Resource<ResolveAddressStream>) -> Resource<Addresses> {
    Resource::new_borrow(stream.rep())
}

impl Host for Network<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<ip_name_lookup::Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        let addresses = match literal.parse::<IpAddr>() {
            Ok(address) => vec![address.to_canonical()],
            Err(_) => self.reachable.addresses(&name),
        };
        if addresses.is_empty() {
            return Err(ErrorCode::PermanentResolverFailure.into());
        }
        let stream = self.table.push(Addresses(addresses.into_iter()))?;
        Ok(Resource::new_own(stream.rep()))
    }
}

impl HostResolveAddressStream for Network<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let Addresses(left) = self.table.get_mut(&ours(&stream))?;
        Ok(left.next().map(IpAddress::from))
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Addresses>::new_own(stream.rep()))?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {}
}
