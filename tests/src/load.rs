//! Load tests of whole clusters: real servers, simulated nodes, and what it costs. Used by the benches, and by a test at a
//! small scale.

pub mod c1m;
pub mod cost;
pub mod http;
pub mod simulated;
