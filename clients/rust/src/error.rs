//! How a call fails: refused by the gateway, lost on the way to it, or for what happened on this side.
//!
//! Only the gateway's own word is a refusal.  A status that gRPC made up because a connection broke is kept apart from
//! it, because then nobody knows what became of the call.

use std::{collections::HashMap, error, fmt, io, iter};

use prost::Message;
use tonic::{Code, Status};

/// What calls of this crate answer.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The gateway refused, and said why.
    Refused(Box<Refusal>),
    /// There was no connection, it broke, or what answered was no gateway.
    Grpc(Box<Status>),
    /// The bytes of a transfer are not those that the checksum was made of.
    Checksum,
    /// A file or a reader on this side.
    Io(io::Error),
}

/// What the gateway said when it refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// S3's code: `NoSuchKey`.
    pub code: String,
    /// The sentence that goes with it.
    pub message: String,
    /// What the sentence is about, by S3's names: Key, `BucketName`, …
    pub fields: HashMap<String, String>,
    /// What the gateway's log has the request under.
    pub request_id: Option<String>,
    /// The status code of gRPC, for those who sort by it.
    pub grpc: Code,
}

impl Error {
    /// S3's code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.code.as_str())
    }

    /// What the gateway said, if it was the gateway.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// What the gateway's log has the request under, if it was heard.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.refusal().and_then(|refusal| refusal.request_id.as_deref())
    }

    /// Whether what was asked for (object, bucket, upload, …) is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.grpc == Code::NotFound)
    }

    /// Whether a condition (`if_match`, `if_none_match`) did not hold.
    #[must_use]
    pub fn is_precondition_failed(&self) -> bool {
        self.code() == Some("PreconditionFailed")
    }

    /// Whether the gateway itself said that it did nothing, and to come again.
    pub(crate) fn is_refused_for_now(&self) -> bool {
        matches!(self.code(), Some("SlowDown" | "ServiceUnavailable"))
    }

    /// Whether nobody knows what became of the call: there was no connection, or it broke.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            // tonic names a broken connection by what HTTP/2 made of it, often UNKNOWN; a status that came from the
            // other side has no source.
            Self::Grpc(status) => status.code() == Code::Unavailable || error::Error::source(status).is_some(),
            _ => false,
        }
    }

    /// The same, with the request id that an answer had told before it failed.
    pub(crate) fn with_request_id(mut self, told: Option<&str>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.request_id = refusal.request_id.take().or_else(|| told.map(str::to_owned));
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => {
                write!(formatter, "{}: {}", refusal.code, refusal.message)?;
                match &refusal.request_id {
                    Some(id) => write!(formatter, " (request {id})"),
                    None => Ok(()),
                }
            }
            Self::Grpc(status) => write!(formatter, "{:?}: {}", status.code(), sentence(status)),
            Self::Checksum => formatter.write_str("the bytes are not those that the checksum was made of"),
            Self::Io(fault) => fault.fmt(formatter),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(fault) => error::Error::source(fault),
            // What led to a status is in its sentence.
            Self::Refused(_) | Self::Grpc(_) | Self::Checksum => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let Some(said) = ErrorInfo::of(&status) else {
            return Self::Grpc(Box::new(status));
        };
        Self::Refused(Box::new(Refusal {
            code: said.reason,
            message: status.message().to_owned(),
            fields: said.metadata,
            request_id: status.metadata().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned),
            grpc: status.code(),
        }))
    }
}

impl From<io::Error> for Error {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

/// For readers, whose errors are these.
impl From<Error> for io::Error {
    fn from(fault: Error) -> Self {
        match fault {
            Error::Io(fault) => fault,
            fault if fault.is_not_found() => Self::new(io::ErrorKind::NotFound, fault),
            fault if fault.is_lost() => Self::new(io::ErrorKind::ConnectionReset, fault),
            fault => Self::other(fault),
        }
    }
}

/// What a status says with what led to it, which is where tonic has what is worth knowing.
fn sentence(status: &Status) -> String {
    let causes = iter::successors(error::Error::source(status), |cause| cause.source());
    let mut pieces = vec![status.message().to_owned()];
    pieces.extend(causes.map(ToString::to_string));
    pieces.dedup();
    pieces.join(": ")
}

/// Where the gateway tells the id of a request.
pub(crate) const REQUEST_ID: &str = "x-amz-request-id";

/// `google.rpc.Status`, of which the details are what tells.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

impl ErrorInfo {
    /// The gateway's own, if there is one.
    fn of(status: &Status) -> Option<Self> {
        let details = Details::decode(status.details()).ok()?.details;
        let informed = details.iter().filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"));
        informed.filter_map(|detail| Self::decode(detail.value.as_slice()).ok()).find(|info| info.domain == "rs3gw")
    }
}
