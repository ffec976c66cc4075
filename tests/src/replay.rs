//! Replay of recorded scenarios (`.rpl`) against the resolver core.
//!
//! A scenario is a play: a configuration, simulated servers, and steps (a client asks, time passes, an
//! answer is checked). The runner hands the core the same events as the shell does and performs the same
//! actions, with simulated servers in place of sockets and one virtual clock. Nothing of the core is
//! replaced.
//!
//! Two dialects are known: that of Unbound's replay within the process ("testbound") and that of
//! Deckard's runs over sockets. What differs from them here: a query that no simulated server answers
//! fails as timed out once nothing else can happen, and is noted, since another resolver may ask what
//! the author of a scenario did not foresee.

pub mod anchor_file;
pub mod config;
pub mod config_text;
pub mod deckard_config;
pub mod driver;
pub mod lines;
pub mod macro_expansion;
pub mod matching;
pub mod message;
pub mod outcome;
pub mod parse;
pub mod play;
pub mod record;
pub mod record_data;
pub mod reply;
pub mod scenario;
pub mod second_codec;
pub mod server_config;
pub mod token;

mod describe;
mod entry_text;
mod run;
mod run_deckard;
mod scene;
mod service_parameters;
mod state_steps;
mod zone_config;
