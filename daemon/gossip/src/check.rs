//! A member that is fed bytes as if they had come from outside, without sockets or time: for fuzz targets and tools.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nomadd_model::Time;

use crate::config::Pace;
use crate::core::{Action, Core, Now, Why};
use crate::identity::Identity;
use crate::seal::{self, DATAGRAM};
use crate::wire::{Request, Response, decode, encode};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Now {
    Now { at: SECOND * seconds, wall: Time(1_700_000_000_000_000_000 + i64::from(seconds) * 1_000_000_000) }
}

fn member(number: u8) -> Core {
    let address = SocketAddr::from(([10, 0, 0, number], 4648));
    let identity = Identity { name: format!("s{number}.global").into(), address, generation: 7 };
    let tags = BTreeMap::from([("role".into(), "nomad".into())]);
    Core::new(identity, tags, Pace { members: 100, ..Pace::default() }, number.into(), at(0))
}

/// Two members that know each other.
fn pool() -> (Core, Core) {
    let (mut first, mut second) = (member(1), member(2));
    let answer = first.asked(at(0), second.join());
    second.answered(at(0), Why::Join, answer);
    (first, second)
}

/// Feeds a datagram to a member without a keyring; whether it was understood. Whatever comes, the member goes on within its bounds.
pub fn check_packet(datagram: &[u8]) -> bool {
    let Ok(packet) = seal::open(None, DATAGRAM, datagram) else { return false };
    let (mut member, _) = pool();
    let before = member.dropped();
    member.packet(at(1), &packet);
    let after = member.dropped();
    for seconds in 2..6 {
        member.tick(at(seconds));
        drop(member.actions());
    }
    assert!(member.table().len() <= 100, "a packet makes no more members than there may be");
    before == after
}

/// Feeds a message of a TCP connection to a member, as a question and as an answer; whether it was either.
pub fn check_message(message: &[u8]) -> bool {
    let (mut member, _) = pool();
    let question = decode::<Request>(message);
    let answer = decode::<Response>(message);
    let understood = question.is_some() || answer.is_some();
    if let Some(request) = question {
        drop(member.asked(at(1), request));
    }
    if let Some(response) = answer {
        drop(member.answered(at(1), Why::Sync, response));
    }
    member.tick(at(2));
    assert!(member.table().len() <= 100, "a list makes no more members than there may be");
    understood
}

/// What members really say: datagrams and messages to begin with.
pub fn spoken() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut first, mut second) = pool();
    let mut messages = vec![encode(&second.join()), encode(&first.asked(at(0), second.join()))];
    let mut packets = Vec::new();
    for seconds in 1..20 {
        second.tick(at(seconds));
        for action in second.actions() {
            match action {
                Action::Send { packet, .. } => packets.extend(seal::seal(None, DATAGRAM, &packet)),
                Action::Exchange { request, .. } => messages.push(encode(&request)),
                Action::Keep { .. } | Action::Warn(_) => {}
            }
        }
    }
    (packets, messages.into_iter().flatten().collect())
}
