//! What `serve` gives up once its sockets are bound, and what it still needs then.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::HandlerArgs;
use crate::address::{ListenAddress, Transport};
use crate::apart::{folder_of, places, remember_mounts};
use crate::config::{CoredumpOptions, Grants, RecordOptions};
use crate::harden::{
    Harden, HardenError, InForce, Needs, SystemCall, become_user, confine_program, give_up_rights,
};

/// Who the program is, and what it may still do.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Behind the sandbox")]
pub(super) struct HardenArgs {
    /// Become this user, by name or number, once the sockets are bound. Compiled code is then kept only
    /// where `--cache` names a folder of that user's
    #[arg(long, value_name = "U")]
    pub(super) user: Option<String>,
    /// Become this group [default: the user's]
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Give up files, system calls and capabilities that are not needed (Landlock, seccomp): as far as the
    /// kernel can, or not start where it cannot
    #[arg(long, value_enum, default_value_t)]
    pub(super) harden: Harden,
    /// A system call that is allowed beside those that the program is known to make, by name or number; may be repeated.
    /// (For what a library calls that is loaded with it; `--harden log` finds which)
    #[arg(long, value_name = "CALL")]
    pub(super) allow_call: Vec<SystemCall>,
}

/// What the program has given up.
pub(super) struct Hardened {
    /// Capabilities that are left, by name.
    pub(super) capabilities: String,
    pub(super) in_force: InForce,
}

impl HardenArgs {
    /// Gives up whatever is not needed to go on; `None` where nothing is asked for. It has to come before
    /// the first thread.
    ///
    /// # Errors
    ///
    /// What cannot be given up, and what to do.
    pub(super) fn give_up(
        &self,
        handler: &HandlerArgs,
        record: &RecordOptions,
        coredump: &CoredumpOptions,
        address: &ListenAddress,
    ) -> Result<Option<Hardened>, HardenError> {
        if self.harden == Harden::Off {
            return Ok(None);
        }
        remember_mounts();
        let capabilities = give_up_rights()?;
        let in_force = confine_program(
            self.harden,
            &Needs {
                calls: self.allow_call.clone(),
                ..needs(handler, record, coredump, address)
            },
        )?;
        Ok(Some(Hardened {
            capabilities,
            in_force,
        }))
    }

    /// What an operator should know of a handler that lies where it cannot be reached later.
    pub(super) fn warning(&self, handler: &HandlerArgs) -> Option<&'static str> {
        let file = handler.handler.canonicalize().ok()?;
        let is_open_to_all = self.harden != Harden::Off && file.parent() == Some(Path::new("/"));
        is_open_to_all.then_some(
            "the handler lies in /, and to read all that is there is too much: once it is replaced it is not read again (--harden); put it into a folder of its own",
        )
    }

    /// Becomes the user and group that were asked for.
    pub(super) fn become_user(&self) -> Result<(), HardenError> {
        become_user(self.user.as_deref(), self.group.as_deref())
    }
}

/// What a handler may reach by its grants, and what is written when it traps.
pub(super) fn needs_of_requests(
    grants: &Grants,
    coredump: &CoredumpOptions,
    address: &ListenAddress,
) -> Needs {
    let folders = |writable: bool| -> Vec<PathBuf> {
        let wanted = grants
            .dir
            .iter()
            .filter(move |dir| dir.writable == writable);
        wanted.map(|dir| dir.host.clone()).collect()
    };
    Needs {
        read: folders(false),
        change: [folders(true), coredump.coredump.iter().cloned().collect()].concat(),
        connect: grants
            .allow_connect
            .iter()
            .map(|grant| grant.port)
            .collect(),
        unix_clients: answers_names(address),
        ..Needs::default()
    }
}

/// A client of Unix datagrams may have an abstract name. (What was handed over is not looked at: it may be such a socket.)
fn answers_names(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Unix { transport, .. } => *transport == Transport::UnixDatagram,
        ListenAddress::HandedOver(_) => true,
        ListenAddress::Inet { .. } => false,
    }
}

/// What the program itself does: it reads the handler again, has it compiled by a process of its own, keeps
/// what was compiled, and removes the socket's file at its end.
fn needs(
    handler: &HandlerArgs,
    record: &RecordOptions,
    coredump: &CoredumpOptions,
    address: &ListenAddress,
) -> Needs {
    let mut needs = needs_of_requests(&handler.grants, coredump, address);
    needs.read.extend(places(&handler.handler));
    // How many requests the system carries.
    needs.read.push("/proc/sys/vm/max_map_count".into());
    // The standard streams of processes that we start.
    needs.change.push("/dev/null".into());
    needs.change.extend(handler.cache_folder());
    needs.change.extend(record.record.clone());
    if let ListenAddress::Unix { path, .. } = address {
        needs.remove.extend(folder_of(path));
    }
    programs(&mut needs);
    if !grants_names(&handler.grants) {
        return needs;
    }
    // DNS may go over TCP, too (RFC 7766).
    needs.connect.push(53);
    for file in [
        "/etc/gai.conf",
        "/etc/host.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/resolv.conf",
        "/etc/services",
        "/run/systemd/resolve",
    ] {
        needs.read.push(file.into());
    }
    needs
}

fn grants_names(grants: &Grants) -> bool {
    !grants.allow_connect.is_empty()
}

/// This program once more, with the libraries that it has now, or their successors in the same folders.
fn programs(needs: &mut Needs) {
    // Not by its path, which another user may have no right to walk.
    needs.execute.push("/proc/self/exe".into());
    needs.read.push("/etc/ld.so.cache".into());
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut libraries: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])))
        .filter(|file| file.to_string_lossy().contains(".so"))
        .collect();
    libraries.sort();
    libraries.dedup();
    for library in libraries {
        let is_loader = library
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ld"));
        let folder = folder_of(&library);
        match is_loader {
            true => needs.execute.extend(folder),
            false => needs.read.extend(folder),
        }
    }
}
