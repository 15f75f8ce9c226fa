//! Reading an object, as one stream of bytes over as many connections as it takes.
//!
//! A reader knows the byte that comes next and the `ETag` of what it reads.  Where a connection breaks it asks for the
//! rest from there on if the object is still the same one, so that bytes are neither lost nor repeated nor mixed.

use std::{
    fmt,
    ops::RangeBounds,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    TryStreamExt,
    stream::{self, BoxStream, Stream, StreamExt},
};
use tokio::io::AsyncBufRead;
use tokio_util::io::StreamReader;
use tonic::{Status, Streaming};

use crate::{
    Client, Error, Result,
    checksum::Running,
    error::REQUEST_ID,
    objects::{ObjectInfo, Place, got, place},
    proto::{Checksums, GetObjectRequest, GetObjectResponse},
};

/// An object that is being read: what is known of it, and a [`Stream`] of its bytes.
///
/// Where the connection breaks, it goes on at the byte where it broke, of the same object: one that was replaced
/// meanwhile ends the reading with `PreconditionFailed`.  A whole object is compared with its checksum at its end,
/// which is [`Error::Checksum`] where they differ.
pub struct Object {
    info: ObjectInfo,
    bytes: BoxStream<'static, Result<Bytes>>,
}

impl Object {
    /// What is known of the object.
    #[must_use]
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The next bytes; None at the end.
    ///
    /// # Errors
    ///
    /// As of the stream.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.bytes.try_next().await
    }

    /// All bytes at once.
    ///
    /// # Errors
    ///
    /// As of the stream; then there are none.
    pub async fn bytes(self) -> Result<Bytes> {
        let gather = |mut gathered: BytesMut, data: Bytes| async move {
            gathered.extend_from_slice(&data);
            Ok(gathered)
        };
        Ok(self.bytes.try_fold(BytesMut::new(), gather).await?.freeze())
    }

    /// The bytes for those that read: an error of the stream is an [`std::io::Error`] with it inside.
    #[must_use]
    pub fn into_reader(self) -> impl AsyncBufRead + Send + Unpin + use<> {
        StreamReader::new(self.bytes.map_err(std::io::Error::from))
    }
}

impl Stream for Object {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(context)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Object").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens an object to be read.
    ///
    /// # Errors
    ///
    /// `NoSuchKey`, `NoSuchBucket`.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Object> {
        self.get_with(request(bucket, key)).await
    }

    /// Opens some bytes of an object, counted from 0: `client.get_range("b", "k", 1000..)`.
    ///
    /// # Errors
    ///
    /// `NoSuchKey`, `NoSuchBucket`; `InvalidRange` for one that is empty or begins beyond the end.
    pub async fn get_range(&self, bucket: &str, key: &str, range: impl RangeBounds<u64>) -> Result<Object> {
        self.get_with(GetObjectRequest { range: Some(asked(&range)), ..request(bucket, key) }).await
    }

    /// Opens what a request asks for: under a condition, with another media type, a part.
    ///
    /// # Errors
    ///
    /// Those of the rpc.
    pub async fn get_with(&self, request: GetObjectRequest) -> Result<Object> {
        let request = GetObjectRequest { checksum_mode: Some("ENABLED".to_owned()), ..request };
        let open = || open(self, request.clone());
        let (first, answer) = self.retries.run(true, open).await?;
        let at = place(first.content_range.as_deref(), first.content_length);
        let data = first.data.clone();
        let info = got(&request.bucket, &request.key, first);
        let rest = Rest {
            client: self.clone(),
            request: GetObjectRequest { if_match: Some(info.etag.clone()), ..request },
            answer: Some(answer),
            first: Some(data),
            next: at.first,
            end: at.end,
            running: Running::new(),
            checksums: if is_whole(at) && info.has_checksum_of_all() { info.checksums.clone() } else { None },
        };
        Ok(Object { info, bytes: stream::try_unfold(rest, Rest::step).boxed() })
    }
}

fn request(bucket: &str, key: &str) -> GetObjectRequest {
    GetObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), ..GetObjectRequest::default() }
}

fn is_whole(at: Place) -> bool {
    at.first == 0 && at.end == at.size
}

/// A range as HTTP writes it.
fn asked(range: &impl RangeBounds<u64>) -> String {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    let first = match range.start_bound() {
        Included(first) => *first,
        Excluded(before) => before + 1,
        Unbounded => 0,
    };
    match range.end_bound() {
        Included(last) => format!("bytes={first}-{last}"),
        // There is no way to ask for nothing: what ends before it begins asks beyond any object's end.
        Excluded(end) if *end <= first => format!("bytes={}-", u64::from(u32::MAX) << 24),
        Excluded(end) => format!("bytes={first}-{}", end - 1),
        Unbounded => format!("bytes={first}-"),
    }
}

/// The rest of an object: the bytes from next to end.
struct Rest {
    client: Client,
    request: GetObjectRequest,
    answer: Option<Answer>,
    /// What the first message had.
    first: Option<Bytes>,
    next: u64,
    end: u64,
    running: Running,
    checksums: Option<Checksums>,
}

impl Rest {
    async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.first.is_none() && self.next == self.end {
                self.finish().await?;
                return Ok(None);
            }
            let data = match self.first.take() {
                Some(data) => data,
                None => self.receive().await?,
            };
            if data.len() as u64 > self.end - self.next {
                return Err(Status::data_loss(format!("more than the {} bytes that were announced", self.end)).into());
            }
            self.next += data.len() as u64;
            if self.checksums.is_some() {
                self.running.update(&data);
            }
            if !data.is_empty() {
                return Ok(Some((data, self)));
            }
        }
    }

    /// Waits for the next message, on another stream where this one breaks.
    async fn receive(&mut self) -> Result<Bytes> {
        if let Some(answer) = &mut self.answer {
            match answer.message().await {
                Ok(Some(message)) => return Ok(message.data),
                Ok(None) => {
                    let short = format!("the stream ended at byte {} of {}", self.next, self.end);
                    return Err(Status::data_loss(short).into());
                }
                Err(fault) if fault.is_lost() || fault.is_refused_for_now() => self.answer = None,
                Err(fault) => return Err(fault),
            }
        }
        let request = GetObjectRequest {
            bucket: self.request.bucket.clone(),
            key: self.request.key.clone(),
            version_id: self.request.version_id.clone(),
            if_match: self.request.if_match.clone(),
            range: Some(asked(&(self.next..self.end))),
            expected_bucket_owner: self.request.expected_bucket_owner.clone(),
            ..GetObjectRequest::default()
        };
        let open = || open(&self.client, request.clone());
        let (first, answer) = self.client.retries.run(true, open).await?;
        self.answer = Some(answer);
        Ok(first.data)
    }

    /// What a gateway finds wrong with the last bytes it says after them.
    async fn finish(&mut self) -> Result<()> {
        if let Some(answer) = &mut self.answer {
            match answer.message().await {
                Err(fault) if !fault.is_lost() => return Err(fault),
                _ => {}
            }
        }
        let running = std::mem::replace(&mut self.running, Running::new());
        if running.finish().agrees_with(self.checksums.as_ref()) { Ok(()) } else { Err(Error::Checksum) }
    }
}

/// The messages of an answer, and the id of the request that they answer.
struct Answer {
    messages: Streaming<GetObjectResponse>,
    request_id: Option<String>,
}

impl Answer {
    async fn message(&mut self) -> Result<Option<GetObjectResponse>> {
        let received = self.messages.message().await;
        received.map_err(|status| Error::from(status).with_request_id(self.request_id.as_deref()))
    }
}

/// Asks, and waits for the first message, which says all that is known of the object.
async fn open(client: &Client, request: GetObjectRequest) -> Result<(GetObjectResponse, Answer)> {
    let answered = client.objects().get_object(request).await?;
    let request_id = answered.metadata().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut answer = Answer { messages: answered.into_inner(), request_id };
    let first = answer.message().await?;
    Ok((first.ok_or_else(|| Status::data_loss("an answer without a message"))?, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_with_both_ends_included() {
        assert_eq!("bytes=3-6", asked(&(3..7)));
        assert_eq!("bytes=3-7", asked(&(3..=7)));
        assert_eq!("bytes=3-", asked(&(3..)));
        assert_eq!("bytes=0-6", asked(&(..7)));
    }
}
