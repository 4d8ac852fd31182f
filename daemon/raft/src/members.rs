//! Who the servers of the cluster are, and how that changes: begin a cluster, take servers in, let them vote, remove them, move
//! the leadership; and how they fare, as the leader sees it.
//!
//! A server is asked who it is before it is taken in: one that lost its disk, or whose folder was copied, is refused here with a
//! sentence for the operator and is told so itself. Called by the agent's cluster wiring and the operator's endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::{ChangeMembers, Instant as _, RaftMetrics, ServerState};

use crate::error::{MembershipError, ProposeError};
use crate::handle::{Raft, leader_of};
use crate::membership::{Server, ServerId};
use crate::network::Peer;
use crate::types::Types;
use crate::wire::{Refusal, Why, Word, WordAnswer};

/// How long a server may take to say who it is.
const WHO: Duration = Duration::from_secs(2);
/// How long a change waits for another one that is under way.
const TURN: Duration = Duration::from_secs(5);
/// How long the leadership may take to move.
const MOVE: Duration = Duration::from_secs(3);
/// A voter must have been heard so lately to become one.
const RECENT: Duration = Duration::from_secs(2);

/// How one server fares, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// Its id.
    pub id: ServerId,
    /// Its name and address.
    pub server: Server,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// How long ago it was heard; None: never, or this server does not lead.
    pub last_contact: Option<Duration>,
    /// The last entry it is known to have.
    pub matched: u64,
    /// Entries that it lacks.
    pub lag: u64,
}

/// The best server to lead after this one.
pub(crate) fn successor(metrics: &RaftMetrics<Types>, me: ServerId) -> Option<ServerId> {
    let heard = |id: &ServerId| {
        let contact = metrics.heartbeat.as_ref().and_then(|all| all.get(id).copied().flatten());
        contact.is_some_and(|at| at.into_inner().elapsed() < RECENT)
    };
    let matched = |id: &ServerId| metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
    metrics.membership_config.voter_ids().filter(|id| *id != me && heard(id)).max_by_key(|id| (matched(id), *id))
}

impl Raft {
    /// Makes a cluster of these servers, this one among them. Once: by one of them, or by all with the same list; again with the
    /// same servers it does nothing.
    pub async fn bootstrap(&self, servers: Vec<(ServerId, Server)>) -> Result<(), MembershipError> {
        let list = |reason: String| MembershipError::List { reason };
        let mut members = BTreeMap::new();
        for (id, server) in servers {
            for (other, known) in &members {
                let known: &Server = known;
                if *other == id || known.name == server.name || known.address == server.address {
                    let (first, second) = (&known.name, &server.name);
                    return Err(list(format!("{first} and {second} have the same name, address or id")));
                }
            }
            members.insert(id, server);
        }
        if !members.contains_key(&self.id()) {
            return Err(list(format!("this server ({}) is not among them", self.id())));
        }
        let core = self.core()?;
        for (id, server) in members.iter().filter(|(id, _)| **id != self.id()) {
            self.who(*id, server).await?;
        }
        match core.raft.initialize(members.clone()).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {
                let known = self.configuration().members;
                let same = known.iter().map(|member| member.id).eq(members.keys().copied());
                let names = || known.iter().map(|member| member.server.name.as_str()).collect::<Vec<_>>().join(", ");
                if same { Ok(()) } else { Err(MembershipError::Bootstrapped { servers: names() }) }
            }
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => Err(list("this server is missing".into())),
            Err(RaftError::Fatal(_)) => Err(self.gone()),
        }
    }

    /// Takes a server in; it gets the log, and does not vote. Does nothing when it is a member already.
    pub async fn add_learner(&self, id: ServerId, server: Server) -> Result<(), MembershipError> {
        self.must_lead()?;
        let members = self.configuration().members;
        if let Some(member) = members.iter().find(|member| member.id == id) {
            if member.server == server {
                return Ok(());
            }
            return self.update_address(id, server).await;
        }
        let taken =
            members.iter().find(|known| known.server.name == server.name || known.server.address == server.address);
        if let Some(known) = taken {
            let (newcomer, member) = (Box::new(server.clone()), Box::new(known.server.clone()));
            let error = MembershipError::Known { newcomer, found: id, member, known: known.id };
            self.peer(id, &server).tell(Refusal { why: Why::Lost, text: error.to_string() }).await;
            return Err(error);
        }
        self.who(id, &server).await?;
        self.shared().forget(id);
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, server)])), Retain::Learners).await
    }

    /// Lets servers vote that were taken in before and are heard.
    pub async fn promote(&self, ids: &[ServerId]) -> Result<(), MembershipError> {
        self.must_lead()?;
        let health = self.health();
        for id in ids {
            let peer = health.iter().find(|peer| peer.id == *id).ok_or(MembershipError::Unknown { id: *id })?;
            if *id != self.id() && peer.last_contact.is_none_or(|since| since > RECENT) {
                return Err(MembershipError::Unreachable {
                    name: peer.server.name.clone(),
                    address: peer.server.address.clone(),
                    reason: "it was not heard lately, and a voter that is away endangers the majority".to_owned(),
                });
            }
        }
        self.change(ChangeMembers::AddVoterIds(ids.iter().copied().collect()), Retain::Learners).await
    }

    /// Takes the vote of servers, which stay as learners.
    pub async fn demote(&self, ids: &[ServerId]) -> Result<(), MembershipError> {
        self.must_lead()?;
        let ids: BTreeSet<ServerId> = ids.iter().copied().collect();
        self.must_leave_voters(&ids)?;
        self.change(ChangeMembers::RemoveVoters(ids), Retain::Learners).await
    }

    /// Removes a server, voter or not; it is told. A leader that removes itself leads until another one does.
    pub async fn remove(&self, id: ServerId) -> Result<(), MembershipError> {
        self.must_lead()?;
        let members = self.configuration().members;
        let member = members.iter().find(|member| member.id == id).ok_or(MembershipError::Unknown { id })?;
        if member.voter {
            let ids = BTreeSet::from([id]);
            self.must_leave_voters(&ids)?;
            self.change(ChangeMembers::RemoveVoters(ids), Retain::Nothing).await?;
        } else {
            self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])), Retain::Learners).await?;
        }
        if id != self.id() {
            let text = format!(
                "this server ({}, {id}) was removed from the cluster: clear its raft folder and let it join as a new server, or stop it",
                member.server.name
            );
            self.peer(id, &member.server).tell(Refusal { why: Why::Removed, text }).await;
        }
        self.shared().forget(id);
        Ok(())
    }

    /// A member is elsewhere now. Refused when both addresses answer with its id.
    pub async fn update_address(&self, id: ServerId, server: Server) -> Result<(), MembershipError> {
        self.must_lead()?;
        let members = self.configuration().members;
        let member = members.iter().find(|member| member.id == id).ok_or(MembershipError::Unknown { id })?;
        if member.server == server {
            return Ok(());
        }
        if id != self.id() && member.server.address != server.address {
            let word = || Word::Who { head: self.shared().head(id) };
            let ask =
                async |server: &Server| Peer::fixed(Arc::clone(self.shared()), id, server).say(&word(), WHO).await;
            let (before, now) = tokio::join!(ask(&member.server), ask(&server));
            if let (Ok(before), Ok(now)) = (before, now)
                && (before.id, now.id) == (id, id)
                && before.instance != now.instance
            {
                let (first, second) = (member.server.address.clone(), server.address.clone());
                let error = MembershipError::Cloned { id, first, second };
                let refusal = Refusal { why: Why::Cloned, text: error.to_string() };
                Peer::fixed(Arc::clone(self.shared()), id, &server).tell(refusal).await;
                return Err(error);
            }
        }
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, server)])), Retain::Learners).await
    }

    /// Lets another voter lead: `to`, or the one that is furthest. Returns when it does.
    pub async fn transfer(&self, to: Option<ServerId>) -> Result<(), MembershipError> {
        let core = self.core()?;
        let metrics = core.raft.metrics().borrow_watched().clone();
        if metrics.state != ServerState::Leader {
            return Err(self.not_leading());
        }
        let to = match to {
            Some(to) => to,
            None => successor(&metrics, self.id()).ok_or(MembershipError::NotMoved {
                to: "another server".to_owned(),
                reason: "no other voter was heard lately",
            })?,
        };
        if !metrics.membership_config.voter_ids().any(|id| id == to) {
            return Err(MembershipError::Unknown { id: to });
        }
        if to == self.id() {
            return Ok(());
        }
        core.raft.trigger().transfer_leader(to).await.map_err(|_| self.gone())?;
        let wait = core.raft.wait(Some(MOVE));
        let moved = wait.metrics(
            |metrics| metrics.current_leader == Some(to) && metrics.state != ServerState::Leader,
            "the other server leads",
        );
        moved.await.map(|_| ()).map_err(|_| MembershipError::NotMoved {
            to: self.shared().servers.load().get(&to).map_or_else(|| to.to_string(), |server| server.name.clone()),
            reason: "it did not win the election; is it reachable from the others, and not far behind?",
        })
    }

    /// How the servers fare. Only the leader knows; others answer who they are.
    pub fn health(&self) -> Vec<PeerHealth> {
        let configuration = self.configuration();
        let metrics = self.core().ok().map(|core| core.raft.metrics().borrow_watched().clone());
        let last = metrics.as_ref().and_then(|metrics| metrics.last_log_index).unwrap_or(0);
        let leads = metrics.as_ref().is_some_and(|metrics| metrics.state == ServerState::Leader);
        let me = self.id();
        let health = configuration.members.into_iter().map(|member| {
            let id = member.id;
            let known = metrics.as_ref().filter(|_| leads);
            let contact = known.and_then(|metrics| metrics.heartbeat.as_ref()?.get(&id).copied().flatten());
            let matched = known.and_then(|metrics| metrics.replication.as_ref()?.get(&id).copied().flatten());
            let (last_contact, matched) = if leads && id == me {
                (Some(Duration::ZERO), last)
            } else {
                (contact.map(|at| at.into_inner().elapsed()), matched.map_or(0, |id| id.index))
            };
            PeerHealth {
                id,
                server: member.server,
                voter: member.voter,
                leader: member.leader,
                last_contact,
                matched,
                lag: if leads { last.saturating_sub(matched) } else { 0 },
            }
        });
        health.collect()
    }

    /// Why this server must not take part (its disk was lost, it was copied, it was removed); a sentence for the operator.
    pub fn refused(&self) -> Option<Arc<str>> {
        self.shared().refusal().map(|(_, text)| text)
    }

    fn peer(&self, id: ServerId, server: &Server) -> Peer {
        Peer::fixed(Arc::clone(self.shared()), id, server)
    }

    /// Asks a server who it is, and refuses one that must not take part.
    async fn who(&self, id: ServerId, server: &Server) -> Result<WordAnswer, MembershipError> {
        let word = Word::Who { head: self.shared().head(id) };
        let Server { name, address } = server.clone();
        let answer = self.peer(id, server).say(&word, WHO).await.map_err(|error| MembershipError::Unreachable {
            name: name.clone(),
            address: address.clone(),
            reason: crate::room::chain(&error),
        })?;
        if answer.id != id {
            return Err(MembershipError::Stranger { address, found: answer.id, id });
        }
        match &answer.refused {
            Some(reason) => Err(MembershipError::Refused { name, reason: reason.clone() }),
            None => Ok(answer),
        }
    }

    /// Makes a change, after one that is under way.
    async fn change(&self, changes: ChangeMembers<ServerId, Server>, retain: Retain) -> Result<(), MembershipError> {
        let deadline = tokio::time::Instant::now() + TURN;
        loop {
            let core = self.core()?;
            let changed = core.raft.change_membership(changes.clone(), retain == Retain::Learners).await;
            let error = match changed {
                Ok(_) => return Ok(()),
                Err(RaftError::Fatal(_)) => return Err(self.gone()),
                Err(RaftError::APIError(error)) => error,
            };
            match error {
                ClientWriteError::ForwardToLeader(forward) => {
                    return Err(MembershipError::NotLeader { leader: leader_of(forward) });
                }
                ClientWriteError::ChangeMembershipError(
                    ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
                ) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(missing)) => {
                    return Err(MembershipError::Unknown { id: missing.node_id });
                }
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                    return Err(MembershipError::Busy);
                }
                other => {
                    tracing::warn!(error = %other, "the servers of the cluster were not changed");
                    return Err(MembershipError::Uncertain);
                }
            }
        }
    }

    fn must_lead(&self) -> Result<(), MembershipError> {
        let core = self.core()?;
        if crate::answer::leads(&core) { Ok(()) } else { Err(self.not_leading()) }
    }
    fn not_leading(&self) -> MembershipError {
        let leader = self.leadership().borrow().leader;
        let servers = self.shared().servers.load();
        let leader = leader.filter(|id| *id != self.id());
        let leader =
            leader.map(|id| crate::error::Leader { id, server: servers.get(&id).cloned().unwrap_or_default() });
        MembershipError::NotLeader { leader }
    }
    fn must_leave_voters(&self, ids: &BTreeSet<ServerId>) -> Result<(), MembershipError> {
        let members = self.configuration().members;
        match ids.iter().find(|id| !members.iter().any(|member| member.id == **id)) {
            Some(id) => Err(MembershipError::Unknown { id: *id }),
            None if members.iter().any(|member| member.voter && !ids.contains(&member.id)) => Ok(()),
            None => Err(MembershipError::LastVoter { id: ids.first().copied().unwrap_or_default() }),
        }
    }
    fn gone(&self) -> MembershipError {
        let reason: Arc<str> = "the consensus has ended".into();
        MembershipError::Refuse(self.core().err().unwrap_or(ProposeError::Storage { reason }))
    }
}

/// What becomes of voters that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retain {
    /// They stay as learners.
    Learners,
    /// They go.
    Nothing,
}
