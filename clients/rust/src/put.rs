//! Sending content: an object or a part of one, whole or not at all.
//!
//! A stream that is closed is whole to the gateway.  So one that is given up, because the reader failed or because
//! nobody waits for it any more, is reset and never closed: half an object must not become one.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::BoxFuture, stream::Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};
use tonic::{CancellationHandle, Request, Response, Status};

use crate::{
    Client, Error, ObjectInfo, Result,
    checksum::{Content, Running},
    proto::PutObjectRequest,
};

/// How much content goes in one message of an upload: enough that the framing costs nothing, little enough that a
/// gateway holds little of it.
const MESSAGE_BYTES: usize = 256 << 10;

/// What an object is made of.
pub enum Body {
    /// Bytes that are at hand, and are sent again where an upload is tried again.
    Bytes(Bytes),
    /// What a reader gives until it ends; an upload from it is tried once.
    Reader(Box<dyn AsyncRead + Send + Sync + Unpin>),
}

impl Body {
    /// What a reader gives until it ends.
    pub fn reader(reader: impl AsyncRead + Send + Sync + Unpin + 'static) -> Self {
        Self::Reader(Box::new(reader))
    }

    /// The next piece, which is empty at the end.
    async fn next(&mut self) -> std::io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.split_to(bytes.len().min(MESSAGE_BYTES))),
            Self::Reader(reader) => {
                let mut data = BytesMut::with_capacity(MESSAGE_BYTES);
                let mut reader = reader.take(MESSAGE_BYTES as u64);
                while reader.read_buf(&mut data).await? > 0 && data.len() < MESSAGE_BYTES {}
                Ok(data.freeze())
            }
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "Body({} bytes)", bytes.len()),
            Self::Reader(_) => formatter.write_str("Body(reader)"),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Client {
    /// Stores bytes, or what a reader gives ([`Body::reader`]), as an object, whole or not at all, in one stream.
    ///
    /// Dropped before it is done, it leaves nothing.  What the gateway stored is compared with what was sent:
    /// [`Error::Checksum`] where they differ.  Use [`Client::upload_file`] for large files.
    ///
    /// # Errors
    ///
    /// `NoSuchBucket`, `EntityTooLarge` and whatever the reader failed with.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Body>) -> Result<ObjectInfo> {
        let request =
            PutObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), ..PutObjectRequest::default() };
        self.put_with(request, body).await
    }

    /// Stores an object as a request says: with a media type, metadata, under a condition.
    ///
    /// # Errors
    ///
    /// Those of [`Client::put`]; `PreconditionFailed`, `BadDigest`, `MetadataTooLarge`, `InvalidTag`.
    pub async fn put_with(&self, request: PutObjectRequest, body: impl Into<Body>) -> Result<ObjectInfo> {
        let is_repeatable = request.if_match.is_none() && request.if_none_match.is_none();
        let (answer, sent) = match body.into() {
            Body::Bytes(bytes) => {
                let once = || self.put_once(request.clone(), Body::Bytes(bytes.clone()));
                self.retries.run(is_repeatable, once).await?
            }
            body @ Body::Reader(_) => self.put_once(request.clone(), body).await?,
        };
        if !sent.agrees_with(answer.checksums.as_ref()) {
            return Err(Error::Checksum);
        }
        Ok(ObjectInfo {
            bucket: request.bucket,
            key: request.key,
            size: sent.bytes,
            etag: answer.etag.unwrap_or_default(),
            last_modified: None,
            content_type: request.content_type,
            metadata: request.metadata,
            checksums: answer.checksums,
            checksum_type: answer.checksum_type,
        })
    }

    async fn put_once(
        &self,
        request: PutObjectRequest,
        body: Body,
    ) -> Result<(crate::proto::PutObjectResponse, Content)> {
        let later = PutObjectRequest {
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            ..PutObjectRequest::default()
        };
        let mut objects = self.objects();
        let message =
            move |data, is_first| PutObjectRequest { data, ..if is_first { request.clone() } else { later.clone() } };
        send(body, message, |request| async move { objects.put_object(request).await }.boxed()).await
    }
}

/// The answer of such a call.
pub(crate) type Answering<A> = BoxFuture<'static, std::result::Result<Response<A>, Status>>;

/// The request of a call whose content is a stream of messages.
pub(crate) type Sending<M> = Request<Messages<M>>;

/// The messages that are still to be sent.
pub(crate) struct Messages<M>(mpsc::Receiver<M>);

impl<M> Stream for Messages<M> {
    type Item = M;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<M>> {
        self.0.poll_recv(context)
    }
}

/// Sends a body in the messages that are made of its pieces, and waits for the answer; an empty body is one message.
///
/// A stream that the gateway ended early is no error here: the answer tells why.
pub(crate) async fn send<M, A>(
    mut body: Body,
    message: impl Fn(Bytes, bool) -> M,
    call: impl FnOnce(Sending<M>) -> Answering<A>,
) -> Result<(A, Content)>
where
    M: Send + 'static,
{
    // Locals are dropped from the last to the first: the stream is reset before its sender could close it.
    let (sender, receiver) = mpsc::channel(1);
    let mut request = Request::new(Messages(receiver));
    let _reset = Reset(Some(request.cancellation_handle()));
    let mut answer = call(request);

    let feed = async {
        let mut running = Running::new();
        loop {
            let data = body.next().await?;
            if data.is_empty() && running.bytes > 0 {
                break;
            }
            let is_last = data.is_empty();
            let is_first = running.bytes == 0;
            running.update(&data);
            // Nobody listens to what a gateway has refused already.
            if sender.send(message(data, is_first)).await.is_err() || is_last {
                break;
            }
        }
        Ok::<_, Error>(running.finish())
    };
    let sent = tokio::select! {
        early = &mut answer => {
            early?;
            return Err(Status::internal("an answer before the end of what it answers").into());
        }
        sent = feed => sent?,
    };
    drop(sender);
    Ok((answer.await?.into_inner(), sent))
}

/// Resets a stream when it is dropped; one that is at its end already stays as it is.
struct Reset(Option<CancellationHandle>);

impl Drop for Reset {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            stream.cancel();
        }
    }
}
