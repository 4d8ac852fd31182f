//! Job versions as they are sent to nodes, encoded once for all of them. Bounded; what is not here is encoded again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use nomadd_model::{Bytes, Job};
use nomadd_rpc::{CodecError, encode};

/// So many jobs are kept.
const MOST: usize = 256;
/// Jobs with more bytes than this are not kept.
const LARGE: usize = 64 << 10;

/// Encoded jobs, by where they are in memory; each is held so that no other can be there.
#[derive(Debug, Default)]
pub(crate) struct EncodedJobs(Mutex<BTreeMap<usize, (Arc<Job>, Bytes)>>);

impl EncodedJobs {
    /// The job, encoded.
    pub(crate) fn encoded(&self, job: &Arc<Job>) -> Result<Bytes, CodecError> {
        let place = Arc::as_ptr(job) as usize;
        if let Some((_, encoded)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(encoded.clone());
        }
        let encoded = Bytes(encode(&**job)?);
        if encoded.0.len() <= LARGE {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MOST {
                kept.clear();
            }
            kept.insert(place, (Arc::clone(job), encoded.clone()));
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_encoded_once_and_no_more_than_some_are_kept() {
        let jobs = EncodedJobs::default();
        let job = Arc::new(Job { id: "a".into(), ..Job::default() });
        let first = jobs.encoded(&job).unwrap();
        assert_eq!(nomadd_rpc::decode::<Job>(&first.0).unwrap(), *job);
        assert_eq!(jobs.encoded(&job).unwrap(), first);
        assert_eq!(jobs.0.lock().unwrap().len(), 1);
        let others: Vec<_> = (0..MOST).map(|n| Arc::new(Job { version: n as u64 + 1, ..Job::default() })).collect();
        for other in &others {
            assert_eq!(nomadd_rpc::decode::<Job>(&jobs.encoded(other).unwrap().0).unwrap().version, other.version);
        }
        assert!(jobs.0.lock().unwrap().len() <= MOST);
    }
}
