//! sandsock side by side with what a user would take instead: `cargo xtask bench`.
//!
//! ```text
//!  sandsock-bench ─▶ each round: each section (sections/): each competitor, in turn
//!                        │ starts      server.rs, competitors.rs, native (bin/native), servers.py
//!                        │ loads       load/: clients in a closed loop, an open one, a stream, packets
//!                        │ looks at    process.rs: CPU time and memory of the server's processes
//!                        ▼ keeps       figures.rs
//!                    report.rs, pictures.rs: medians, spread, ratios to the named base, targets
//! ```
//!
//! The load generator and the figures never decide whether a run succeeds: what does not start or
//! answers wrongly does.

#![forbid(unsafe_code)]

pub mod competitors;
pub mod counts;
pub mod figures;
pub mod load;
pub mod machine;
pub mod pictures;
pub mod process;
pub mod report;
pub mod run;
pub mod sections;
pub mod server;
pub mod world;
