//! The key of a job: namespace and id.
//!
//! Lookups by borrowed text need no allocation (`Pair`).

use std::cmp::Ordering;
use std::fmt;

use equivalent::{Comparable, Equivalent};
use nomadd_model::{Text, noun};

noun! {
    /// Names a job.
    #[derive(Eq, PartialOrd, Ord, Hash)]
    pub struct JobKey {
        pub namespace: Text = "Namespace",
        pub id: Text = "ID",
    }
}

impl JobKey {
    /// A key of shared texts.
    pub fn new(namespace: &Text, id: &Text) -> Self {
        Self { namespace: namespace.clone(), id: id.clone() }
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// A borrowed key.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a>(pub &'a str, pub &'a str);

impl Equivalent<JobKey> for Pair<'_> {
    fn equivalent(&self, key: &JobKey) -> bool {
        self.compare(key) == Ordering::Equal
    }
}

impl Comparable<JobKey> for Pair<'_> {
    fn compare(&self, key: &JobKey) -> Ordering {
        self.0.cmp(key.namespace.as_str()).then_with(|| self.1.cmp(key.id.as_str()))
    }
}
