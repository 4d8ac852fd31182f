//! How each node stands in a run: candidate, or out and why. Counts are kept as standings change, so that a metric is
//! exact over all nodes and costs nothing to read.

use crate::fleet::Fleet;

/// The node is not one of those that the job may use.
pub(super) const UNSEEN: u32 = 0;
/// The node may be taken.
pub(super) const CANDIDATE: u32 = 1;

/// A reason that takes nodes out.
#[derive(Debug)]
pub(super) struct Out {
    /// Nomad's text for it.
    pub(super) text: String,
    /// What kind of reason it is.
    pub(super) kind: OutKind,
    /// How many rows are out by it, by node class.
    pub(super) rows: Vec<i64>,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutKind {
    /// The node may not run the group.
    Filtered,
    /// Other allocations of the job are in the way.
    Distinct,
    /// Something of the node is used up.
    Exhausted,
}

/// The standing of every row.
#[derive(Debug)]
pub(super) struct Standings {
    /// Per row: unseen, candidate, or 2 + the number of the reason.
    pub(super) of: Vec<u32>,
    pub(super) reasons: Vec<Out>,
}

impl Standings {
    /// All rows unseen.
    pub(super) fn new(of: Vec<u32>) -> Self {
        Self { of, reasons: Vec::new() }
    }

    /// How a row stands.
    pub(super) fn get(&self, row: u32) -> u32 {
        self.of.get(row as usize).copied().unwrap_or(UNSEEN)
    }

    /// Why a row is out, if it is.
    pub(super) fn out_kind(&self, row: u32) -> Option<OutKind> {
        (self.get(row) as usize).checked_sub(2).and_then(|at| self.reasons.get(at)).map(|out| out.kind)
    }

    /// The standing of rows that are out for a reason.
    pub(super) fn reason(&mut self, text: impl Into<String> + AsRef<str>, kind: OutKind) -> u32 {
        let known = self.reasons.iter().position(|out| out.kind == kind && out.text == text.as_ref());
        let at = known.unwrap_or_else(|| {
            self.reasons.push(Out { text: text.into(), kind, rows: Vec::new() });
            self.reasons.len() - 1
        });
        at as u32 + 2
    }

    /// Changes how a row stands.
    pub(super) fn set(&mut self, fleet: &Fleet, row: u32, standing: u32) {
        let Some(slot) = self.of.get_mut(row as usize) else { return };
        let before = std::mem::replace(slot, standing);
        if before <= CANDIDATE && standing <= CANDIDATE {
            return;
        }
        let class = fleet.row(row).and_then(|row| fleet.classes().get(row.class as usize));
        let Some(class) = class.map(|class| class.node_class as usize) else { return };
        for (standing, by) in [(before, -1), (standing, 1)] {
            let out = (standing as usize).checked_sub(2).and_then(|at| self.reasons.get_mut(at));
            let Some(out) = out else { continue };
            if out.rows.len() <= class {
                out.rows.resize(class + 1, 0);
            }
            if let Some(count) = out.rows.get_mut(class) {
                *count += by;
            }
        }
    }
}
