//! Which packets were seen before: one window per address, bounded.
//!
//! A packet carries its sender's life and a count. Packets for an earlier life of this agent are dropped before they come
//! here, so that what was recorded before a restart is no good after it.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::identity::Identity;

/// How far a packet may be overtaken.
const WIDTH: u64 = 128;

#[derive(Debug)]
struct Window {
    generation: u64,
    highest: u64,
    seen: u128,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// It was seen, or is too far behind to know.
    Replayed,
    /// Its sender has begun another life since.
    Stale,
}

/// Windows of all senders.
#[derive(Debug)]
pub struct Replay {
    windows: HashMap<SocketAddr, Window>,
    most: usize,
}

impl Replay {
    /// For at most `most` senders.
    pub fn new(most: usize) -> Self {
        Self { windows: HashMap::new(), most }
    }

    /// Notes a packet.
    pub fn check(&mut self, sender: &Identity, count: u64) -> Result<(), Old> {
        if self.windows.len() >= self.most && !self.windows.contains_key(&sender.address) {
            // Only a flood of made-up senders gets here, which only the clear mode lets in.
            self.windows.clear();
        }
        let fresh = Window { generation: sender.generation, highest: count, seen: 1 };
        let Some(window) = self.windows.get_mut(&sender.address) else {
            self.windows.insert(sender.address, fresh);
            return Ok(());
        };
        if sender.generation > window.generation {
            *window = fresh;
            return Ok(());
        }
        if sender.generation < window.generation {
            return Err(Old::Stale);
        }
        if count > window.highest {
            let by = count - window.highest;
            window.seen = if by >= WIDTH { 1 } else { (window.seen << by) | 1 };
            window.highest = count;
            return Ok(());
        }
        let behind = window.highest - count;
        if behind >= WIDTH || window.seen & (1 << behind) != 0 {
            return Err(Old::Replayed);
        }
        window.seen |= 1 << behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(generation: u64) -> Identity {
        Identity { name: "a".into(), address: "127.0.0.1:1".parse().unwrap(), generation }
    }

    #[test]
    fn a_packet_passes_once_even_when_overtaken() {
        let mut replay = Replay::new(10);
        for count in [5, 6, 9, 7, 8, 200, 73] {
            assert_eq!(replay.check(&sender(1), count), Ok(()), "{count}");
            assert_eq!(replay.check(&sender(1), count), Err(Old::Replayed), "{count}");
        }
        assert_eq!(replay.check(&sender(1), 72), Err(Old::Replayed), "too far behind to know");
        assert_eq!(replay.check(&sender(2), 1), Ok(()), "a new life counts anew");
        assert_eq!(replay.check(&sender(1), 300), Err(Old::Stale));
    }

    #[test]
    fn made_up_senders_do_not_fill_the_memory() {
        let mut replay = Replay::new(10);
        for port in 1..1000 {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let _ = replay.check(&Identity { address, ..sender(1) }, 1);
        }
        assert!(replay.windows.len() <= 10);
    }
}
