//! What a handler sees of WASI: its descriptors 0, 1 and 2, and what the operator granted.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use rand::rand_core::Rng;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, HostWallClock, WasiCtxBuilder, WasiView};

use super::network::Reachable;
use super::open_files::OPEN_FILES;
use super::opening;
use super::random::SystemRandom;
use super::recorded_files::{self, Place};
use super::snapshot::Surroundings;
use super::streams::{Input, Output};
use crate::address::{Endpoint, Transport};
use crate::config::Grants;
use crate::recording::Clock;
use crate::request::{LogStream, Request};

/// Resources of WASI that a guest may have at one time: files, folders, streams, pollables.
const RESOURCES: usize = 256;

/// The most random bytes that a component gets from one call.
const RANDOM: u64 = 1 << 20;

/// Where a handler's descriptors 0, 1 and 2 lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdio {
    /// Nothing, the log, the log: kinds module and component.
    Log,
    /// `rfile`, `wfile`, the log: kind command.
    Connection,
}

/// What one descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Descriptor {
    Empty,
    Rfile,
    Wfile,
    Log(LogStream),
}

/// The descriptors of preview 1 that are ours. Numbers that the guest opens, and those that it closed
/// or renumbered, are wasmtime-wasi's.
#[derive(Clone, Debug)]
pub(super) struct Descriptors(Vec<(u32, Descriptor)>);

impl Descriptors {
    pub(super) fn new(stdio: Stdio) -> Self {
        let (input, output) = match stdio {
            Stdio::Log => (Descriptor::Empty, Descriptor::Log(LogStream::Stdout)),
            Stdio::Connection => (Descriptor::Rfile, Descriptor::Wfile),
        };
        Descriptors(vec![
            (0, input),
            (1, output),
            (2, Descriptor::Log(LogStream::Stderr)),
        ])
    }

    pub(super) fn get(&self, number: u32) -> Option<Descriptor> {
        let (_, found) = self.0.iter().find(|(at, _)| *at == number)?;
        Some(*found)
    }

    /// The guest has closed it.
    pub(super) fn close(&mut self, number: u32) {
        self.0.retain(|(at, _)| *at != number);
    }

    /// The guest has put `from` in place of `to`.
    pub(super) fn renumber(&mut self, from: u32, to: u32) {
        if from == to {
            return;
        }
        self.close(to);
        for (at, _) in &mut self.0 {
            if *at == from {
                *at = to;
            }
        }
    }
}

/// A granted folder. It is what it was when the handler was loaded, wherever it is moved to.
struct Folder {
    open: File,
    guest: String,
    perms: FsPerms,
}

impl Folder {
    /// By its descriptor, which is not a path that could lead elsewhere meanwhile.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.open.as_raw_fd())
    }
}

/// What a handler was granted of the host, for another process of the same service.
pub(crate) struct Handed {
    /// The folders that are open to it, in the order of the grants.
    pub(crate) folders: Vec<OwnedFd>,
    /// The addresses of the hosts that it may connect to, in the order of the grants.
    pub(crate) addresses: Vec<Vec<SocketAddr>>,
}

/// A service's grants, made ready once.
#[derive(Default)]
pub(crate) struct WasiGrants {
    env: Vec<(String, String)>,
    args: Vec<String>,
    folders: Vec<Folder>,
    /// `/dev`, where folders are granted.
    devices: Option<Arc<File>>,
    reachable: Reachable,
}

impl WasiGrants {
    /// # Errors
    ///
    /// A variable that is not there, a folder that cannot be opened, a host without an address: what, and what to do.
    pub(crate) fn new(grants: &Grants, program: &str) -> Result<Self, String> {
        let mut env = Vec::new();
        for key in &grants.inherit_env {
            let value = std::env::var(key).map_err(|error| {
                format!("--inherit-env {key}: {error}; set it, or leave the option out")
            })?;
            env.push((key.clone(), value));
        }
        for grant in &grants.env {
            env.retain(|(key, _)| *key != grant.key);
            env.push((grant.key.clone(), grant.value.clone()));
        }
        let mut folders = Vec::new();
        for dir in &grants.dir {
            let host = dir.host.display();
            let open = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY)
                .open(&dir.host)
                .map_err(|error| {
                    format!("--dir {host}: {error}; name a folder that is there and can be read")
                })?;
            let perms = match dir.writable {
                true => FsPerms::ReadWrite,
                false => FsPerms::ReadOnly,
            };
            if folders
                .iter()
                .any(|folder: &Folder| folder.guest == dir.guest)
            {
                return Err(format!(
                    "--dir {host}::{}: another folder has that name already; choose another",
                    dir.guest
                ));
            }
            folders.push(Folder {
                open,
                guest: dir.guest.clone(),
                perms,
            });
        }
        let devices = match folders.is_empty() {
            true => None,
            false => {
                Some(opening::devices().map_err(|error| format!("--dir needs /dev: {error}"))?)
            }
        };
        let mut args = vec![program.to_owned()];
        args.extend(grants.args.iter().cloned());
        Ok(WasiGrants {
            env,
            args,
            folders,
            devices,
            reachable: Reachable::new(grants)?,
        })
    }

    /// Descriptors that a request may take: of granted folders, of what is opened in them, and of
    /// connections. A folder that the guest closes stays open, and of preview 1 makes room for one more file.
    pub(crate) fn descriptors_per_request(grants: &Grants) -> u64 {
        let folders = grants.dir.len();
        if folders == 0 && grants.allow_connect.is_empty() {
            return 0;
        }
        (2 * folders + OPEN_FILES) as u64
    }

    pub(super) fn reachable(&self) -> &Reachable {
        &self.reachable
    }

    /// Whether there is a host that may be connected to.
    pub(crate) fn has_network(&self) -> bool {
        !self.reachable.is_empty()
    }

    /// For a process that links the same handler.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub(crate) fn hand_over(&self) -> io::Result<Handed> {
        let folders = self.folders.iter();
        Ok(Handed {
            folders: folders
                .map(|folder| folder.open.as_fd().try_clone_to_owned())
                .collect::<io::Result<_>>()?,
            addresses: self.reachable.all_addresses(),
        })
    }

    /// Which folders may be written to: device and inode of each.
    pub(crate) fn writable_folders(&self) -> Vec<(u64, u64)> {
        let writable = self.folders.iter();
        writable
            .filter(|folder| folder.perms == FsPerms::ReadWrite)
            .filter_map(|folder| folder.open.metadata().ok())
            .map(|found| (found.dev(), found.ino()))
            .collect()
    }

    /// What a module's initialisation sees of them; `None` where that could change.
    pub(crate) fn surroundings(&self) -> Option<Surroundings> {
        (!self.has_folders()).then(|| self.arguments_and_environment())
    }

    pub(crate) fn arguments_and_environment(&self) -> Surroundings {
        Surroundings {
            args: self.args.clone(),
            env: self.env.clone(),
            origin: None,
        }
    }

    /// How many folders are granted.
    pub(super) fn folders(&self) -> usize {
        self.folders.len()
    }

    /// What recordings say of granted folders: the guest's names, and whether it may write there.
    pub(crate) fn folders_as_recorded(&self) -> Vec<(String, bool)> {
        let folders = self.folders.iter();
        folders
            .map(|folder| (folder.guest.clone(), folder.perms == FsPerms::ReadWrite))
            .collect()
    }

    /// Takes down what lies at a place.
    pub(super) fn record(&self, request: &Request, place: &Place) {
        if let Some(folder) = self.folders.get(place.folder) {
            recorded_files::record(request, &folder.guest, &folder.open, &place.path);
        }
    }

    /// Where an open folder is.
    pub(super) fn place_of(&self, opened: &File) -> Option<Place> {
        let path = |file: &File| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let opened = path(opened).ok()?;
        self.folders
            .iter()
            .enumerate()
            .find_map(|(number, folder)| {
                let path = opened.strip_prefix(path(&folder.open).ok()?).ok()?;
                Some(Place {
                    folder: number,
                    path: path.to_owned(),
                })
            })
    }

    pub(super) fn devices(&self) -> Option<Arc<File>> {
        self.devices.clone()
    }

    pub(super) fn has_folders(&self) -> bool {
        !self.folders.is_empty()
    }

    /// # Errors
    ///
    /// A folder is not there any more.
    pub(super) fn open(&self, request: &Arc<Request>, stdio: Stdio) -> wasmtime::Result<WasiP1Ctx> {
        let mut builder = self.builder(request, stdio);
        for folder in &self.folders {
            builder.preopened_dir(folder.path(), &folder.guest, folder.perms)?;
            if request.journal().is_some() {
                recorded_files::record(request, &folder.guest, &folder.open, Path::new(""));
            }
        }
        Ok(bounded(builder.build_p1()))
    }

    pub(super) fn without_folders(&self, request: &Arc<Request>, stdio: Stdio) -> WasiP1Ctx {
        bounded(self.builder(request, stdio).build_p1())
    }

    fn builder(&self, request: &Arc<Request>, stdio: Stdio) -> WasiCtxBuilder {
        let mut builder = WasiCtxBuilder::new();
        builder
            .allow_blocking_current_thread(true)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM)
            .secure_random(SystemRandom::of(request))
            .insecure_random(SystemRandom::of(request))
            .insecure_random_seed(seed(request))
            .wall_clock(TimeOfDay(request.clone()))
            .stderr(Output::Log(request.clone(), LogStream::Stderr))
            .args(&self.args);
        if stdio == Stdio::Connection {
            builder.stdin(Input(request.clone()));
            builder.stdout(Output::Wfile(request.clone()));
            for (key, value) in ucspi(request) {
                if !self.env.iter().any(|(granted, _)| granted == key) {
                    builder.env(key, value);
                }
            }
        } else {
            builder.stdout(Output::Log(request.clone(), LogStream::Stdout));
        }
        builder.envs(&self.env);
        builder
    }
}

fn seed(request: &Arc<Request>) -> u128 {
    let mut random = SystemRandom::of(request);
    u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
}

/// By way of the request's journal.
struct TimeOfDay(Arc<Request>);

impl HostWallClock for TimeOfDay {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now(Clock::Wall))
    }
}

fn bounded(mut wasi: WasiP1Ctx) -> WasiP1Ctx {
    wasi.ctx().table.set_max_capacity(RESOURCES);
    wasi
}

/// What `tcpserver` gives its children (UCSPI), and `REMOTE_ADDR`, `REMOTE_PORT` as systemd does.
fn ucspi(request: &Request) -> Vec<(&'static str, String)> {
    let client = request.client_address();
    let server = request.server_address();
    let mut env = Vec::new();
    match request.transport() {
        Transport::Tcp | Transport::Udp => {
            let tcp = request.transport() == Transport::Tcp;
            env.push(("PROTO", if tcp { "TCP" } else { "UDP" }.to_owned()));
            let [local_ip, local_port, remote_ip, remote_port] = match tcp {
                true => ["TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT"],
                false => ["UDPLOCALIP", "UDPLOCALPORT", "UDPREMOTEIP", "UDPREMOTEPORT"],
            };
            if let Endpoint::Inet(server) = server {
                env.push((local_ip, server.ip().to_string()));
                env.push((local_port, server.port().to_string()));
            }
            if let Endpoint::Inet(client) = client {
                env.push((remote_ip, client.ip().to_string()));
                env.push((remote_port, client.port().to_string()));
                env.push(("REMOTE_ADDR", client.ip().to_string()));
                env.push(("REMOTE_PORT", client.port().to_string()));
            }
        }
        Transport::UnixStream | Transport::UnixDatagram => {
            let stream = request.transport() == Transport::UnixStream;
            env.push(("PROTO", if stream { "UNIX" } else { "UNIXGRAM" }.to_owned()));
            env.push(("UNIXLOCALPATH", server.to_string()));
            env.push(("UNIXREMOTEPATH", client.to_string()));
            if let Some(peer) = request.peer_credentials() {
                env.push(("UNIXREMOTEPID", peer.pid.to_string()));
                env.push(("UNIXREMOTEEUID", peer.uid.to_string()));
                env.push(("UNIXREMOTEEGID", peer.gid.to_string()));
            }
        }
    }
    env
}
