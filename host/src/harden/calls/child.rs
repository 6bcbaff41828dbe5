//! What a forked child gives up beside what its parent may: processes of its own, and signals to others.

#![expect(unsafe_code, reason = "one system call that no crate makes alone")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use nix::libc::{self, c_ulong};
use nix::unistd::Pid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::failed;
use crate::harden::{Harden, HardenError};
use crate::request::lock;

/// The filter, made once: making it costs more than taking it. It has [`ITS_OWN`] where a child's number belongs.
static FILTER: Mutex<Option<BpfProgram>> = Mutex::new(None);

/// No process has this number (proc(5), `pid_max`).
const ITS_OWN: u32 = 0x7fff_fff7;

/// For the children of this process.
pub(super) fn prepare(harden: Harden) -> Result<(), HardenError> {
    let of_others = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        u64::from(ITS_OWN),
    );
    let of_others = SeccompRule::new(vec![of_others.map_err(failed)?]).map_err(failed)?;
    let rules = BTreeMap::from([
        (libc::SYS_clone, Vec::new()),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_fork, Vec::new()),
        (libc::SYS_kill, Vec::new()),
        (libc::SYS_tgkill, vec![of_others]),
    ]);
    let matching = match harden {
        Harden::Log => SeccompAction::Log,
        _ => SeccompAction::Trap,
    };
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, matching, arch);
    let filter = filter.map_err(failed)?.try_into().map_err(failed)?;
    *lock(&FILTER) = Some(filter);
    Ok(())
}

/// In a child that was forked just now, and has this number.
///
/// # Errors
///
/// The system refuses the filter.
pub(crate) fn confine_child(pid: Pid) -> io::Result<()> {
    // The child's own copy: the parent keeps its for the next.
    let Some(mut filter) = lock(&FILTER).take() else {
        return Ok(());
    };
    let pid = pid.as_raw().cast_unsigned();
    for instruction in filter.iter_mut().filter(|one| one.k == ITS_OWN) {
        instruction.k = pid;
    }
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_mut_ptr().cast(),
    };
    // The crate's own function sets `no_new_privs` once more, for each child.
    // SAFETY: the program is there for the call, with as many instructions as it says, in the layout of the kernel.
    match unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            c_ulong::from(0_u32),
            &raw const program,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
