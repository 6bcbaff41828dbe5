//! The host, as each build sees it: `Input`, `Output` and `About` with the same functions.

#[cfg(target_env = "p2")]
mod component;
#[cfg(not(target_family = "wasm"))]
mod memory;
#[cfg(target_env = "p1")]
mod module;

#[cfg(target_env = "p2")]
pub(crate) use component::{About, Input, Output, initialize, outcome};
#[cfg(target_env = "p2")]
pub use component::{Outcome, bindings};
#[cfg(not(target_family = "wasm"))]
pub(crate) use memory::{About, Input, Output};
#[cfg(target_env = "p1")]
pub use module::Outcome;
#[cfg(target_env = "p1")]
pub(crate) use module::{About, Input, Output, initialize, outcome};
