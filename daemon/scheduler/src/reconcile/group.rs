//! One group: from its allocations to what has to happen (facts 3.1).
//!
//! The order of steps is Nomad's, because the counts that `job plan` prints depend on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use nomadd_model::{Allocation, ClientStatus, DesiredStatus, Duration, EvaluationId, TaskGroup, Time};

use crate::reconcile::classify::{Classes, Disconnect, is_terminal, lost_since};
use crate::reconcile::deployment::{self, strategy};
use crate::reconcile::names::{Names, index_of};
use crate::reconcile::reschedule;
use crate::reconcile::{Change, GroupResult, Later, LaterKind, Place, Set, Situation, Update, reason, reconnect};

/// Reconciles the allocations of one group. `group` is `None` when the job no longer has it (or is to stop).
/// `decide` says what the new version means for an allocation; `new_id` makes ids of evaluations.
pub fn reconcile(
    situation: &Situation<'_>,
    group: Option<&TaskGroup>,
    allocations: Vec<Arc<Allocation>>,
    decide: &mut dyn FnMut(&Allocation) -> Update,
    new_id: &mut dyn FnMut() -> EvaluationId,
) -> GroupResult {
    let mut result = GroupResult::default();
    let Some(group) = group.filter(|_| !situation.is_stopped()) else {
        stop_all(situation, allocations, &mut result);
        return result;
    };
    Reconciler { situation, group, result: &mut result, decide, new_id }.run(allocations);
    result
}

fn stop_all(situation: &Situation<'_>, allocations: Vec<Arc<Allocation>>, result: &mut GroupResult) {
    let classes = Classes::new(situation, allocations.into_iter());
    let Classes { untainted, migrate, lost, disconnecting, reconnecting, ignore } = classes;
    for allocation in lost.values() {
        result.stop(allocation, reason::LOST, Some(ClientStatus::Lost));
    }
    for set in [&untainted, &migrate, &disconnecting, &reconnecting, &ignore] {
        for allocation in set.values().filter(|allocation| !is_terminal(allocation)) {
            result.stop(allocation, reason::NOT_NEEDED, None);
        }
    }
    result.desired.stop = result.changes.len() as u64;
    result.complete = true;
}

struct Reconciler<'a, 'b> {
    situation: &'b Situation<'a>,
    group: &'b TaskGroup,
    result: &'b mut GroupResult,
    decide: &'b mut dyn FnMut(&Allocation) -> Update,
    new_id: &'b mut dyn FnMut() -> EvaluationId,
}

/// What has to be placed again, now or later.
#[derive(Default)]
struct Rescheduled {
    now: Set,
    later: Vec<(Time, Arc<Allocation>)>,
}

impl Reconciler<'_, '_> {
    fn count(&self) -> usize {
        usize::try_from(self.group.count).unwrap_or(0)
    }

    fn run(&mut self, allocations: Vec<Arc<Allocation>>) {
        let had_version = allocations.iter().any(|allocation| self.situation.is_current(allocation));
        let (old, allocations): (Vec<_>, Vec<_>) = allocations.into_iter().partition(|allocation| {
            // A batch that ended under an older version says nothing about this one.
            self.situation.batch && !self.situation.is_current(allocation) && is_terminal(allocation)
        });
        self.result.desired.ignore += old.len() as u64;
        let waits = self.waits_for_clients(&allocations);

        let mut classes = Classes::new(self.situation, allocations.into_iter());
        self.result.desired.ignore += classes.ignore.len() as u64;
        let mut rescheduled = Rescheduled::default();
        let untainted = std::mem::take(&mut classes.untainted);
        let mut untainted = self.sort_failed(untainted, false, &mut rescheduled);
        reconnect::reconcile(self.situation, std::mem::take(&mut classes.reconnecting), &mut untainted, self.result);
        // A replacement that lost against its original may have been about to be placed again itself.
        let disconnecting = std::mem::take(&mut classes.disconnecting);
        self.disconnect(disconnecting, &mut untainted, &mut rescheduled);
        self.plan_later(&rescheduled.later);
        let mut migrate = std::mem::take(&mut classes.migrate);
        let lost = std::mem::take(&mut classes.lost);
        let delayed = self.lose(&lost);

        let mut names = Names::new([&untainted, &migrate, &rescheduled.now, &lost]);
        self.stop_surplus(&mut untainted, &mut migrate, &mut rescheduled.now, &mut names);
        let destructive = self.update(&untainted);

        let canarying = deployment::is_canarying(self.situation, &self.group.name);
        let ready = !deployment::holds_back(self.situation) && !canarying;
        let mut room = self.room_for_updates(&untainted, &destructive, &migrate, canarying);
        let place = if waits || delayed {
            Vec::new()
        } else {
            self.placements(&untainted, &migrate, &rescheduled.now, &lost, &mut names)
        };
        let (place_count, update_count) = (place.len(), destructive.len() + self.result.in_place.len());
        let left = place_count + update_count + migrate.len() + rescheduled.now.len() + rescheduled.later.len();
        self.result.desired.reschedule_now = rescheduled.now.len() as u64;
        self.result.desired.reschedule_later = rescheduled.later.len() as u64;
        room = self.take_placements(place, &rescheduled.now, &lost, ready, room);
        let mut by_name: Vec<_> = destructive.into_values().collect();
        by_name.sort_by_key(|allocation| index_of(allocation));
        let now = if ready { room.min(by_name.len()) } else { 0 };
        self.result.desired.ignore += (by_name.len() - now) as u64;
        self.result.desired.destructive_update += now as u64;
        for allocation in by_name.into_iter().take(now) {
            self.result.destructive.push(Place {
                index: index_of(&allocation),
                previous: Some(allocation),
                reschedule: false,
                stops_previous: Some(reason::UPDATING),
                canary: false,
            });
        }
        self.migrate(migrate);
        self.deploy(had_version, place_count + update_count, update_count > 0);
        let healthy = self.situation.deployment.is_none_or(|found| deployment::is_healthy(found, &self.group.name));
        self.result.complete = left == 0 && healthy;
    }

    /// Whether a client may still be stopping a lost allocation of this group; until then nothing is placed.
    fn waits_for_clients(&self, allocations: &[Arc<Allocation>]) -> bool {
        let Some(stop_after) = Disconnect::of(Some(self.group)).stop_after else { return false };
        allocations.iter().any(|allocation| {
            allocation.client_status == ClientStatus::Lost
                && allocation.next_allocation.is_none()
                && !allocation.followup_eval_id.is_none()
                && self.stopped_at(stop_after, lost_since(allocation).unwrap_or(Time(allocation.modify_time)))
                    > self.situation.now
        })
    }

    fn stopped_at(&self, stop_after: Duration, lost: Time) -> Time {
        let kill = self.group.tasks.iter().map(|task| task.kill_timeout).max().unwrap_or_default();
        lost.plus(stop_after).plus(kill)
    }

    /// Sorts out what failed: what is due now, what later; the rest stays.
    fn sort_failed(&self, set: Set, disconnecting: bool, rescheduled: &mut Rescheduled) -> Set {
        let mut stay = Set::new();
        for (id, allocation) in set {
            // What has a successor is done with.
            if !allocation.next_allocation.is_none() && is_terminal(&allocation) {
                continue;
            }
            if !disconnecting {
                match self.standing(&allocation) {
                    Standing::Stays => {
                        stay.insert(id, allocation);
                        continue;
                    }
                    Standing::Gone => continue,
                    Standing::Failed => {}
                }
            }
            match self.due(&allocation, disconnecting) {
                Some((true, _)) => {
                    rescheduled.now.insert(id, allocation);
                }
                Some((false, at)) => {
                    if allocation.followup_eval_id.is_none() || disconnecting {
                        rescheduled.later.push((at, allocation.clone()));
                    }
                    stay.insert(id, allocation);
                }
                None => {
                    stay.insert(id, allocation);
                }
            }
        }
        stay
    }

    fn standing(&self, allocation: &Allocation) -> Standing {
        let failed_before =
            allocation.reschedule_tracker.as_ref().is_some_and(|tracker| tracker.last_reschedule == "no placement");
        if self.situation.batch {
            let succeeded = allocation.client_status == ClientStatus::Complete;
            // It was made to go and nothing took its place yet: its work is not done, though its tasks ended in peace.
            let transition = &allocation.desired_transition;
            let moves = transition.migrate == Some(true) && transition.migrate_disable_placement != Some(true);
            return match (allocation.desired_status, allocation.client_status) {
                (DesiredStatus::Stop, _) if moves => Standing::Gone,
                (DesiredStatus::Stop | DesiredStatus::Evict, _) if succeeded => Standing::Stays,
                (DesiredStatus::Stop, _) if failed_before => Standing::Failed,
                (DesiredStatus::Stop | DesiredStatus::Evict, _) => Standing::Gone,
                (DesiredStatus::Run, ClientStatus::Failed) => Standing::Failed,
                (DesiredStatus::Run, ClientStatus::Lost) => Standing::Gone,
                (DesiredStatus::Run, _) => Standing::Stays,
            };
        }
        match (allocation.desired_status, allocation.client_status) {
            (DesiredStatus::Stop, _) if failed_before => Standing::Failed,
            (DesiredStatus::Stop | DesiredStatus::Evict, _) => Standing::Gone,
            (DesiredStatus::Run, ClientStatus::Complete | ClientStatus::Lost) => Standing::Gone,
            (DesiredStatus::Run, _) => Standing::Failed,
        }
    }

    /// Whether a failed (or disconnecting) allocation is due, and when; `None` when it is left alone.
    fn due(&self, allocation: &Allocation, disconnecting: bool) -> Option<(bool, Time)> {
        let transition = &allocation.desired_transition;
        let marked = [transition.reschedule, transition.force_reschedule].contains(&Some(true));
        // A deployment judges its own allocations until they are healthy; it marks those that may be placed again.
        let was_healthy = allocation.deployment_status.as_ref().is_some_and(|status| status.healthy == Some(true));
        let judged = self.situation.deployment.is_some_and(|deployment| {
            allocation.deployment_id == deployment.id && deployment.status.is_active() && !was_healthy
        });
        if judged && !marked && !disconnecting {
            return None;
        }
        let now = self.situation.now;
        if transition.force_reschedule == Some(true) {
            return Some((true, now));
        }
        let made_from = (self.situation.job_of)(allocation);
        if disconnecting {
            let group = made_from.as_deref().and_then(|job| job.group(&allocation.task_group));
            return Disconnect::of(group).replace.then_some((true, now));
        }
        if !reschedule::is_candidate(allocation) {
            return None;
        }
        let policy = reschedule::policy(made_from.as_deref(), allocation);
        let at = reschedule::due(policy, allocation, reschedule::failed_at(allocation))?;
        let follows_up =
            allocation.followup_eval_id == self.situation.evaluation && !allocation.followup_eval_id.is_none();
        Some((follows_up || at <= now.plus(reschedule::WINDOW), at))
    }

    /// Marks allocations as unknown and asks to look again when they expire.
    fn disconnect(&mut self, disconnecting: Set, untainted: &mut Set, rescheduled: &mut Rescheduled) {
        self.result.desired.disconnect += disconnecting.len() as u64;
        for allocation in disconnecting.values() {
            let made_from = (self.situation.job_of)(allocation);
            let group = made_from.as_deref().and_then(|job| job.group(&allocation.task_group));
            let followup = match Disconnect::of(group).lost_after {
                Some(span) => self.later(self.situation.now.plus(span), LaterKind::Disconnect),
                None => EvaluationId::NONE,
            };
            self.result.changes.push(Change {
                allocation: allocation.clone(),
                stop: false,
                description: reason::UNKNOWN,
                client_status: Some(ClientStatus::Unknown),
                followup,
            });
        }
        let stay = self.sort_failed(disconnecting, true, rescheduled);
        untainted.extend(stay);
    }

    /// An evaluation for later; what is due at about the same time shares one.
    fn later(&mut self, at: Time, kind: LaterKind) -> EvaluationId {
        let known = self
            .result
            .later
            .iter()
            .find(|later| later.kind == kind && at >= later.at && at.since(later.at) < reschedule::BATCH);
        if let Some(later) = known {
            return later.id;
        }
        let id = (self.new_id)();
        self.result.later.push(Later { id, at, kind });
        id
    }

    fn plan_later(&mut self, later: &[(Time, Arc<Allocation>)]) {
        let mut later = later.to_vec();
        later.sort_by_key(|(at, allocation)| (*at, allocation.id));
        for (at, allocation) in later {
            let followup = self.later(at, LaterKind::Reschedule);
            self.result.changes.push(Change {
                allocation,
                stop: false,
                description: "",
                client_status: None,
                followup,
            });
        }
    }

    /// Stops what is lost; answers whether the replacement has to wait for the client to have stopped it.
    fn lose(&mut self, lost: &Set) -> bool {
        let stop_after = Disconnect::of(Some(self.group)).stop_after;
        let mut delayed = false;
        for allocation in lost.values() {
            let since = lost_since(allocation).unwrap_or(self.situation.now);
            let wait = stop_after.map(|span| self.stopped_at(span, since)).filter(|at| *at > self.situation.now);
            let followup = match wait {
                Some(at) => {
                    delayed = true;
                    self.later(at, LaterKind::ClientStop)
                }
                None => EvaluationId::NONE,
            };
            self.result.changes.push(Change {
                allocation: allocation.clone(),
                stop: true,
                description: reason::LOST,
                client_status: Some(ClientStatus::Lost),
                followup,
            });
        }
        self.result.desired.stop += lost.len() as u64;
        delayed
    }

    /// Stops what is more than the count: what failed first, then migrating ones, then the highest names.
    fn stop_surplus(&mut self, untainted: &mut Set, migrate: &mut Set, due: &mut Set, names: &mut Names) {
        let counted =
            untainted.values().filter(|allocation| !is_replaced(allocation)).count() + migrate.len() + due.len();
        let mut surplus = counted.saturating_sub(self.count());
        if self.count() == 0 {
            surplus = untainted.len() + migrate.len() + due.len();
        }
        if surplus == 0 {
            return;
        }
        surplus -= self.stop_by(due, names, surplus, |_| true);
        let highest = Names::new([&*migrate]).take_highest(surplus);
        surplus -= self.stop_by(migrate, names, surplus, |allocation| highest.contains(&index_of(allocation)));
        // What failed and waits to be placed again counts too, and is given up before anything that runs.
        let failed =
            |found: &Allocation| found.client_status == ClientStatus::Failed && !found.desired_status.is_terminal();
        let mut stoppable: Set = untainted
            .iter()
            .filter(|(_, found)| !is_terminal(found) || failed(found))
            .map(|(id, found)| (*id, found.clone()))
            .collect();
        let before: BTreeSet<_> = stoppable.keys().copied().collect();
        surplus -= self.stop_by(&mut stoppable, names, surplus, failed);
        let highest = Names::new([&*untainted]).take_highest(surplus);
        surplus -= self.stop_by(&mut stoppable, names, surplus, |allocation| highest.contains(&index_of(allocation)));
        // Names can be there twice; then any goes.
        self.stop_by(&mut stoppable, names, surplus, |_| true);
        for id in before.iter().filter(|id| !stoppable.contains_key(id)) {
            untainted.remove(id);
        }
    }

    fn stop_by(&mut self, set: &mut Set, names: &mut Names, most: usize, which: impl Fn(&Allocation) -> bool) -> usize {
        let mut chosen: Vec<_> = set.values().filter(|allocation| which(allocation)).cloned().collect();
        chosen.sort_by_key(|allocation| std::cmp::Reverse(index_of(allocation)));
        chosen.truncate(most);
        for allocation in &chosen {
            set.remove(&allocation.id);
            names.free(index_of(allocation));
            self.result.stop(allocation, reason::NOT_NEEDED, None);
        }
        self.result.desired.stop += chosen.len() as u64;
        chosen.len()
    }

    /// Sorts out what the new version means; answers what has to be replaced.
    fn update(&mut self, untainted: &Set) -> Set {
        let mut destructive = Set::new();
        for (id, allocation) in untainted {
            match (self.decide)(allocation) {
                Update::Ignore => self.result.desired.ignore += 1,
                Update::InPlace => {
                    self.result.desired.in_place_update += 1;
                    self.result.in_place.push(allocation.clone());
                }
                Update::Destructive => {
                    destructive.insert(*id, allocation.clone());
                }
            }
        }
        destructive
    }

    /// How many allocations may be replaced now.
    fn room_for_updates(&self, untainted: &Set, destructive: &Set, migrate: &Set, canarying: bool) -> usize {
        let Some(update) = strategy(self.group) else { return self.count() };
        if destructive.is_empty() && migrate.is_empty() {
            return self.count();
        }
        let parallel = usize::try_from(update.max_parallel).unwrap_or(0);
        let Some(deployment) = self.situation.deployment else { return parallel };
        if deployment::holds_back(self.situation) || canarying {
            return 0;
        }
        let mut room = parallel;
        for allocation in untainted.values().filter(|allocation| allocation.deployment_id == deployment.id) {
            match allocation.deployment_status.as_ref().and_then(|status| status.healthy) {
                Some(false) => return 0,
                Some(true) => {}
                None => room = room.saturating_sub(1),
            }
        }
        room
    }

    /// What is missing, in the order in which it is placed.
    fn placements(&self, untainted: &Set, migrate: &Set, due: &Set, lost: &Set, names: &mut Names) -> Vec<Place> {
        let mut place: Vec<Place> = by_index(due)
            .into_iter()
            .map(|allocation| Place {
                index: index_of(&allocation),
                reschedule: true,
                stops_previous: (!needs_no_stop(&allocation)).then_some(reason::RESCHEDULED),
                canary: allocation.deployment_status.as_ref().is_some_and(|status| status.canary),
                previous: Some(allocation),
            })
            .collect();
        let mut existing =
            untainted.values().filter(|allocation| !is_replaced(allocation)).count() + migrate.len() + due.len();
        for allocation in by_index(lost) {
            if existing >= self.count() {
                break;
            }
            existing += 1;
            place.push(Place {
                index: index_of(&allocation),
                reschedule: false,
                stops_previous: None,
                canary: allocation.deployment_status.as_ref().is_some_and(|status| status.canary),
                previous: Some(allocation),
            });
        }
        let missing = self.count().saturating_sub(existing);
        for index in names.next(missing, self.count() as u64) {
            place.push(Place { index, previous: None, reschedule: false, stops_previous: None, canary: false });
        }
        place
    }

    /// Takes the placements that the deployment allows; answers the room that is left for updates.
    fn take_placements(&mut self, place: Vec<Place>, due: &Set, lost: &Set, ready: bool, room: usize) -> usize {
        let desired = &mut self.result.desired;
        if ready {
            desired.place += place.len() as u64;
            let failed = due.values().filter(|allocation| allocation.client_status == ClientStatus::Failed).count();
            desired.stop += failed as u64;
            let left = room.saturating_sub(place.len());
            self.result.place.extend(place);
            return left;
        }
        // What was running and is lost or failed is replaced even so, unless it belongs to what failed.
        let failed_deployment = self
            .situation
            .deployment
            .filter(|deployment| deployment.status == nomadd_model::DeploymentStatus::Failed)
            .map(|deployment| deployment.id);
        for one in place {
            let Some(previous) = &one.previous else { continue };
            let allowed = lost.contains_key(&previous.id)
                || one.reschedule && failed_deployment.is_none_or(|id| previous.deployment_id != id);
            if allowed {
                desired.place += 1;
                desired.stop += u64::from(one.stops_previous.is_some());
                self.result.place.push(one);
            }
        }
        room
    }

    fn migrate(&mut self, migrate: Set) {
        self.result.desired.migrate += migrate.len() as u64;
        for allocation in by_index(&migrate) {
            self.result.stop(&allocation, reason::MIGRATING, None);
            if allocation.desired_transition.migrate_disable_placement == Some(true) {
                continue;
            }
            self.result.place.push(Place {
                index: index_of(&allocation),
                reschedule: false,
                stops_previous: None,
                canary: allocation.deployment_status.as_ref().is_some_and(|status| status.canary),
                previous: Some(allocation),
            });
        }
    }

    /// The group's part of a new deployment, when this version needs one.
    fn deploy(&mut self, had_version: bool, total: usize, updates: bool) {
        if self.situation.batch || had_version && !updates || total == 0 {
            return;
        }
        let Some(update) = strategy(self.group) else { return };
        if !self.situation.was_deployed(&self.group.name) {
            self.result.deployment = Some(deployment::state_for(update, total as i64));
        }
    }
}

/// How an allocation whose node is fine stands.
enum Standing {
    /// It counts.
    Stays,
    /// It does not.
    Gone,
    /// It may be due to be placed again.
    Failed,
}

/// An unknown allocation whose replacement runs does not count twice.
fn is_replaced(allocation: &Allocation) -> bool {
    allocation.client_status == ClientStatus::Unknown && !allocation.next_allocation.is_none()
}

/// A disconnecting allocation goes on as unknown; only a failed one is stopped with its replacement.
fn needs_no_stop(allocation: &Allocation) -> bool {
    allocation.client_status != ClientStatus::Failed && allocation.desired_transition.force_reschedule != Some(true)
}

fn by_index(set: &Set) -> Vec<Arc<Allocation>> {
    let mut all: Vec<_> = set.values().cloned().collect();
    all.sort_by_key(|allocation| (index_of(allocation), allocation.id));
    all
}
