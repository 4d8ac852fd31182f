//! From a task's configuration to what is run. The drivers follow in the next commits.
