//! A connection to a gateway, and what is the same for all calls on it.

use std::{future::Future, sync::Arc, time::Duration};

use tonic::{
    Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    Credentials, Result,
    proto::{
        bucket_service_client::BucketServiceClient, multipart_service_client::MultipartServiceClient,
        object_service_client::ObjectServiceClient,
    },
    retries::Retries,
};

/// S3 takes parts from 5 MiB on; a few of 8 MiB keep a connection busy.
const PART_BYTES: u64 = 8 << 20;
const MIN_PART_BYTES: u64 = 5 << 20;
const PARALLEL: usize = 4;

/// The largest `RS3GW_GRPC_CHUNK_SIZE` that a gateway may be told to send, and then some for the rest.
const MAX_MESSAGE_BYTES: usize = 65 << 20;

/// The calls of a service go over this: a channel that shows credentials.
pub type Calls = InterceptedService<Channel, Credentials>;

/// A connection to a gateway.  Clones share it, and many tasks may use it at once.
#[derive(Clone, Debug)]
pub struct Client {
    calls: Calls,
    pub(crate) retries: Retries,
    pub(crate) part_bytes: u64,
    pub(crate) parallel: usize,
}

impl Client {
    /// Connects to a gateway: `http://host:port`, or `https://host:port` with the feature `tls`, which trusts the
    /// authorities of the system.
    ///
    /// A connection that breaks later is made again by the next call.
    ///
    /// # Errors
    ///
    /// An address that is none, or nobody there.
    pub async fn connect(address: &str, credentials: Credentials) -> Result<Self> {
        let channel = endpoint(address)?.connect().await.map_err(unconnected)?;
        Ok(Self::new(channel, credentials))
    }

    /// A client on a channel of any kind: of an [`endpoint`] with certificates of its own, say.
    #[must_use]
    pub fn new(channel: Channel, credentials: Credentials) -> Self {
        Self {
            calls: InterceptedService::new(channel, credentials),
            retries: Retries { attempts: 6, base: Duration::from_millis(100), most: Duration::from_secs(5) },
            part_bytes: PART_BYTES,
            parallel: PARALLEL,
        }
    }

    /// Makes at most so many attempts of a call, the first one counted (6 unless said).
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.retries.attempts = attempts.max(1);
        self
    }

    /// Moves files in parts of so many bytes (8 MiB unless said, 5 MiB at least), so many at once (4 unless said).
    #[must_use]
    pub fn with_parts(mut self, bytes: u64, parallel: usize) -> Self {
        self.part_bytes = bytes.max(MIN_PART_BYTES);
        self.parallel = parallel.max(1);
        self
    }

    /// The calls of `s3.BucketService` as they are on the wire, made once each.
    #[must_use]
    pub fn buckets(&self) -> BucketServiceClient<Calls> {
        BucketServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The calls of `s3.ObjectService` as they are on the wire, made once each.
    #[must_use]
    pub fn objects(&self) -> ObjectServiceClient<Calls> {
        ObjectServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The calls of `s3.MultipartService` as they are on the wire, made once each.
    #[must_use]
    pub fn uploads(&self) -> MultipartServiceClient<Calls> {
        MultipartServiceClient::new(self.calls.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Makes a call of one request and one answer, again where it may be.
    pub(crate) async fn call<Q, A, F>(
        &self,
        is_repeatable: bool,
        request: Q,
        send: impl Fn(Q) -> F + Send + Sync,
    ) -> Result<A>
    where
        Q: Clone + Send + Sync,
        F: Future<Output = std::result::Result<Response<A>, Status>> + Send,
    {
        let once = || {
            let answer = send(request.clone());
            async { Ok(answer.await?.into_inner()) }
        };
        self.retries.run(is_repeatable, once).await
    }
}

/// Where a gateway is, with what suits it: dead connections are noticed, also those that nobody closed.
///
/// For what [`Client::connect`] does not do: an authority of one's own, a client's certificate, a channel that waits
/// with connecting.
///
/// # Errors
///
/// An address that is none, or one of `https` without the feature `tls`.
pub fn endpoint(address: &str) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|fault| Status::invalid_argument(format!("{address}: {fault}")))?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint),
        #[cfg(feature = "tls")]
        Some("https") => {
            let trusted = tonic::transport::ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(trusted).map_err(unconnected)
        }
        #[cfg(not(feature = "tls"))]
        Some("https") => Err(Status::invalid_argument("rs3gw-client was built without its feature tls").into()),
        _ => Err(Status::invalid_argument(format!("{address}: an address begins with http:// or https://")).into()),
    }
}

fn unconnected(fault: tonic::transport::Error) -> crate::Error {
    let mut status = Status::unavailable("no connection");
    status.set_source(Arc::new(fault));
    status.into()
}
