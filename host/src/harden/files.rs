//! Files, TCP ports, abstract sockets and signals: Landlock (landlock(7)).

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::{HardenError, InForce, Needs};

/// What is asked for: Linux 6.12 knows all of it.
const WANTED: ABI = ABI::V6;

impl From<RulesetError> for HardenError {
    fn from(error: RulesetError) -> Self {
        HardenError(format!("Landlock: {error}"))
    }
}

/// Refuses the calling thread, and what it starts, all files, TCP ports and abstract sockets but those that are needed,
/// and signals to processes that were there before.
pub(super) fn confine(needs: &Needs, in_force: &mut InForce) -> Result<(), HardenError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let change = AccessFs::from_all(WANTED)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | MakeFifo | MakeSock | IoctlDev});
    let execute = AccessFs::Execute | AccessFs::ReadFile;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(scopes(needs))?
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

/// Whose processes and abstract sockets are left alone: all but those that this process starts or opens from now on.
fn scopes(needs: &Needs) -> BitFlags<Scope> {
    match needs.unix_clients {
        true => Scope::Signal.into(),
        false => Scope::Signal | Scope::AbstractUnixSocket,
    }
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

fn note(status: &RestrictionStatus, in_force: &mut InForce) {
    let lacks = |what: &str| what.to_owned();
    match (&status.ruleset, &status.landlock) {
        (RulesetStatus::NotEnforced, _) => {
            in_force.landlock = "not there".to_owned();
            in_force
                .lacks
                .push(lacks("Landlock (Linux 5.13, and switched on)"));
        }
        (how, LandlockStatus::Available { effective_abi, .. }) => {
            in_force.landlock = format!("abi {effective_abi}");
            if *how == RulesetStatus::PartiallyEnforced {
                in_force.lacks.push(lacks(
                    "Landlock for TCP ports, signals and abstract sockets (Linux 6.12)",
                ));
            }
        }
        (_, other) => in_force.landlock = format!("{other:?}"),
    }
}
