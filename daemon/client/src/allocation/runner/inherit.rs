//! What an allocation waits for before it begins: that the one it replaces is over, and that its files are here.

use nomadd_model::AllocationId;

use super::{Previous, Runner};
use crate::allocation::launch::chain;
use crate::allocation::machine::AllocationInput;
use crate::allocation::remote::{self, Fetch};
use crate::allocation::shared::{Message, group_of};
use crate::directory::AllocationDirectory;

/// How many messages are put off until the allocation has begun.
const EARLY: usize = 64;
const MIB: u64 = 1 << 20;

impl Runner {
    /// Waits for the previous allocation; the directory whose files are to be taken over.
    pub(super) async fn inherit(&mut self) -> Option<AllocationDirectory> {
        match self.previous.take()? {
            Previous::Here(previous) => {
                previous.runner.closed().await;
                Some(previous.directory.clone())
            }
            Previous::Elsewhere(previous) => self.inherit_from_afar(previous).await,
        }
    }

    async fn inherit_from_afar(&mut self, previous: AllocationId) -> Option<AllocationDirectory> {
        let fetch = {
            let (_, group) = group_of(&self.assigned)?;
            Fetch {
                previous,
                directory: self.shared.directory.clone(),
                tasks: group.tasks.iter().map(|task| task.name.to_string()).collect(),
                most: u64::try_from(group.ephemeral_disk.size_mb).unwrap_or_default().saturating_mul(MIB),
            }
        };
        let context = self.context.clone();
        let fetched = remote::fetch(&context, &fetch);
        tokio::pin!(fetched);
        let fetched = loop {
            tokio::select! {
                fetched = &mut fetched => break Some(fetched),
                message = self.inbox.recv() => {
                    let Some(message) = message else { break None };
                    let ends = ends(&message);
                    self.early.push(message);
                    if ends || self.early.len() >= EARLY {
                        // Nobody wants it any more, or servers have much to say: it goes on without the files.
                        break None;
                    }
                }
            }
        };
        let reason = match fetched {
            Some(Ok(directory)) => return Some(directory),
            Some(Err(error)) => chain(&error),
            None => "there were other orders before they came".to_owned(),
        };
        tracing::warn!(id = %self.shared.id, %previous, reason, "the files of the previous allocation stay behind");
        let text = format!(
            "The files of the previous allocation {previous} stay behind, and the task begins without them: {reason}"
        );
        self.input(AllocationInput::Note(text));
        None
    }
}

/// Whether an allocation that gets this message is no longer wanted.
fn ends(message: &Message) -> bool {
    match message {
        Message::Assigned(assigned, _) => assigned.allocation.desired_status.is_terminal(),
        Message::OutOfContact | Message::End | Message::Remove => true,
        Message::Started(..)
        | Message::Failed(..)
        | Message::Exited(..)
        | Message::Told(..)
        | Message::Restart(..)
        | Message::Signal(..) => false,
    }
}
