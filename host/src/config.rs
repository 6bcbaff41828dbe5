//! Every option of a service and its default, once. The command line is read into these types; the
//! library takes the same ones.

mod grants;
mod kept;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

pub use grants::{ConnectGrant, DirGrant, EnvGrant};
pub(crate) use kept::RECORDED;
pub use kept::{CoredumpOptions, RecordOptions, RecordWhen};
pub(crate) use values::bounded_size;
pub use values::{Limit, Rate, Size, SourcePorts, Span};
use values::{
    bounded_count, bounded_duration, bounded_rate, file_mode, file_owner, network, patience,
    positive_count,
};

/// How requests are processed (Python: the mix-in).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConcurrencyKind {
    /// One after the other, on the loop's own thread (Python: no mix-in)
    Serial,
    /// One request a thread; threads are kept and used again (Python: `ThreadingMixIn`)
    #[default]
    Threads,
    /// One request a process, forked for it (Python: `ForkingMixIn`)
    Fork,
}

impl ConcurrencyKind {
    /// Requests at one time where nobody asks for another number.
    pub const fn default_max_in_flight(self) -> u32 {
        match self {
            ConcurrencyKind::Serial => 1,
            ConcurrencyKind::Threads => 1024,
            // Python's `max_children`.
            ConcurrencyKind::Fork => 40,
        }
    }
}

/// Whose defaults hold where ours depart from Python's on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Backlog 5; no `SO_REUSEADDR`; packets cut off at 8192 bytes; an empty packet as the reply of a
    /// handler that wrote nothing; a stale Unix socket is refused, not replaced
    Python,
}

/// What bounds one request. `None` switches a limit off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time of the whole request, from accept or receive to the end of `finish`.
    pub deadline: Option<Duration>,
    /// Longest time in which not one byte moves.
    pub idle_timeout: Option<Duration>,
    /// CPU time of the thread that serves the request; waiting is not counted.
    pub cpu: Option<Duration>,
    /// Bytes of the instance's memories and tables together.
    pub memory: Option<u64>,
    /// Bytes that the handler may read of its client's.
    pub input: Option<u64>,
    /// Bytes that the handler may write to its client.
    pub output: Option<u64>,
    /// Bytes of what the handler may log.
    pub log: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        LimitOptions::default().limits()
    }
}

/// The limits as options.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one request (`none` switches one off)")]
pub struct LimitOptions {
    /// Time of the whole request
    #[arg(long, value_name = "D", default_value_t = Self::default().deadline, value_parser = bounded_duration)]
    pub deadline: Limit<Span>,
    /// Longest time without a byte moving
    #[arg(long, value_name = "D", default_value_t = Self::default().idle_timeout, value_parser = bounded_duration)]
    pub idle_timeout: Limit<Span>,
    /// CPU time of the request, host calls included, waiting excluded
    #[arg(long, value_name = "D", default_value_t = Self::default().cpu_limit, value_parser = bounded_duration)]
    pub cpu_limit: Limit<Span>,
    /// Sum over the memories and tables of the instance
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().memory_limit, value_parser = bounded_size)]
    pub memory_limit: Limit<Size>,
    /// What the handler may read of its client's
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().max_input, value_parser = bounded_size)]
    pub max_input: Limit<Size>,
    /// What the handler may write to its client
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().max_output, value_parser = bounded_size)]
    pub max_output: Limit<Size>,
    /// What one request may log, each line with 32 bytes more than it has; more is dropped
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().log_limit, value_parser = bounded_size)]
    pub log_limit: Limit<Size>,
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions {
            deadline: Limit::at(Span::from_secs(300)),
            idle_timeout: Limit::at(Span::from_secs(60)),
            cpu_limit: Limit::at(Span::from_secs(5)),
            memory_limit: Limit::at(Size(64 << 20)),
            max_input: Limit::none(),
            max_output: Limit::none(),
            log_limit: Limit::at(Size(64 << 10)),
        }
    }
}

impl LimitOptions {
    /// The limits that these options say.
    pub fn limits(&self) -> Limits {
        Limits {
            deadline: self.deadline.get().map(Duration::from),
            idle_timeout: self.idle_timeout.get().map(Duration::from),
            cpu: self.cpu_limit.get().map(Duration::from),
            memory: self.memory_limit.get().map(|size| size.0),
            input: self.max_input.get().map(|size| size.0),
            output: self.max_output.get().map(|size| size.0),
            log: self.log_limit.get().map(|size| size.0),
        }
    }
}

/// What a handler is allowed to see of the host. By default nothing.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Grants (by default a handler sees nothing of the host)")]
pub struct Grants {
    /// Set an environment variable for the handler
    #[arg(long, value_name = "K=V")]
    pub env: Vec<EnvGrant>,
    /// Pass on a variable of this program's environment
    #[arg(long, value_name = "K")]
    pub inherit_env: Vec<String>,
    /// Open a folder to the handler, read-only unless it ends in `:rw`
    #[arg(long, value_name = "HOST::GUEST[:rw]")]
    pub dir: Vec<DirGrant>,
    /// Let a component connect to a TCP host: to the addresses that its name has at the start
    #[arg(long, value_name = "HOST:PORT")]
    pub allow_connect: Vec<ConnectGrant>,
    /// Arguments of a handler of kind command, after its file name
    #[arg(skip)]
    pub args: Vec<String>,
    /// The addresses of each of `allow_connect`, where they are known already: a name is what it was when the
    /// handler was loaded, in whatever process
    #[arg(skip)]
    #[doc(hidden)]
    pub addresses: Option<Vec<Vec<SocketAddr>>>,
}

/// How a handler is loaded.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Loading the handler")]
pub struct LoadOptions {
    /// Largest handler file that is read
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().max_handler_size, value_parser = bounded_size)]
    pub max_handler_size: Limit<Size>,
    /// Longest time that compiling may take
    #[arg(long, value_name = "D", default_value_t = Self::default().compile_timeout, value_parser = bounded_duration)]
    pub compile_timeout: Limit<Span>,
    /// Memory that compiling may take
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().compile_memory, value_parser = bounded_size)]
    pub compile_memory: Limit<Size>,
    /// Private folder of compiled code, or `off` [default: the user's cache folder]. What was initialised with
    /// `--env` is not kept
    #[arg(long, value_name = "DIR|off")]
    pub cache: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            max_handler_size: Limit::at(Size(64 << 20)),
            compile_timeout: Limit::at(Span::from_secs(60)),
            compile_memory: Limit::at(Size(2 << 30)),
            cache: None,
        }
    }
}

/// Who may come in. Peers of Unix sockets are not looked at: their sockets have a mode and an owner.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Who may come in, over TCP and UDP")]
pub struct AdmissionOptions {
    /// Serve clients of this network and no others; can be given again
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub allow: Vec<IpNet>,
    /// Refuse clients of this network, whatever `--allow` says; can be given again
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub deny: Vec<IpNet>,
    /// Requests in flight from one source: an IPv4 address, or a /64 of IPv6. More are closed at once
    #[arg(long, value_name = "N", default_value_t, value_parser = bounded_count)]
    pub max_per_source: Limit<u32>,
    /// Requests from one source in a time, as in `100/1s`: so many at once, and as many again in that
    /// time. More are closed at once
    #[arg(long, value_name = "N/D", default_value_t, value_parser = bounded_rate)]
    pub rate_per_source: Limit<Rate>,
    /// What becomes of clients where requests in flight are at their limit
    #[arg(long, value_enum, default_value_t)]
    pub overload: Overload,
    /// Bytes that a UDP client is sent for each byte of its question, headers of 28 bytes counted with
    /// both. A sender's address can be forged, and a longer reply would hit whoever has it
    #[arg(long, value_name = "X", default_value_t, value_parser = bounded_count)]
    pub max_amplification: Limit<u32>,
    /// UDP packets from these ports are dropped, or `none`: services are there that answer whatever comes, and with a
    /// forged packet this one and such a service would answer each other for ever
    #[arg(long, value_name = "PORTS", default_value_t)]
    pub deny_source_ports: SourcePorts,
}

impl AdmissionOptions {
    /// Whether any of them asks where a client comes from.
    pub(crate) fn is_asked_for(&self) -> bool {
        !self.allow.is_empty()
            || !self.deny.is_empty()
            || self.max_per_source.get().is_some()
            || self.rate_per_source.get().is_some()
            || self.max_amplification.get().is_some()
    }
}

/// What becomes of clients where requests in flight are at their limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Overload {
    /// They wait in the system's queue
    #[default]
    Wait,
    /// Their connections are closed at once, their packets dropped
    Close,
}

/// The socket and how its requests are processed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Service")]
pub struct ServiceOptions {
    /// How requests are processed
    #[arg(long, value_enum, default_value_t)]
    pub concurrency: ConcurrencyKind,
    /// Requests at one time; above it accepting waits [default: 1024, with fork 40, or what the system carries]
    #[arg(long, value_name = "N", value_parser = positive_count)]
    pub max_in_flight: Option<u32>,
    /// Another program's defaults; what is said beside it wins
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub compat: Option<Compat>,
    /// Connections that wait to be accepted (Python's `request_queue_size`); 5 with `--compat python`
    #[arg(long, value_name = "N", default_value_t = Self::default().backlog, value_parser = positive_count)]
    #[arg(default_value_if("compat", "python", "5"))]
    pub backlog: u32,
    /// Let several programs listen on one port (Python's `allow_reuse_port`)
    #[arg(long)]
    pub reuse_port: bool,
    /// Do not serve IPv4 on `[::]`
    #[arg(long)]
    pub ipv6_only: bool,
    /// Mode of a Unix socket's file, in octal [default: what the umask leaves]
    #[arg(long, value_name = "MODE", value_parser = file_mode)]
    pub socket_mode: Option<u32>,
    /// Owner of a Unix socket's file, by name or number [default: who runs the server]
    #[arg(long, value_name = "USER[:GROUP]", value_parser = file_owner)]
    pub socket_owner: Option<String>,
    /// Send small writes at once (Python's `disable_nagle_algorithm`)
    #[arg(long)]
    pub nodelay: bool,
    /// End after so many requests
    #[arg(long, value_name = "N", default_value_t, value_parser = bounded_count)]
    pub max_requests: Limit<u32>,
    /// End after one request
    #[arg(long, conflicts_with = "max_requests")]
    pub once: bool,
    /// Longest packet (Python's `max_packet_size`); a longer one is dropped. With `--compat python`
    /// 8192, and a longer one is cut off
    #[arg(long, value_name = "SIZE", default_value_t = Self::default().max_packet, value_parser = bounded_size)]
    #[arg(default_value_if("compat", "python", "8192"))]
    pub max_packet: Limit<Size>,
    /// How long what a client still sends is read off after the reply
    #[arg(long, value_name = "D", default_value_t = Self::default().linger, value_parser = patience)]
    pub linger: Span,
    /// How long shutdown waits for requests in flight
    #[arg(long, value_name = "D", default_value_t = Self::default().shutdown_grace, value_parser = patience)]
    pub shutdown_grace: Span,
}

impl ServiceOptions {
    /// After how many requests the service ends.
    pub fn quota(&self) -> Option<u32> {
        if self.once {
            Some(1)
        } else {
            self.max_requests.get()
        }
    }
}

impl Default for ServiceOptions {
    fn default() -> Self {
        ServiceOptions {
            concurrency: ConcurrencyKind::default(),
            max_in_flight: None,
            compat: None,
            backlog: 128,
            reuse_port: false,
            ipv6_only: false,
            socket_mode: None,
            socket_owner: None,
            nodelay: false,
            max_requests: Limit::none(),
            once: false,
            max_packet: Limit::at(Size(LONGEST_UDP_PACKET)),
            linger: Span::from_secs(2),
            shutdown_grace: Span::from_secs(15),
        }
    }
}

/// The longest packet that UDP over IPv4 can carry: 65,535 bytes less the headers of IP and UDP.
pub const LONGEST_UDP_PACKET: u64 = 65_507;
