//! Deliberate defects, one at a time: each stands at a border of the simulation (disk, network, command), so that the code under
//! test has no switches. A simulation that does not find one of them within its seeds proves nothing.

macro_rules! mutants {
    ($( $name:ident = $text:literal, $says:literal; )*) => {
        /// A defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant { $( #[doc = $says] $name, )* }
        impl Mutant {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $text),* } }
            pub const fn says(self) -> &'static str { match self { $(Self::$name => $says),* } }
        }
    };
}

mutants! {
    NoFsync = "no-fsync", "the disk says that it has synced and has not";
    VoteNotPersisted = "vote-not-persisted", "a server forgets at a restart for whom it voted";
    LostTruncation = "lost-truncation", "entries that another leader took back stand in the log again after a restart";
    ReusedId = "reused-id", "a server comes back with its id and an empty log";
    OldCopy = "old-copy", "a server comes back with a copy of its disk of some time ago";
    MissingTable = "missing-table", "snapshots lack the namespaces";
    AcknowledgeBeforeCommit = "acknowledge-before-commit", "a write is acknowledged when it is handed in";
    AppendUnwritten = "append-unwritten", "a follower answers that it has written entries which it never got";
    SkippedEntry = "skipped-entry", "a follower applies nothing in the place of some entries";
    AppliedTwice = "applied-twice", "a follower applies some entries twice";
    ClockInApply = "clock-in-apply", "a follower applies entries with its own clock";
    StaleRead = "stale-read", "a follower answers reads without asking the leader (no ReadIndex)";
    LeaseRead = "lease-read", "whoever believes to lead answers reads without asking a majority";
    ForgottenCheck = "forgotten-check", "check-and-set of jobs is written without the check";
    DuplicateEvaluation = "duplicate-evaluation", "an evaluation is given to two workers";
    DroppedStatus = "dropped-status", "a batch of statuses is acknowledged and dropped";
    ReorderedStatus = "reordered-status", "a batch of statuses is written again after a newer one";
    NoFitCheck = "no-fit-check", "apply does not check again whether a plan fits its nodes";
    NoStaleCheck = "no-stale-check", "apply does not check again whether a plan is older than the last one of its job";
}

impl Mutant {
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mutant| mutant.name() == name)
    }
}
