//! Images: what they are called, the store that keeps their layers once each, and the roots of containers made of them.
//!
//! Talks to no registry and opens no archive itself: a short-lived helper, `nomadd-image` (`daemon/oci/helper`), pulls and
//! unpacks, so that nothing from outside is parsed in the daemon. Knows no jobs; `driver` calls it. Blocking but for
//! `puller`: its callers use threads that may block.

pub mod digest;
pub mod image;
pub mod locate;
pub mod puller;
pub mod reference;
pub mod root;
pub mod store;
pub mod wire;

pub use digest::Digest;
pub use image::{Image, ImageConfig};
pub use puller::{PullError, Puller};
pub use reference::{Reference, ReferenceError};
pub use root::{Root, RootError};
pub use store::{Store, StoreError};
pub use wire::{Credentials, Limits, Platform, Progress, Secret};
