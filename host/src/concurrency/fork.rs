//! One request a process (Python's `ForkingMixIn`): each is a forked child of the process that accepts.
//!
//! A child has memory of its own, so whatever ends it ends one request: a crash is an event and a free
//! slot. It acts on two signals: [`CUT`] ends its request, [`PARENT_DIED`] asks it to look whether
//! anybody is left who would wait for it. A child that does not end itself is killed: see [`Lifetime`].

mod child;
mod lifetime;
mod table;
mod tasks;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid, fork};
use signal_hook::SigId;
use signal_hook::low_level;

use super::{AFTER_CUT, Concurrency, Permit, Process, Room};
use crate::address::Endpoint;
use crate::forked::is_child;
use crate::outcome::Outcome;
use crate::poll::{self, Waker};
use crate::request::{Request, lock};

pub(crate) use child::CUT;
pub(crate) use lifetime::{DUMPING, Lifetime, bound_data};
pub(crate) use table::{Counting, Slot, Table};
use tasks::Tasks;

/// Serves each request in a child of its own.
pub(crate) struct Fork {
    table: Arc<Table>,
    children: Mutex<Vec<Child>>,
    process: Arc<Process>,
    lost: Arc<dyn Fn(Lost) + Send + Sync>,
    lifetime: Lifetime,
    tasks: Tasks,
    /// Listeners, what wakes this process, and what shows it: no business of a child.
    not_for_children: Mutex<Vec<RawFd>>,
    /// The system has said that a child has ended or was stopped.
    child_changed: Arc<AtomicBool>,
    hurries: AtomicBool,
    waker: Arc<Waker>,
    handlers: Vec<SigId>,
}

/// A request whose child ended without telling its event, or had to be killed.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// The request's number.
    pub(crate) id: u64,
    /// Who asked, as far as it is known.
    pub(crate) client_address: Endpoint,
    /// From accept or receive to the child's end.
    pub(crate) duration: Duration,
    /// What names the request's end.
    pub(crate) outcome: Outcome,
    /// What ended the child.
    pub(crate) detail: String,
    /// The child has told the request's event: only its end is news.
    pub(crate) is_told: bool,
}

struct Child {
    pid: Pid,
    slot: Slot,
    id: u64,
    client_address: Endpoint,
    started: Instant,
    /// When it is killed; `None` where it has no deadline, or was killed.
    end: Option<Instant>,
    is_overdue: bool,
    /// It has been given the time that a core dump takes.
    is_dumping: bool,
    is_cut: bool,
    /// It was stopped, and is killed for it: it holds a slot, and nobody knows for how long.
    stopped_by: Option<Signal>,
}

/// What is said of a child that was killed for its time.
pub(crate) const DID_NOT_END: &str =
    "its process did not end by itself soon after the deadline, and was killed";
const CPU_TIME_IS_USED_UP: &str =
    "its process took more CPU time than --cpu-limit and its report need, and was ended by SIGXCPU";

impl Fork {
    /// Requests take slots of `table`, which other processes may take from, too, and are served by
    /// `process`; `lost` is told of those whose child was killed or crashed. Children that lose this
    /// process go on as children of `supervisor`. `waker` wakes the loop when a child has ended. A child that
    /// outlives `lifetime` is killed.
    ///
    /// While it lives, [`CUT`], SIGUSR2 and SIGCHLD have handlers, beside those that the program may
    /// have.
    ///
    /// # Errors
    ///
    /// The process has more than one thread, or the system refuses a signal handler.
    pub(crate) fn new(
        table: Arc<Table>,
        supervisor: Option<Pid>,
        waker: Arc<Waker>,
        process: Arc<Process>,
        lost: Arc<dyn Fn(Lost) + Send + Sync>,
        lifetime: Lifetime,
    ) -> io::Result<Self> {
        let tasks = Tasks::open()?;
        tasks.check_single_threaded()?;
        let child_changed = Arc::new(AtomicBool::new(false));
        let (changed, wake) = (child_changed.clone(), waker.clone());
        let on_child = move || {
            // A child has none of its own, and no waker.
            if is_child() {
                return;
            }
            // Whoever looks takes the flag first, and then finds all that have ended.
            if !changed.swap(true, AcqRel) {
                wake.wake();
            }
        };
        let mut handlers = child::handle_signals(supervisor)?;
        // SAFETY: the handler stores to an atomic and calls write(2), both of which it may
        // (signal-safety(7)).
        #[expect(unsafe_code, reason = "a signal handler")]
        let handler = unsafe { low_level::register(libc::SIGCHLD, on_child)? };
        handlers.push(handler);
        Ok(Fork {
            table,
            children: Mutex::default(),
            process,
            lost,
            lifetime,
            not_for_children: Mutex::new(vec![
                tasks.as_fd().as_raw_fd(),
                waker.as_fd().as_raw_fd(),
            ]),
            tasks,
            child_changed,
            hurries: AtomicBool::new(false),
            waker,
            handlers,
        })
    }

    /// Python's `collect_children`: waits for those of our own children that have ended, and for no
    /// others.
    pub(crate) fn collect_children(&self) {
        if !self.child_changed.swap(false, AcqRel) {
            return;
        }
        let mut children = lock(&self.children);
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
        // Where no child of ours is left there is nothing to look for, which spares a system call.
        while !children.is_empty()
            && let Ok(status) = waitid(Id::All, look | WaitPidFlag::WNOWAIT)
        {
            let Some(pid) = status.pid() else {
                return;
            };
            if !children.iter().any(|child| child.pid == pid) {
                // Somebody else's child has ended and is not ours to collect: ours may stand behind it.
                let ours: Vec<_> = children.iter().map(|child| child.pid).collect();
                for pid in ours {
                    self.collect(&mut children, pid, look);
                }
                return;
            }
            self.collect(&mut children, pid, look);
        }
    }

    fn collect(&self, children: &mut Vec<Child>, pid: Pid, look: WaitPidFlag) {
        let status = waitid(Id::Pid(pid), look);
        let Some(index) = children.iter().position(|child| child.pid == pid) else {
            return;
        };
        let how = match status {
            Ok(WaitStatus::StillAlive) => return,
            Ok(WaitStatus::Stopped(_, signal)) => {
                children[index].stopped_by = Some(signal);
                // It is our child and was not waited for, so that the number is its own.
                let _ = kill(pid, Signal::SIGKILL);
                return;
            }
            Ok(WaitStatus::Exited(_, code)) => format!("its process exited with code {code}"),
            // No handler of ours could say which.
            Ok(WaitStatus::Signaled(_, Signal::SIGSYS, _)) => {
                "it made a system call that is not allowed to it, while it held signals back: its process was killed by SIGSYS".into()
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => match children[index].stopped_by {
                Some(stop) => format!("its process was stopped by {stop}, and killed for it"),
                None => format!("its process was killed by {signal}"),
            },
            Ok(other) => format!("its process ended: {other:?}"),
            Err(Errno::ECHILD) => "its process was collected by another part of the program".into(),
            Err(error) => format!("its process cannot be waited for: {error}"),
        };
        let child = children.swap_remove(index);
        let is_told = child.slot.is_told();
        if is_told && !child.is_overdue {
            return;
        }
        let (outcome, how) = match (child.slot.forbidden_call(), status) {
            (Some(call), _) => (Outcome::HostError, call),
            (None, Ok(WaitStatus::Signaled(_, Signal::SIGXCPU, _))) => {
                (Outcome::CpuLimit, CPU_TIME_IS_USED_UP.to_owned())
            }
            (None, Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _))) if child.is_overdue => {
                (Outcome::Deadline, DID_NOT_END.to_owned())
            }
            (None, _) => (Outcome::HostError, how),
        };
        let outcome = match child.is_cut {
            true => Outcome::Cut,
            false => outcome,
        };
        if child.is_cut && !is_told {
            child.slot.counters().cut.fetch_add(1, Relaxed);
        }
        (self.lost)(Lost {
            id: child.id,
            client_address: child.client_address,
            duration: child.started.elapsed(),
            outcome,
            detail: how,
            is_told,
        });
    }

    /// Kills children that have outlived their time.
    fn kill_overdue(&self) {
        let mut children = lock(&self.children);
        let Some(first) = children.iter().filter_map(|child| child.end).min() else {
            return;
        };
        let now = Instant::now();
        if now < first {
            return;
        }
        for child in children.iter_mut() {
            if child.end.is_some_and(|end| end <= now) {
                if child.slot.is_dumping() && !std::mem::replace(&mut child.is_dumping, true) {
                    child.end = now.checked_add(DUMPING);
                    continue;
                }
                child.end = None;
                child.is_overdue = true;
                // It was not waited for, so that the number is its own.
                let _ = kill(child.pid, Signal::SIGKILL);
            }
        }
    }

    /// From now on requests in flight are not waited for, but ended. For a signal handler.
    pub(crate) fn hurry(&self) {
        self.hurries.store(true, Relaxed);
        self.waker.wake();
    }

    /// Whether all children have ended before `grace` or something else is over.
    fn wait(&self, grace: Duration, is_over: impl Fn() -> bool) -> bool {
        let end = Instant::now().checked_add(grace);
        loop {
            self.service_actions();
            if lock(&self.children).is_empty() {
                return true;
            }
            let now = Instant::now();
            if is_over() || end.is_some_and(|end| end <= now) {
                return false;
            }
            let next = [end, self.due()].into_iter().flatten().min();
            let left = next.map(|next| next.saturating_duration_since(now));
            match poll::wait(self.waker.as_fd(), PollFlags::POLLIN, left) {
                Ok(true) => self.waker.reset(),
                Ok(false) => {}
                Err(_) => return false,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        for child in lock(&self.children).iter_mut() {
            child.is_cut = true;
            // A child that was not waited for keeps its number, ended or not.
            let _ = kill(child.pid, signal);
        }
    }
}

impl Concurrency for Fork {
    fn not_for_children(&self, listener: RawFd) {
        lock(&self.not_for_children).push(listener);
    }

    fn reserve(&self, _waker: &Arc<Waker>) -> Option<Permit> {
        self.collect_children();
        Some(Permit(Room::Slot(self.table.reserve()?)))
    }

    fn process_request(&self, permit: Permit, request: Arc<Request>) -> io::Result<()> {
        let Permit(Room::Slot(slot)) = permit else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // A thread that somebody has started meanwhile could hold a lock that the child needs.
        self.tasks.check_single_threaded()?;
        child::set_request(&request);
        #[expect(
            unsafe_code,
            reason = "the child of a process with threads could wait for ever"
        )]
        // SAFETY: the process has one thread, so that the child may do whatever its parent may.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            self.child(slot, request);
        }
        child::forget_request();
        let Ok(ForkResult::Parent { child: pid }) = forked else {
            return Err(forked.err().unwrap_or(Errno::EAGAIN).into());
        };
        slot.set_pid(pid.as_raw());
        lock(&self.children).push(Child {
            pid,
            slot,
            id: request.id(),
            client_address: request.client_address().clone(),
            started: request.started(),
            end: self.lifetime.end(request.started()),
            is_overdue: false,
            is_dumping: false,
            is_cut: false,
            stopped_by: None,
        });
        // The connection is the child's: the last owner of the request closes it here.
        drop(request);
        Ok(())
    }

    fn service_actions(&self) {
        self.collect_children();
        self.kill_overdue();
    }

    fn due(&self) -> Option<Instant> {
        let children = lock(&self.children);
        children.iter().filter_map(|child| child.end).min()
    }

    fn count(&self) -> usize {
        self.table.count()
    }

    fn join(&self) {
        self.wait(Duration::MAX, || false);
    }

    fn close(&self, grace: Duration) -> usize {
        let until_hurried = || self.hurries.load(Relaxed);
        if !self.wait(grace, until_hurried) {
            self.signal(CUT);
            if !self.wait(AFTER_CUT, || false) {
                self.signal(Signal::SIGKILL);
                self.wait(AFTER_CUT, || false);
            }
        }
        self.table.counters().cut.load(Acquire) as usize
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}
