//! Which commands came with which release: a rolling upgrade must not write what a server of the previous one cannot apply.
//!
//! A set is a number that only grows; a release can apply all sets up to its own. The state holds the set that the cluster may
//! use: the leader raises it (`CommandSetRaise`) once every server can apply the next one, and until then refuses commands of
//! it. `raft` keeps both: `Command::since` is compared before a command is written and before one is applied.

use std::fmt;

use nomadd_model::{Text, noun};

use super::Command;

/// A set of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandSet(u32);

impl CommandSet {
    /// What the first release could apply.
    pub const FIRST: Self = Self(1);
    /// What this release can apply.
    pub const CURRENT: Self = Self::FIRST;
    /// What the next release will be able to apply. Its only command so far is `Rehearsal`, for tests of upgrades.
    pub const NEXT: Self = Self(Self::CURRENT.0 + 1);

    /// The set of a number, as messages and snapshots carry it; 0 is that of who does not know of sets.
    pub const fn of(number: u32) -> Self {
        if number == 0 { Self::FIRST } else { Self(number) }
    }
    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for CommandSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

noun! {
    /// From now on commands of this set may be written. It never goes down.
    pub struct CommandSetRaise {
        pub set: u32 = "Set",
    }

    /// Keeps a note, in a field that the release before does not have: what a rolling upgrade is rehearsed with.
    pub struct Rehearsal {
        pub note: Text = "Note",
    }
}

impl Command {
    /// The set that a server must be able to apply for this command. This is the table: who adds a command says here with which
    /// set it comes, and who adds a field that changes what is done looks at that field here.
    pub fn since(&self) -> CommandSet {
        match self {
            Self::Batch(commands) => commands.iter().map(Self::since).max().unwrap_or(CommandSet::FIRST),
            Self::CommandSetRaise(raise) => CommandSet::of(raise.set),
            Self::Rehearsal(_) => CommandSet::NEXT,
            Self::Noop
            | Self::JobRegister(_)
            | Self::JobDeregister(_)
            | Self::JobDelete(_)
            | Self::JobStability(_)
            | Self::JobVersionTag(_)
            | Self::JobScale(_)
            | Self::JobSummariesReconcile
            | Self::NodeRegister(_)
            | Self::NodeDeregister(_)
            | Self::NodeStatus(_)
            | Self::NodeEligibility(_)
            | Self::NodeDrain(_)
            | Self::NodeEvents(_)
            | Self::EvaluationUpsert(_)
            | Self::EvaluationDelete(_)
            | Self::AllocationClientUpdate(_)
            | Self::AllocationDesiredTransition(_)
            | Self::PlanResults(_)
            | Self::DeploymentStatus(_)
            | Self::DeploymentPromote(_)
            | Self::DeploymentAllocHealth(_)
            | Self::DeploymentDelete(_)
            | Self::SchedulerConfigurationSet(_)
            | Self::NamespaceUpsert(_)
            | Self::NamespaceDelete(_)
            | Self::NodePoolUpsert(_)
            | Self::NodePoolDelete(_)
            | Self::RootKeyUpsert(_)
            | Self::RootKeyDelete(_)
            | Self::AutopilotConfigurationSet(_)
            | Self::ClusterId(_) => CommandSet::FIRST,
        }
    }
}

#[cfg(test)]
mod tests {
    use nomadd_model::Time;

    use super::*;
    use crate::State;

    #[test]
    fn a_batch_needs_what_the_newest_of_it_needs() {
        let rehearsal = Command::Rehearsal(Rehearsal::default());
        let batch = Command::Batch(vec![Command::Noop, Command::Batch(vec![rehearsal])]);
        assert_eq!(batch.since(), CommandSet::NEXT);
        assert_eq!(Command::Batch(vec![Command::Noop]).since(), CommandSet::FIRST);
        let raise = Command::CommandSetRaise(CommandSetRaise { set: 7 });
        assert_eq!(raise.since(), CommandSet::of(7), "who cannot apply set 7 stops before the cluster uses it");
    }

    #[test]
    fn the_set_of_a_cluster_never_goes_down() {
        let mut state = State::new();
        assert_eq!(state.command_set(), CommandSet::FIRST);
        for (index, (set, then)) in [(2, 2), (1, 2), (0, 2), (3, 3)].into_iter().enumerate() {
            state.apply(index as u64 + 1, Time(1), Command::CommandSetRaise(CommandSetRaise { set }));
            assert_eq!(state.command_set(), CommandSet::of(then));
        }
    }
}
