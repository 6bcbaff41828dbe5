//! `run --profile`: where guest code spends its time, in the format that the Firefox Profiler shows
//! (<https://profiler.firefox.com>).
//!
//! The stack is looked at when the engine's epoch has moved, in the guest's own thread: at the next loop or function
//! that guest code begins. No signal, no second thread that looks into this one. What looking costs is not counted.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, Profile,
    SamplingInterval, ThreadHandle, Timestamp,
};
use wasmtime::{AsContext, Engine, Store, UpdateDeadline, WasmBacktrace};

use super::{Guest, Symbols};
use crate::request::lock;

/// How often the stack is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// Functions of one stack that are told, the innermost; deep recursion has hundreds of thousands.
const FUNCTIONS: usize = 256;

/// Looks at the stack of one request.
pub(crate) struct Profiler {
    samples: Mutex<Samples>,
    started: Instant,
}

struct Samples {
    profile: Profile,
    thread: ThreadHandle,
    of_functions: CategoryHandle,
    of_lines: CategoryHandle,
    /// CPU time of the request when the last look had ended.
    looked_at: Duration,
    count: u64,
}

impl Profiler {
    /// For a handler by its name.
    pub(crate) fn new(handler: &str) -> Arc<Self> {
        let interval = SamplingInterval::from_nanos(nanos(INTERVAL));
        let mut profile = Profile::new(handler, SystemTime::now().into(), interval);
        profile.set_product(concat!("sandsock ", env!("CARGO_PKG_VERSION")));
        let start = Timestamp::from_nanos_since_reference(0);
        let id = std::process::id();
        let process = profile.add_process(handler, id, start);
        let thread = profile.add_thread(process, id, start, true);
        profile.set_thread_name(thread, "handler");
        // All names are there: nobody has to be asked for symbols.
        profile.set_symbolicated(true);
        let of_functions = profile.add_category("Functions", CategoryColor::Green);
        let of_lines = profile.add_category("Lines", CategoryColor::LightBlue);
        Arc::new(Profiler {
            samples: Mutex::new(Samples {
                profile,
                thread,
                of_functions,
                of_lines,
                looked_at: Duration::ZERO,
                count: 0,
            }),
            started: Instant::now(),
        })
    }

    /// Looks at what runs in this store, for as long as it is there.
    ///
    /// # Errors
    ///
    /// No thread is to be had.
    pub(crate) fn attach(
        self: &Arc<Self>,
        store: &mut Store<Guest>,
        symbols: Arc<Symbols>,
    ) -> io::Result<()> {
        tick(store.engine(), Arc::downgrade(self))?;
        let profiler = self.clone();
        store.epoch_deadline_callback(move |store| {
            profiler.look(&store, &symbols);
            Ok(match store.data().request.is_over() {
                true => UpdateDeadline::Interrupt,
                false => UpdateDeadline::Continue(1),
            })
        });
        Ok(())
    }

    fn look(&self, store: impl AsContext<Data = Guest>, symbols: &Symbols) {
        let store = store.as_context();
        let mut samples = lock(&self.samples);
        let samples = &mut *samples;
        let used = store.data().request.cpu_used();
        let since = used.saturating_sub(samples.looked_at);
        // The epoch has moved while this looked, and not while the guest ran.
        if since < INTERVAL / 2 {
            return;
        }
        let backtrace = WasmBacktrace::force_capture(&store);
        let called: Vec<_> = backtrace
            .frames()
            .iter()
            .flat_map(|frame| symbols.functions(frame))
            .take(FUNCTIONS)
            .collect();
        let mut told: Vec<_> = Vec::with_capacity(called.len() + 1);
        // Where in the innermost function: as one more, so that the function itself stays one.
        if let Some((file, line)) = called.first().and_then(|f| Some((f.file?, f.line?))) {
            told.push((format!("{file}:{line}"), samples.of_lines));
        }
        told.extend(
            called
                .into_iter()
                .map(|function| (function.name.to_string(), samples.of_functions)),
        );
        let frames: Vec<_> = told
            .into_iter()
            .rev()
            .map(|(name, category)| FrameInfo {
                frame: Frame::Label(samples.profile.intern_string(&name)),
                category_pair: category.into(),
                flags: FrameFlags::empty(),
            })
            .collect();
        let stack = samples
            .profile
            .intern_stack_frames(samples.thread, frames.into_iter());
        samples.profile.add_sample(
            samples.thread,
            Timestamp::from_nanos_since_reference(nanos(self.started.elapsed())),
            stack,
            CpuDelta::from_nanos(nanos(since)),
            // A sample stands for the time since the one before.
            i32::try_from((since.as_micros() + 500) / INTERVAL.as_micros())
                .unwrap_or(i32::MAX)
                .max(1),
        );
        samples.count += 1;
        samples.looked_at = store.data().request.cpu_used();
    }

    /// Writes what was seen; says how many samples there are.
    ///
    /// # Errors
    ///
    /// What the system says of the file.
    pub(crate) fn write(&self, file: impl io::Write) -> io::Result<u64> {
        let samples = lock(&self.samples);
        let mut file = io::BufWriter::new(file);
        serde_json::to_writer(&mut file, &samples.profile)?;
        io::Write::flush(&mut file)?;
        Ok(samples.count)
    }
}

/// Moves the epoch more often than the engine's own ticker, until the profiler is gone.
fn tick(engine: &Engine, profiler: std::sync::Weak<Profiler>) -> io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("profiler".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            while profiler.strong_count() > 0
                && let Some(engine) = engine.upgrade()
            {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(INTERVAL);
            }
        })?;
    Ok(())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
