//! One simulation: a cluster is made, worked on while things fail, healed, and looked at. Everything is a function of the seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dice::{Dice, Trace};
use super::host::Host;
use super::mutant::Mutant;
use super::nemesis::Nemesis;
use super::net::Net;
use super::node::FakeNode;
use super::watch::Watch;
use super::work::{self, Desk};

/// What came of a simulation.
pub struct Outcome {
    pub hash: u64,
    pub lines: Vec<String>,
    /// What must not be; empty when all is well.
    pub wrong: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
}

/// How long things fail, in virtual time.
const TROUBLE: Duration = Duration::from_secs(10);
/// How long the cluster may take to come right after that.
const HEALING: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(5);

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics of tasks are findings, not output.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| PANICS.with_borrow_mut(|panics| panics.push(info.to_string()))));
}

/// Runs a seed.
pub fn simulate(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.resize(32, 7);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(tokio::runtime::RngSeed::from_bytes(&bytes))
        .build()
        .unwrap();
    PANICS.with_borrow_mut(Vec::clear);
    let mut outcome = runtime.block_on(live(seed, mutant));
    drop(runtime);
    outcome.wrong.extend(PANICS.with_borrow_mut(std::mem::take).into_iter().map(|panic| format!("a panic: {panic}")));
    outcome
}

async fn live(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let trace = Trace::begin();
    let dice = Dice::new(seed, 1);
    let net = Net::new(Dice::new(seed, 2), trace.clone(), mutant);
    let count = [3, 3, 4, 5][dice.below(4) as usize];
    let mut hosts: Vec<Host> =
        (0..count).map(|number| Host::new(number, &net, Dice::new(seed, 10 + number as u64))).collect();
    let mut watch = Watch::default();
    let desk = Arc::new(Desk {
        running: Mutex::default(),
        history: Mutex::default(),
        acknowledged: Mutex::default(),
        marks: Mutex::default(),
        wrong: Mutex::default(),
        stop: false.into(),
        nodes: 4,
        mutant,
        dice: Dice::new(seed, 3),
        trace: trace.clone(),
        counts: Mutex::default(),
    });
    let mut nodes = Vec::new();
    let wrong = async {
        begin(&mut hosts, &trace).await?;
        publish(&hosts, &desk);
        let addresses: Vec<String> = hosts.iter().map(|host| host.address.clone()).collect();
        nodes.extend((0..desk.nodes as u8).map(|number| FakeNode::start(number, &addresses, &net)));
        ready(&hosts).await?;
        net.armed.store(true, Ordering::SeqCst);
        nodes.iter().for_each(|node| node.fail(true));
        for number in 0..3 + dice.below(3) {
            tokio::spawn(work::client(Arc::clone(&desk), number));
        }
        for _ in 0..2 {
            tokio::spawn(work::rival(Arc::clone(&desk)));
        }
        tokio::spawn(work::squatter(Arc::clone(&desk)));
        let mut nemesis = Nemesis::new(dice.clone(), &net, &nodes);
        let end = Instant::now() + TROUBLE;
        while Instant::now() < end {
            nemesis.step(&mut hosts).await?;
            publish(&hosts, &desk);
            look(&mut watch, &hosts, &desk, &net)?;
            sleep(STEP).await;
        }
        trace.say("everything is healed".to_owned());
        desk.stop.store(true, Ordering::SeqCst);
        nodes.iter().for_each(|node| node.fail(false));
        nemesis.heal(&mut hosts).await?;
        publish(&hosts, &desk);
        if !work::evict(&desk).await {
            return Err(vec!["nobody stops a job after healing".to_owned()]);
        }
        publish(&hosts, &desk);
        settle(&mut watch, &hosts, &nodes, &desk, &net).await?;
        for host in &hosts {
            let Some(running) = &host.running else { continue };
            for job in work::JOBS {
                if desk.read("the end", host.number, running, job).await.is_none() {
                    return Err(vec![format!("s{} answers no reads after healing", host.number)]);
                }
            }
        }
        look(&mut watch, &hosts, &desk, &net)?;
        let wrong = desk.history.lock().unwrap().wrong();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    };
    let wrong = wrong.await.err().unwrap_or_default();
    for line in &wrong {
        trace.say(format!("WRONG: {line}"));
    }
    let mut counts = desk.counts.lock().unwrap().clone();
    counts.insert("states compared", watch.compared);
    counts.insert(
        "entries",
        hosts.iter().filter_map(|host| Some(host.running.as_ref()?.raft.applied_index())).max().unwrap_or(0),
    );
    counts.insert("lives", hosts.iter().map(|host| host.lives).sum());
    counts.insert("virtual ms", trace.begun().elapsed().as_millis() as u64);
    Outcome { hash: trace.hash(), lines: trace.lines(), wrong, counts }
}

/// The servers that clients find.
fn publish(hosts: &[Host], desk: &Desk) {
    let mut running = desk.running.lock().unwrap();
    running.clear();
    running.extend(hosts.iter().filter_map(|host| Some((host.number, host.running.clone()?))));
}

fn look(watch: &mut Watch, hosts: &[Host], desk: &Desk, net: &Net) -> Result<(), Vec<String>> {
    watch.look(hosts);
    let mut wrong = std::mem::take(&mut watch.wrong);
    wrong.append(&mut desk.wrong.lock().unwrap());
    wrong.append(&mut net.wrong.lock().unwrap());
    PANICS.with_borrow_mut(|panics| wrong.extend(panics.drain(..).map(|panic| format!("a panic: {panic}"))));
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

async fn begin(hosts: &mut [Host], trace: &Trace) -> Result<(), Vec<String>> {
    for host in hosts.iter_mut() {
        host.start().await.map_err(|error| vec![error])?;
    }
    let list = hosts.iter().filter_map(Host::listed).collect();
    let Some(first) = &hosts[0].running else { return Err(vec!["the first server is not there".to_owned()]) };
    first.raft.bootstrap(list).await.map_err(|error| vec![error.to_string()])?;
    trace.say(format!("{} servers are a cluster", hosts.len()));
    Ok(())
}

async fn ready(hosts: &[Host]) -> Result<(), Vec<String>> {
    for _ in 0..4000 {
        sleep(STEP).await;
        let states: Vec<_> = hosts.iter().filter_map(|host| Some(host.running.as_ref()?.raft.state())).collect();
        if states.iter().all(|state| state.nodes().count() == 4) {
            return Ok(());
        }
    }
    Err(vec!["the nodes do not register".to_owned()])
}

/// Waits until all is as it should be.
async fn settle(
    watch: &mut Watch,
    hosts: &[Host],
    nodes: &[FakeNode],
    desk: &Desk,
    net: &Net,
) -> Result<(), Vec<String>> {
    let end = Instant::now() + HEALING;
    let mut calm = 0;
    loop {
        look(watch, hosts, desk, net)?;
        let missing = watch.missing(hosts, nodes, desk);
        calm = if missing.is_empty() { calm + 1 } else { 0 };
        if calm == 10 {
            return Ok(());
        }
        if Instant::now() > end {
            let mut missing = missing;
            missing.insert(0, format!("not as it should be {} s after healing:", HEALING.as_secs()));
            for host in hosts {
                let Some(running) = &host.running else { continue };
                if let Err(error) = running.raft.read_barrier().await {
                    missing.push(format!("s{} says: {error}", host.number));
                }
            }
            return Err(missing);
        }
        sleep(STEP * 10).await;
    }
}
