//! What the scheduler decides: stories of clusters, properties of any, and its explanations.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod pools;
mod properties;
mod stories;
mod system;
mod why;
#[path = "../../fixture/world.rs"]
mod world;
