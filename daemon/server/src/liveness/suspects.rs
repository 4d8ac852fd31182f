//! Nodes that fell silent: what is asked before one counts as gone, and how many may go at a time.
//!
//! A pure state machine: reports of servers and answers go in, questions and condemned nodes come out. Only silence counts
//! as gone: a host that refuses a connection, or whose agent closed it, is alive and gets the grace first. Owned by
//! `Liveness`; `duty::heartbeats` asks the questions.

use std::collections::{BTreeMap, VecDeque};

use nomadd_model::{Duration, NodeId, Time};

/// The least that is condemned per second, in nodes.
const LEAST_RATE: f64 = 3.0;
/// The part of all nodes that is condemned per second.
const RATE: f64 = 0.05;
/// Nodes that vanish within this time vanish together.
const TOGETHER: Duration = Duration::from_secs(10);
/// Fewer than this many are never a mass.
const MASS: usize = 3;

/// What a server says of a node whose stream it holds or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Nothing is heard of it.
    Silent,
    /// It closed its stream, and did not open another.
    Closed,
}

/// What asking around has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A server has a living stream of it.
    Connected,
    /// Its API takes connections.
    Answers,
    /// Its host is alive and refuses them.
    Refuses,
    /// Nobody hears anything.
    Silent,
}

/// How the leader itself stands with the other servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// How many there are.
    pub others: usize,
    /// From how many it hears.
    pub heard: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To be asked about from then on; `patient`: it has had its grace by then.
    Due { from: Time, patient: bool },
    /// A question is under way.
    Asking { patient: bool },
    /// Gone; it waits for its turn.
    Condemned,
}

/// The nodes that somebody misses.
#[derive(Debug, Default)]
pub struct Suspects {
    phases: BTreeMap<NodeId, Phase>,
    asking: usize,
    condemned: VecDeque<(Time, NodeId)>,
    /// When nodes vanished, lately.
    vanished: VecDeque<Time>,
    /// How many may be condemned now, as of then.
    allowance: Option<(f64, Time)>,
}

impl Suspects {
    /// A server misses a node. `patience`: how long a node that may be restarting is waited for.
    pub fn report(&mut self, id: NodeId, report: Report, patience: Duration, now: Time) {
        let phase = match report {
            Report::Silent => Phase::Due { from: now, patient: false },
            Report::Closed => Phase::Due { from: now.plus(patience), patient: true },
        };
        // What is known already is not begun anew: servers repeat themselves.
        self.phases.entry(id).or_insert(phase);
    }

    /// A node was heard of.
    pub fn heard(&mut self, id: NodeId) {
        match self.phases.remove(&id) {
            Some(Phase::Asking { .. }) => self.asking -= 1,
            Some(Phase::Condemned) => self.condemned.retain(|(_, condemned)| *condemned != id),
            Some(Phase::Due { .. }) | None => {}
        }
    }

    /// The nodes to ask about now, so that no more than `most` questions are under way.
    pub fn questions(&mut self, most: usize, now: Time) -> Vec<NodeId> {
        let mut due = Vec::new();
        for (id, phase) in &mut self.phases {
            if self.asking >= most {
                break;
            }
            if let Phase::Due { from, patient } = *phase
                && from <= now
            {
                *phase = Phase::Asking { patient };
                self.asking += 1;
                due.push(*id);
            }
        }
        due
    }

    /// The answer to a question.
    pub fn answered(&mut self, id: NodeId, verdict: Verdict, patience: Duration, now: Time) {
        // Heard of meanwhile: the answer is old.
        let Some(Phase::Asking { patient }) = self.phases.get(&id).copied() else { return };
        self.asking -= 1;
        self.phases.remove(&id);
        match (verdict, patient) {
            (Verdict::Connected, _) => {}
            (Verdict::Silent, _) | (Verdict::Refuses, true) => self.condemn(id, now),
            // An agent that takes connections may be slow or stopped: its heartbeats decide.
            (Verdict::Answers, _) | (Verdict::Refuses, false) => {
                let patient = verdict == Verdict::Refuses;
                self.phases.insert(id, Phase::Due { from: now.plus(patience), patient });
            }
        }
    }

    /// A node is gone as far as can be known; it is told when its turn comes.
    pub fn condemn(&mut self, id: NodeId, now: Time) {
        match self.phases.insert(id, Phase::Condemned) {
            Some(Phase::Condemned) => return,
            Some(Phase::Asking { .. }) => self.asking = self.asking.saturating_sub(1),
            Some(Phase::Due { .. }) | None => {}
        }
        self.condemned.push_back((now, id));
        self.vanished.push_back(now);
    }

    /// The nodes whose turn it is to go, of `nodes` in all; each is told once.
    ///
    /// When a third of the nodes vanishes while the leader itself misses servers, more likely the leader is cut off: then
    /// they wait, up to `patience`.
    pub fn gone(&mut self, nodes: usize, contact: Contact, patience: Duration, now: Time) -> Vec<NodeId> {
        while self.vanished.front().is_some_and(|at| at.plus(TOGETHER) < now) {
            self.vanished.pop_front();
        }
        let rate = (nodes as f64 * RATE).max(LEAST_RATE);
        let (left, since) = self.allowance.unwrap_or((rate, now));
        let mut left = (left + rate * now.since(since).as_secs_f64().max(0.0)).min(rate);
        let vanished = self.vanished.len();
        let doubtful = contact.heard < contact.others && vanished >= MASS && vanished * 3 > nodes;
        let mut gone = Vec::new();
        while let Some(&(at, id)) = self.condemned.front() {
            if left < 1.0 || (doubtful && at.plus(patience) > now) {
                break;
            }
            left -= 1.0;
            self.condemned.pop_front();
            self.phases.remove(&id);
            gone.push(id);
        }
        self.allowance = Some((left, now));
        gone
    }

    /// Moves every time: the clock was set, or this process stood still.
    pub fn shift(&mut self, by: Duration) {
        for phase in self.phases.values_mut() {
            if let Phase::Due { from, .. } = phase {
                *from = from.plus(by);
            }
        }
        for (at, _) in &mut self.condemned {
            *at = at.plus(by);
        }
        self.vanished.clear();
        self.allowance = None;
    }

    /// Whether somebody is missed.
    pub fn is_empty(&self) -> bool {
        self.phases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);
    const A: NodeId = NodeId([1; 16]);
    const TOGETHER_WITH_ALL: Contact = Contact { others: 2, heard: 2 };

    fn at(milliseconds: i64) -> Time {
        Time(milliseconds * 1_000_000)
    }
    fn node(number: usize) -> NodeId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
        NodeId(id)
    }

    #[test]
    fn a_silent_node_is_asked_about_at_once_and_goes_when_nobody_hears_it() {
        let mut suspects = Suspects::default();
        suspects.report(A, Report::Silent, GRACE, at(0));
        assert_eq!(suspects.questions(8, at(0)), [A]);
        suspects.report(A, Report::Silent, GRACE, at(100));
        assert_eq!(suspects.questions(8, at(100)), [], "one question at a time");
        suspects.answered(A, Verdict::Silent, GRACE, at(600));
        assert_eq!(suspects.gone(10, TOGETHER_WITH_ALL, GRACE, at(600)), [A]);
        assert_eq!(suspects.gone(10, TOGETHER_WITH_ALL, GRACE, at(700)), []);
        assert!(suspects.is_empty());
    }

    #[test]
    fn a_host_that_refuses_gets_the_grace_and_is_asked_about_once_more() {
        let mut suspects = Suspects::default();
        suspects.report(A, Report::Silent, GRACE, at(0));
        suspects.questions(8, at(0));
        suspects.answered(A, Verdict::Refuses, GRACE, at(0));
        assert_eq!(suspects.questions(8, at(9_999)), []);
        assert_eq!(suspects.questions(8, at(10_000)), [A]);
        suspects.answered(A, Verdict::Refuses, GRACE, at(10_000));
        assert_eq!(suspects.gone(10, TOGETHER_WITH_ALL, GRACE, at(10_000)), [A]);
    }

    #[test]
    fn a_closed_stream_is_a_restart_until_the_grace_is_over() {
        let mut suspects = Suspects::default();
        suspects.report(A, Report::Closed, GRACE, at(0));
        assert_eq!(suspects.questions(8, at(9_000)), []);
        suspects.heard(A);
        assert_eq!(suspects.questions(8, at(20_000)), []);
        suspects.report(A, Report::Closed, GRACE, at(20_000));
        assert_eq!(suspects.questions(8, at(30_000)), [A]);
        suspects.answered(A, Verdict::Connected, GRACE, at(30_000));
        assert!(suspects.is_empty());
    }

    #[test]
    fn an_agent_that_takes_connections_and_says_nothing_is_left_to_its_heartbeats() {
        let mut suspects = Suspects::default();
        suspects.report(A, Report::Silent, GRACE, at(0));
        for round in 0..5 {
            assert_eq!(suspects.questions(8, at(round * 10_000)), [A]);
            suspects.answered(A, Verdict::Answers, GRACE, at(round * 10_000));
        }
        assert_eq!(suspects.gone(10, TOGETHER_WITH_ALL, GRACE, at(50_000)), []);
        suspects.condemn(A, at(50_000));
        assert_eq!(suspects.gone(10, TOGETHER_WITH_ALL, GRACE, at(50_000)), [A]);
    }

    #[test]
    fn a_leader_that_is_cut_off_does_not_take_the_nodes_down_with_it() {
        let mut suspects = Suspects::default();
        for number in 0..4 {
            suspects.condemn(node(number), at(0));
        }
        let alone = Contact { others: 2, heard: 1 };
        assert_eq!(suspects.gone(9, alone, GRACE, at(100)), []);
        suspects.heard(node(0));
        assert_eq!(suspects.gone(9, TOGETHER_WITH_ALL, GRACE, at(200)).len(), 3, "it hears the others again");
        for number in 0..4 {
            suspects.condemn(node(number), at(300));
        }
        assert_eq!(suspects.gone(9, alone, GRACE, at(5_000)), []);
        assert_eq!(
            suspects.gone(9, alone, GRACE, at(10_300)).len(),
            3,
            "a server that is lost for good holds nobody up"
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Report(usize, bool),
        Heard(usize),
        Answer(usize, u8),
        Expire(usize),
        Wait(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = prop_oneof![
            (0..40_usize, any::<bool>()).prop_map(|(node, silent)| Step::Report(node, silent)),
            (0..40_usize).prop_map(Step::Heard),
            (0..40_usize, 0..4_u8).prop_map(|(node, verdict)| Step::Answer(node, verdict)),
            (0..40_usize).prop_map(Step::Expire),
            (0..3_000_i64).prop_map(Step::Wait),
        ];
        proptest::collection::vec(one, 0..300)
    }

    proptest! {
        /// Nobody goes who was heard of after the last evidence; nobody goes twice for one reason; never more than the rate
        /// and one full allowance within a second; no question is lost count of.
        #[test]
        fn only_who_is_missed_goes_and_not_all_at_once(steps in steps()) {
            let mut suspects = Suspects::default();
            let mut evidence = std::collections::BTreeSet::new();
            let mut asked = std::collections::BTreeSet::new();
            let mut now = 0;
            let mut went: VecDeque<i64> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Report(number, silent) => {
                        let report = if silent { Report::Silent } else { Report::Closed };
                        suspects.report(node(number), report, GRACE, at(now));
                    }
                    Step::Heard(number) => {
                        suspects.heard(node(number));
                        evidence.remove(&node(number));
                        asked.remove(&node(number));
                    }
                    Step::Answer(number, verdict) => {
                        let verdict = [Verdict::Connected, Verdict::Answers, Verdict::Refuses, Verdict::Silent][verdict as usize];
                        if asked.remove(&node(number)) && matches!(verdict, Verdict::Silent | Verdict::Refuses) {
                            evidence.insert(node(number));
                        }
                        suspects.answered(node(number), verdict, GRACE, at(now));
                    }
                    Step::Expire(number) => {
                        evidence.insert(node(number));
                        asked.remove(&node(number));
                        suspects.condemn(node(number), at(now));
                    }
                    Step::Wait(milliseconds) => now += milliseconds,
                }
                for id in suspects.questions(5, at(now)) {
                    prop_assert!(asked.insert(id), "one question at a time");
                }
                prop_assert!(suspects.asking <= 5);
                prop_assert_eq!(suspects.asking, asked.len());
                for id in suspects.gone(40, TOGETHER_WITH_ALL, GRACE, at(now)) {
                    prop_assert!(evidence.remove(&id), "without evidence");
                    went.push_back(now);
                }
                while went.front().is_some_and(|at| *at + 1_000 <= now) {
                    went.pop_front();
                }
                prop_assert!(went.len() <= 6, "{went:?}");
            }
        }
    }
}
