//! Files, TCP ports and signals: Landlock (landlock(7)).

use std::sync::Mutex;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::{HardenError, InForce, Needs};
use crate::request::lock;

/// What is asked for: Linux 6.12 knows all of it.
const WANTED: ABI = ABI::V6;

impl From<RulesetError> for HardenError {
    fn from(error: RulesetError) -> Self {
        HardenError(format!("Landlock: {error}"))
    }
}

/// Refuses the calling thread, and what it starts, all files and TCP ports but those that are needed, and
/// signals to processes that were there before.
pub(super) fn confine(needs: &Needs, in_force: &mut InForce) -> Result<(), HardenError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let change = AccessFs::from_all(WANTED)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | MakeFifo | MakeSock | IoctlDev});
    let execute = AccessFs::Execute | AccessFs::ReadFile;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::Signal)?
        .create()?;
    for (paths, access) in [
        (&needs.read, read),
        (&needs.change, change),
        (&needs.remove, AccessFs::RemoveFile.into()),
        (&needs.execute, execute),
    ] {
        for path in paths {
            ruleset = allow(ruleset, path, access)?;
        }
    }
    if needs.has_files() {
        // What a file has the number of for a moment, see `sandbox/wasi_p1/paths.rs`.
        let read = BitFlags::from(AccessFs::ReadFile);
        ruleset = allow(ruleset, std::path::Path::new("/dev/null"), read)?;
    }
    for port in &needs.connect {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    note(&ruleset.restrict_self()?, in_force);
    Ok(())
}

/// What is not there need not be allowed.
fn allow(
    ruleset: RulesetCreated,
    path: &std::path::Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, HardenError> {
    let Ok(found) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    // A file has no right that is a folder's.
    let access = match path.is_dir() {
        true => access,
        false => access & AccessFs::from_file(WANTED),
    };
    Ok(ruleset.add_rule(PathBeneath::new(found, access))?)
}

/// What is said of a kernel without Landlock.
const NOT_THERE: &str = "not there";

fn note(status: &RestrictionStatus, in_force: &mut InForce) {
    let lacks = |what: &str| what.to_owned();
    match (&status.ruleset, &status.landlock) {
        (RulesetStatus::NotEnforced, _) => {
            in_force.landlock = NOT_THERE.to_owned();
            in_force
                .lacks
                .push(lacks("Landlock (Linux 5.13, and switched on)"));
        }
        (how, LandlockStatus::Available { effective_abi, .. }) => {
            in_force.landlock = format!("abi {effective_abi}");
            if *how == RulesetStatus::PartiallyEnforced {
                in_force
                    .lacks
                    .push(lacks("Landlock for TCP ports and signals (Linux 6.12)"));
            }
        }
        (_, other) => in_force.landlock = format!("{other:?}"),
    }
}

/// What each child takes upon itself: made once, since making it costs more than taking it.
static OF_A_CHILD: Mutex<Option<RulesetCreated>> = Mutex::new(None);

/// Children send signals to themselves alone.
pub(super) fn prepare_children(needs: &Needs, in_force: &InForce) -> Result<(), HardenError> {
    if in_force.landlock == NOT_THERE {
        return Ok(());
    }
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        // Whoever does not speak of it loses it (landlock(7)).
        .handle_access(AccessFs::Refer)?
        .scope(Scope::Signal)?
        .create()?;
    for folder in &needs.change {
        ruleset = allow(ruleset, folder, AccessFs::Refer.into())?;
    }
    *lock(&OF_A_CHILD) = Some(ruleset);
    Ok(())
}

/// In a child that was forked just now.
pub(crate) fn confine_child() -> Result<(), HardenError> {
    // The child's own copy: the parent keeps its for the next.
    if let Some(ruleset) = lock(&OF_A_CHILD).take() {
        ruleset.restrict_self()?;
    }
    Ok(())
}
