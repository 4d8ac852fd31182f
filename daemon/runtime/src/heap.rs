//! Gives memory back to the system that the allocator keeps after a burst.
//!
//! glibc returns only what lies at the end of an arena; after ten thousand jobs came and went most free memory lies elsewhere.
//! The agent's wiring starts `keep_small` once per process.

use std::time::Duration;

use crate::{Runtime, TaskKind};

/// How often the process looks at itself.
const PAUSE: Duration = Duration::from_secs(5);
/// How much may be kept beyond what is in use, in bytes: a quarter of it, and this.
const SLACK: usize = 10 << 20;
/// After a trim nothing is done until memory has grown by this, in bytes: what remained is held by what lives between.
const GROWTH: usize = 4 << 20;

/// A process that holds more than this keeps it: to look how much of it is free walks all that is free, with everybody who
/// allocates waiting for it. That is a second with a million allocations, and they will be there again.
const LARGE: usize = 256 << 20;

/// Starts the task that trims the heap whenever far more is kept than used.
pub fn keep_small(runtime: &Runtime) {
    let pool = runtime.pool.clone();
    runtime.tasks.spawn(TaskKind::Background, async move {
        let mut left = 0;
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(held) = anonymous() else { return };
            left = left.min(held);
            if held > LARGE || held <= left + GROWTH {
                continue;
            }
            // Walks every arena: not on the reactor.
            let looked = pool.run(move || {
                let wasted = wasteful(held, in_use(), left);
                if wasted {
                    trim();
                }
                wasted
            });
            match looked.await {
                Ok(true) => left = anonymous().unwrap_or(held),
                Ok(false) => {}
                Err(_) => return,
            }
        }
    });
}

/// Whether a trim is worth it: `held` bytes resident, `used` of them by somebody, `left` by the last trim.
fn wasteful(held: usize, used: usize, left: usize) -> bool {
    held > used + used / 4 + SLACK && held > left + GROWTH
}

/// Resident bytes that are no file's.
fn anonymous() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: usize =
        text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok())?;
    Some(kilobytes << 10)
}

#[cfg(target_env = "gnu")]
fn in_use() -> usize {
    // SAFETY: no arguments, returns a plain struct; the allocator takes its own locks.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: only gives back pages that hold nothing; the allocator takes its own locks.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give memory back by themselves.
#[cfg(not(target_env = "gnu"))]
fn in_use() -> usize {
    usize::MAX / 4
}
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_is_trimmed_when_much_is_kept_and_not_again_until_it_grew() {
        let mb = |count: usize| count << 20;
        assert!(wasteful(mb(80), mb(5), 0));
        assert!(!wasteful(mb(80), mb(75), 0), "most of it is used");
        assert!(!wasteful(mb(80), mb(5), mb(78)), "the last trim left that much");
        assert!(!wasteful(mb(12), mb(4), 0));
        assert!(anonymous().is_some_and(|bytes| bytes > 0) && in_use() > 0);
    }
}
