//! How calls look on HTTP/2: paths, the metadata with method, region and format, the codec of plain bytes, and errors as statuses.

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::error::RpcError;

pub(crate) const CALL: &str = "/nomadd.Rpc/Call";
pub(crate) const SUBSCRIBE: &str = "/nomadd.Rpc/Subscribe";
pub(crate) const TUNNEL: &str = "/nomadd.Rpc/Tunnel";

pub(crate) const METHOD: &str = "nomadd-method";
/// The region that the caller means.
pub(crate) const REGION: &str = "nomadd-region";
pub(crate) const FORMAT: &str = "nomadd-format";
/// The format of metadata and frames; what is in the frames has its own format byte.
pub(crate) const FORMAT_VERSION: &str = "1";
const ERROR: &str = "nomadd-error";
/// A sentence longer than that would not fit into headers.
const MOST_TEXT: usize = 2048;

/// Frames are bytes; what they mean is the business of `codec`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}
impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.reserve(item.len());
        dst.put(item);
        Ok(())
    }
}
impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// An error as it travels.
pub(crate) fn to_status(error: &RpcError) -> Status {
    let (code, word) = match error {
        RpcError::NoLeader => (Code::Unavailable, "no-leader"),
        RpcError::Busy => (Code::ResourceExhausted, "busy"),
        RpcError::Refused(_) => (Code::FailedPrecondition, "refused"),
        RpcError::Security { .. } => (Code::PermissionDenied, "security"),
        RpcError::Codec(_) => (Code::InvalidArgument, "codec"),
        RpcError::Unreachable
        | RpcError::ConnectionRefused { .. }
        | RpcError::Silent { .. }
        | RpcError::Lost { .. }
        | RpcError::Deadline { .. }
        | RpcError::Address { .. } => (Code::Unavailable, "unreachable"),
    };
    let mut text = match error {
        RpcError::Refused(text) | RpcError::Security { reason: text, .. } => text.clone(),
        RpcError::Codec(error) => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
        other => other.to_string(),
    };
    if text.len() > MOST_TEXT {
        let cut = (0..=MOST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(cut);
    }
    let mut status = Status::new(code, text);
    status.metadata_mut().insert(ERROR, MetadataValue::from_static(word));
    status
}

/// The error that another agent sent; `None` when the status was made on the way.
pub(crate) fn from_status(status: &Status, address: &str) -> Option<RpcError> {
    let text = || status.message().to_owned();
    let word = status.metadata().get(ERROR)?;
    Some(match word.to_str().unwrap_or_default() {
        "no-leader" => RpcError::NoLeader,
        "busy" => RpcError::Busy,
        "unreachable" => RpcError::Unreachable,
        "security" => RpcError::Security { address: address.to_owned(), reason: text() },
        _ => RpcError::Refused(text()),
    })
}
