//! Who calls an endpoint. Every call names its caller; the server resolves it, whoever forwarded the call.

use crate::error::Answer;

/// The caller of an endpoint, as the request's header says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Caller {
    token: Option<Box<str>>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    Management,
}

impl Caller {
    /// Somebody without a token.
    pub fn anonymous() -> Self {
        Self::default()
    }
    /// Somebody with a token.
    pub fn with_token(token: &str) -> Self {
        Self { token: (!token.is_empty()).then(|| token.into()) }
    }
    /// What the caller may do. ACLs are off in this build, so everyone is management, as in Nomad without ACLs.
    pub fn resolve(&self) -> Answer<Rights> {
        Ok(Rights::Management)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.token.is_some() { "Caller(token)" } else { "Caller(anonymous)" })
    }
}
