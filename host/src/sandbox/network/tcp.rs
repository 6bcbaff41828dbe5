//! `wasi:sockets/tcp`: connecting to granted addresses. Binding, listening and accepting are refused.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use nix::libc::EINPROGRESS;
use nix::poll::PollFlags;
use socket2::{Domain, Socket, TcpKeepalive, Type};
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{
    self, ErrorCode, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket;
use wasmtime_wasi::p2::bindings::sync::sockets::tcp::{
    self, HostTcpSocket, InputStream, OutputStream, ShutdownType,
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Pollable, SocketError, SocketResult, TcpSocket,
    subscribe,
};

use super::Network;
use super::link::{Input, Link, Output, is_ready};
use crate::sandbox::wait;

/// A socket that a component has made.
struct Connecting {
    socket: Arc<Socket>,
    family: IpAddressFamily,
    state: State,
}

/// The states of `wasi:sockets/tcp` that are left where nothing is bound.
enum State {
    Unbound,
    /// Since `start-connect`.
    InProgress,
    Connected(Arc<Link>),
    Closed,
}

/// The linker knows a socket as wasmtime-wasi's; in the table it is ours.
fn ours(socket: &Resource<TcpSocket>) -> Resource<Connecting> {
    Resource::new_borrow(socket.rep())
}

impl Network<'_> {
    fn socket(&mut self, socket: &Resource<TcpSocket>) -> SocketResult<&mut Connecting> {
        Ok(self.table.get_mut(&ours(socket))?)
    }
}

impl tcp_create_socket::Host for Network<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if self.reachable.is_empty() {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.request.not_recorded("connections to other hosts");
        if !self.open_files.has_room() {
            return Err(ErrorCode::NewSocketLimit.into());
        }
        let domain = match family {
            IpAddressFamily::Ipv4 => Domain::IPV4,
            IpAddressFamily::Ipv6 => Domain::IPV6,
        };
        let socket = Arc::new(Socket::new(domain, Type::STREAM.nonblocking(), None)?);
        self.open_files.opened(Arc::downgrade(&socket));
        let socket = self.table.push(Connecting {
            socket,
            family,
            state: State::Unbound,
        })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl network::Host for Network<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for Network<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl tcp::Host for Network<'_> {}

impl HostTcpSocket for Network<'_> {
    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<network::Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let reachable = self.reachable;
        let connecting = self.socket(&this)?;
        match connecting.state {
            State::Unbound => {}
            State::InProgress => return Err(ErrorCode::ConcurrencyConflict.into()),
            State::Connected(_) | State::Closed => return Err(ErrorCode::InvalidState.into()),
        }
        let address = SocketAddr::from(address);
        let is_of_family = match (connecting.family, address.ip()) {
            (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
            (IpAddressFamily::Ipv6, IpAddr::V6(ip)) => ip.to_ipv4_mapped().is_none(),
            _ => false,
        };
        if !is_of_family || address.port() == 0 || address.ip().is_unspecified() {
            return Err(ErrorCode::InvalidArgument.into());
        }
        // Exactly what was granted: a scope or flow that the guest has put to it does not count.
        let address = SocketAddr::new(address.ip(), address.port());
        if !reachable.is_granted(address) {
            return Err(ErrorCode::AccessDenied.into());
        }
        match connecting.socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) => {
                connecting.state = State::Closed;
                return Err(error.into());
            }
        }
        connecting.state = State::InProgress;
        Ok(())
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<InputStream>, Resource<OutputStream>)> {
        let request = self.request.clone();
        let connecting = self.socket(&this)?;
        let State::InProgress = connecting.state else {
            return Err(ErrorCode::NotInProgress.into());
        };
        if !is_ready(&connecting.socket, PollFlags::POLLOUT) {
            return Err(ErrorCode::WouldBlock.into());
        }
        connecting.state = State::Closed;
        if let Some(error) = connecting.socket.take_error()? {
            return Err(error.into());
        }
        let link = Link::new(connecting.socket.clone(), request);
        connecting.state = State::Connected(link.clone());
        let input: DynInputStream = Box::new(Input(link.clone()));
        let output: DynOutputStream = Box::new(Output(link));
        let input = self.table.push_child(input, &this)?;
        let output = self.table.push_child(output, &this)?;
        Ok((input, output))
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        let State::Connected(link) = &self.socket(&this)?.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        let link = link.clone();
        let socket = &self.socket(&this)?.socket;
        if let ShutdownType::Receive | ShutdownType::Both = how {
            socket.shutdown(Shutdown::Read)?;
        }
        if let ShutdownType::Send | ShutdownType::Both = how {
            link.end_sending()?;
        }
        Ok(())
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&this))
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.table
            .delete(Resource::<Connecting>::new_own(this.rep()))?;
        Ok(())
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let connecting = self.socket(&this)?;
        let State::Connected(_) = connecting.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        ip(&connecting.socket.local_addr()?)
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        let connecting = self.socket(&this)?;
        let State::Connected(_) = connecting.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        ip(&connecting.socket.peer_addr()?)
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&ours(&this))?.family)
    }

    fn keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(self.socket(&this)?.socket.keepalive()?)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<TcpSocket>, on: bool) -> SocketResult<()> {
        Ok(self.socket(&this)?.socket.set_keepalive(on)?)
    }

    fn keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<tcp::Duration> {
        Ok(nanos(self.socket(&this)?.socket.tcp_keepalive_time()?))
    }

    fn set_keep_alive_idle_time(
        &mut self,
        this: Resource<TcpSocket>,
        nanos: tcp::Duration,
    ) -> SocketResult<()> {
        let keepalive = TcpKeepalive::new().with_time(seconds(nanos)?);
        self.socket(&this)?.set_keepalive(&keepalive)
    }

    fn keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<tcp::Duration> {
        Ok(nanos(self.socket(&this)?.socket.tcp_keepalive_interval()?))
    }

    fn set_keep_alive_interval(
        &mut self,
        this: Resource<TcpSocket>,
        nanos: tcp::Duration,
    ) -> SocketResult<()> {
        let keepalive = TcpKeepalive::new().with_interval(seconds(nanos)?);
        self.socket(&this)?.set_keepalive(&keepalive)
    }

    fn keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(self.socket(&this)?.socket.tcp_keepalive_retries()?)
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, count: u32) -> SocketResult<()> {
        // tcp(7): the system takes no more.
        let count = match count {
            0 => return Err(ErrorCode::InvalidArgument.into()),
            count => count.min(127),
        };
        let keepalive = TcpKeepalive::new().with_retries(count);
        self.socket(&this)?.set_keepalive(&keepalive)
    }

    fn hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        let connecting = self.socket(&this)?;
        let limit = match connecting.family {
            IpAddressFamily::Ipv4 => connecting.socket.ttl_v4()?,
            IpAddressFamily::Ipv6 => connecting.socket.unicast_hops_v6()?,
        };
        Ok(u8::try_from(limit).unwrap_or(u8::MAX))
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, limit: u8) -> SocketResult<()> {
        let connecting = self.socket(&this)?;
        match (connecting.family, limit.into()) {
            (_, 0) => return Err(ErrorCode::InvalidArgument.into()),
            (IpAddressFamily::Ipv4, limit) => connecting.socket.set_ttl_v4(limit)?,
            (IpAddressFamily::Ipv6, limit) => connecting.socket.set_unicast_hops_v6(limit)?,
        }
        Ok(())
    }

    fn receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.socket(&this)?.socket.recv_buffer_size()? as u64)
    }

    fn set_receive_buffer_size(
        &mut self,
        this: Resource<TcpSocket>,
        size: u64,
    ) -> SocketResult<()> {
        let size = buffer_size(size)?;
        Ok(self.socket(&this)?.socket.set_recv_buffer_size(size)?)
    }

    fn send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.socket(&this)?.socket.send_buffer_size()? as u64)
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, size: u64) -> SocketResult<()> {
        let size = buffer_size(size)?;
        Ok(self.socket(&this)?.socket.set_send_buffer_size(size)?)
    }

    fn start_bind(
        &mut self,
        _this: Resource<TcpSocket>,
        _network: Resource<network::Network>,
        _address: IpSocketAddress,
    ) -> SocketResult<()> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_bind(&mut self, _this: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn start_listen(&mut self, _this: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_listen(&mut self, _this: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        _this: Resource<TcpSocket>,
    ) -> SocketResult<(
        Resource<TcpSocket>,
        Resource<InputStream>,
        Resource<OutputStream>,
    )> {
        Err(ErrorCode::InvalidState.into())
    }

    fn is_listening(&mut self, _this: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn set_listen_backlog_size(
        &mut self,
        _this: Resource<TcpSocket>,
        _size: u64,
    ) -> SocketResult<()> {
        Err(ErrorCode::NotSupported.into())
    }
}

impl Connecting {
    /// Sets the values, and not whether they are in use, which [`Socket::set_tcp_keepalive`] does as well.
    fn set_keepalive(&self, keepalive: &TcpKeepalive) -> SocketResult<()> {
        let is_on = self.socket.keepalive()?;
        self.socket.set_tcp_keepalive(keepalive)?;
        Ok(self.socket.set_keepalive(is_on)?)
    }
}

#[async_trait]
impl Pollable for Connecting {
    async fn ready(&mut self) {
        std::future::poll_fn(|_| match self.state {
            State::InProgress if !is_ready(&self.socket, PollFlags::POLLOUT) => {
                wait::for_socket(&self.socket, PollFlags::POLLOUT);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
    }
}

fn ip(address: &socket2::SockAddr) -> SocketResult<IpSocketAddress> {
    address
        .as_socket()
        .map(IpSocketAddress::from)
        .ok_or_else(|| ErrorCode::InvalidState.into())
}

fn nanos(duration: Duration) -> tcp::Duration {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// tcp(7): whole seconds, from 1 to 32,767.
fn seconds(nanos: tcp::Duration) -> SocketResult<Duration> {
    match nanos {
        0 => Err(ErrorCode::InvalidArgument.into()),
        nanos => {
            let seconds = Duration::from_nanos(nanos).as_secs().clamp(1, 32_767);
            Ok(Duration::from_secs(seconds))
        }
    }
}

/// The system takes what it has room for (socket(7)).
fn buffer_size(size: u64) -> SocketResult<usize> {
    match size {
        0 => Err(ErrorCode::InvalidArgument.into()),
        size => Ok(usize::try_from(size).map_or(LARGEST_BUFFER, |size| size.min(LARGEST_BUFFER))),
    }
}

/// The most that a component may ask for, in bytes.
const LARGEST_BUFFER: usize = 1 << 20;
