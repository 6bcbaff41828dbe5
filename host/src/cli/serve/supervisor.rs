//! Processes that fork (`--concurrency fork`): one for each listener, started again when it dies.
//!
//! A loop's process is this program once more, see `fork_loop`. What must outlive it is here: the
//! listeners, the compiled handler, the table of requests and the log. Its children outlive it, too;
//! the system gives them to this process.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use sd_notify::NotifyState;

use super::channel::Heard;
use super::loading::Shared;
use super::loop_process::{Ended, Loop, environment};
use super::notify::notify;
use super::orphans::Orphans;
use super::sockets::Sockets;
use super::{Message, PATIENCE, Reason, listening, receive_until};
use crate::cli::HandlerArgs;
use crate::cli::fork_loop::{Inherited, STOP, grant_arguments, ignore_signals};
use crate::cli::log;
use crate::cli::this_program::this_program;
use crate::concurrency::{CUT, Lifetime, Table};
use crate::events;
use crate::recording::Keeper;
use crate::server::Listener;

/// How long to wait before a process that died is started again: twice as long each time, until one
/// has lived for long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const LONG_LIFE: Duration = Duration::from_secs(2);

/// Loops in processes of their own, and what they need to be started.
pub(super) struct Supervisor {
    service: String,
    /// `--inherit-env`.
    inherit_env: Vec<String>,
    listeners: Vec<Listening>,
    handler: Shared,
    table: Arc<Table>,
    loops: Vec<Loop>,
    started: u64,
    orphans: Orphans,
    /// One for each loop, by its number; it ends when neither the loop nor a child of it is left.
    logs: Vec<(u64, Receiver<()>)>,
    /// The quota of requests is.
    is_used_up: bool,
    keeper: Option<Arc<Keeper>>,
    messages: Sender<Message>,
}

/// A listener, and whether it is served.
struct Listening {
    listener: Box<dyn Listener>,
    /// Whether it was said that it accepts.
    is_told: bool,
    pause: Duration,
    next_start: Option<Instant>,
}

impl Supervisor {
    pub(super) fn start(
        service: &HandlerArgs,
        table: Arc<Table>,
        lifetime: Lifetime,
        sockets: Sockets,
        handler: Shared,
        keeper: Option<Arc<Keeper>>,
        messages: Sender<Message>,
    ) -> anyhow::Result<Self> {
        // Children whose loop dies become ours.
        set_child_subreaper(true)?;
        let listeners = sockets.listeners.into_iter().map(|listener| Listening {
            listener,
            is_told: false,
            pause: SHORTEST_PAUSE,
            next_start: None,
        });
        let name = service.service_name();
        let mut supervisor = Supervisor {
            orphans: Orphans::new(&name, lifetime),
            service: name,
            inherit_env: service.grants.inherit_env.clone(),
            listeners: listeners.collect(),
            handler,
            table,
            loops: Vec::new(),
            started: 0,
            logs: Vec::new(),
            is_used_up: false,
            keeper,
            messages,
        };
        for serves in 0..supervisor.listeners.len() {
            supervisor.start_loop(serves)?;
        }
        Ok(supervisor)
    }

    fn start_loop(&mut self, serves: usize) -> anyhow::Result<()> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .context("no descriptor is left for a process's log: raise `ulimit -n`")?;
        setsockopt(&ours, sockopt::PassCred, &true)?;
        let inherited = Inherited {
            listener: self.listeners[serves].listener.fileno().as_raw_fd(),
            code: self.handler.code.as_raw_fd(),
            table: self.table.as_fd().as_raw_fd(),
            channel: theirs.as_raw_fd(),
        };
        let grants = &self.handler.grants;
        let folders = grants.folders.iter().map(AsRawFd::as_raw_fd);
        let descriptors = inherited.descriptors().into_iter().chain(folders).collect();
        let child = this_program("fork-loop", descriptors, ignore_signals)
            .arg("--inherited")
            .arg(inherited.to_string())
            .args(grant_arguments(grants))
            .args(std::env::args_os().skip(2))
            .env_clear()
            .envs(environment(&self.inherit_env))
            // What it says there in its last moment is one more message.
            .stderr(theirs.try_clone()?)
            .spawn()
            .context("no process is to be had for the service's loop")?;
        self.started += 1;
        let number = self.started;
        let (finished, log) = mpsc::channel();
        let (messages, keeper) = (self.messages.clone(), self.keeper.clone());
        let (service, pid) = (
            self.service.clone(),
            Pid::from_raw(child.id().cast_signed()),
        );
        thread::Builder::new()
            .name(format!("log of {}", child.id()))
            .stack_size(512 << 10)
            .spawn(move || {
                let heard = Heard {
                    channel: ours,
                    service: &service,
                    number,
                    pid,
                    keeper: keeper.as_deref(),
                    messages: &messages,
                };
                heard.pass_on();
                drop(finished);
            })
            .context("no thread is to be had for a process's log")?;
        let is_open = |log: &Receiver<()>| log.try_recv() == Err(TryRecvError::Empty);
        self.logs.retain(|(_, log)| is_open(log));
        self.logs.push((number, log));
        events::fork_started(&self.service, child.id());
        self.loops.push(Loop {
            number,
            serves,
            child,
            since: Instant::now(),
            is_accepting: false,
            is_retired: false,
        });
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.table.count()
    }

    /// A loop accepts: those that it replaces need not.
    pub(super) fn accepting(&mut self, number: u64) {
        let Some(new) = self.loops.iter_mut().find(|other| other.number == number) else {
            return;
        };
        new.is_accepting = true;
        let serves = new.serves;
        for old in &mut self.loops {
            if old.serves == serves && old.number < number && !old.is_retired {
                old.is_retired = true;
                old.signal(STOP);
            }
        }
        let listener = &mut self.listeners[serves];
        if !listener.is_told {
            listener.is_told = true;
            listening(&self.service, &listener.listener.server_address());
            if self.listeners.iter().all(|listener| listener.is_told) {
                notify(&[NotifyState::Ready]);
            }
        }
    }

    /// A loop is not heard any more, and lives: another one takes its place, while it ends what it has begun.
    pub(super) fn silenced(&mut self, number: u64) {
        let mut serving = self.loops.iter().filter(|process| !process.is_retired);
        let Some(silent) = serving.find(|process| process.number == number) else {
            return;
        };
        events::fork_silenced(&self.service, silent.child.id());
        // Not at once: who silences one after the other is not to have a process of ours for each.
        let listener = &mut self.listeners[silent.serves];
        listener.next_start = Some(Instant::now() + LONGEST_PAUSE);
    }

    /// Requests from now on are served by another handler: in new processes, while the old ones end
    /// what they have begun.
    pub(super) fn replace_handler(&mut self, handler: Shared) -> anyhow::Result<()> {
        self.handler = handler;
        for serves in 0..self.listeners.len() {
            self.start_loop(serves)?;
        }
        Ok(())
    }

    /// The system says that a child of ours has ended or was stopped.
    pub(super) fn child_changed(&mut self) -> anyhow::Result<Option<Reason>> {
        self.orphans.collect();
        for Ended { process, status } in self.collect_loops() {
            if process.is_retired {
                continue;
            }
            if status.success() {
                // The quota is that of all loops; each ends what it has begun.
                self.is_used_up = true;
                self.loops.iter().for_each(|other| other.signal(STOP));
                continue;
            }
            let listener = &mut self.listeners[process.serves];
            if !listener.is_told {
                // Its reasons are in the log once its lines are.
                self.wait_for_logs(|number| number == process.number);
                let listener = &self.listeners[process.serves].listener;
                bail!(
                    "the process that should serve {} ended before it did: {status}",
                    listener.server_address()
                );
            }
            let lived_long = process.since.elapsed() >= LONG_LIFE;
            listener.pause = match lived_long {
                true => SHORTEST_PAUSE,
                false => (listener.pause * 2).min(LONGEST_PAUSE),
            };
            let pause = listener.pause;
            listener.next_start = Some(Instant::now() + pause);
            events::fork_died(
                &self.service,
                process.child.id(),
                &status.to_string(),
                pause,
            );
        }
        Ok((self.is_used_up && !self.is_serving()).then_some(Reason::Quota))
    }

    /// When the next process is to be started again, or killed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let starts = self.listeners.iter().map(|listener| listener.next_start);
        starts.chain([self.orphans.due()]).flatten().min()
    }

    /// Starts again, and kills, what is due.
    pub(super) fn due(&mut self) -> anyhow::Result<()> {
        self.orphans.kill_overdue();
        let now = Instant::now();
        for serves in 0..self.listeners.len() {
            let listener = &mut self.listeners[serves];
            if listener.next_start.is_some_and(|start| start <= now) {
                listener.next_start = None;
                if let Err(error) = self.start_loop(serves) {
                    let listener = &mut self.listeners[serves];
                    listener.pause = LONGEST_PAUSE;
                    listener.next_start = Some(now + LONGEST_PAUSE);
                    events::fork_failed(&self.service, &format!("{error:#}"), LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// No new requests; those in flight have `grace` to end, then they are cut. Says how many were.
    pub(super) fn stop(mut self, messages: &Receiver<Message>, grace: Duration) -> usize {
        for process in &self.loops {
            process.signal(STOP);
        }
        // Clients are refused from now on, and do not wait for nobody.
        self.listeners.clear();
        self.wait(messages, grace);
        if self.is_serving() {
            for process in &self.loops {
                process.signal(CUT);
            }
            self.orphans.cut();
            self.wait(messages, PATIENCE);
        }
        if self.is_serving() {
            for process in &self.loops {
                // Loop and children are a group of their own.
                let _ = killpg(process.pid(), Signal::SIGKILL);
            }
            self.orphans.kill();
            self.wait(messages, PATIENCE);
        }
        self.wait_for_logs(|_| true);
        let counters = self.table.counters();
        log::lost(counters.lines_lost.load(Acquire));
        counters.cut.load(Acquire) as usize
    }

    fn is_serving(&self) -> bool {
        !(self.loops.is_empty() && self.orphans.is_empty())
    }

    /// Until all that was said is written, of processes that have ended.
    fn wait_for_logs(&self, of: impl Fn(u64) -> bool) {
        let end = Instant::now() + PATIENCE;
        for (_, log) in self.logs.iter().filter(|(number, _)| of(*number)) {
            // An error is what is waited for: there is no sender left.
            let _ = log.recv_timeout(end.saturating_duration_since(Instant::now()));
        }
    }

    /// Until no process is left, or the time is over.
    fn wait(&mut self, messages: &Receiver<Message>, time: Duration) {
        let end = Instant::now().checked_add(time);
        loop {
            self.collect_loops();
            self.orphans.collect();
            self.orphans.kill_overdue();
            if !self.is_serving() || end.is_some_and(|end| end <= Instant::now()) {
                return;
            }
            // Whatever the message is: that a process has ended is among them, and a second signal to
            // stop is seen to elsewhere.
            match [end, self.orphans.due()].into_iter().flatten().min() {
                Some(next) => drop(receive_until(messages, next)),
                None => drop(messages.recv()),
            }
        }
    }

    /// Loops that have ended. One that was stopped is killed: nobody knows for how long it would hold
    /// its listener.
    fn collect_loops(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut index = 0;
        while index < self.loops.len() {
            let process = &mut self.loops[index];
            let stopped = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
            if let Ok(WaitStatus::Stopped(..)) = waitid(Id::Pid(process.pid()), stopped) {
                process.signal(Signal::SIGKILL);
            }
            match process.child.try_wait() {
                Ok(Some(status)) => {
                    let process = self.loops.swap_remove(index);
                    self.orphans.adopt(&self.table, process.pid());
                    ended.push(Ended { process, status });
                }
                _ => index += 1,
            }
        }
        ended
    }
}
