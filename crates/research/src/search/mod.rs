//! Searching for parameters: which points to try, how they rank, and what a winner is worth.
//!
//! The modules in reading order:
//!
//! 1. `space`: parameters, their values, and the constraint.
//! 2. `rng`: random numbers that depend on their place in the search alone.
//! 3. `sampler`: what the methods have in common, and how points rank.
//! 4. `grid`, `sample`, `tpe`, `genetic`: the methods.
//! 5. `run`: a search on several threads.
//! 6. `backtest`: points as runs of a strategy.
//! 7. `walk`: windows of a walk-forward run.
//! 8. `item`: one item of a request, from the search to the warnings about its winner.
//!
//! The caller passes the function that makes signals from parameters.

mod backtest;
mod genetic;
mod grid;
mod item;
mod rng;
mod run;
mod sample;
mod sampler;
mod space;
mod tpe;
mod walk;

pub use backtest::Backtests;
pub use item::{Candidate, Item, ItemResult, OutOfSample, WalkResult, WindowResult, optimize};
pub use rng::Seed;
pub use run::{Evaluate, Evaluation, Found, Options, Outcome, Progress, StopFlag, StopReason, Threads, search};
pub use sampler::{MAX_WINDOWS, Method, Score, SearchError};
pub use space::{Parameter, Point, Space, SpaceError};
pub use walk::{WalkForward, WalkWindow};
