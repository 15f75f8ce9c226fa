//! A client of rs3gw, the S3-compatible object gateway, over gRPC.
//!
//! What it adds to the generated calls is what every program would write again: credentials with each call, refusals
//! by S3's codes, repetition of what may be repeated and of nothing else, reads that go on at the byte where their
//! connection broke, and files in parts, many at once.  What it does not wrap is called as it is on the wire:
//! [`Client::buckets`], [`Client::objects`] and [`Client::uploads`], with the messages of [`proto`].
//!
//! ```no_run
//! use rs3gw_client::{Client, Credentials, TryStreamExt};
//!
//! # async fn example() -> Result<(), rs3gw_client::Error> {
//! let client = Client::connect("http://localhost:50051", Credentials::bearer("access key", "secret key")).await?;
//! client.create_bucket("photos").await?;
//! client.put("photos", "2026/cat.jpg", "meow").await?;
//! let cat = client.get("photos", "2026/cat.jpg").await?.bytes().await?;
//! let mut listing = client.list("photos", "2026/");
//! while let Some(entry) = listing.try_next().await? {
//!     println!("{} {}", entry.key, entry.size);
//! }
//! # Ok(()) }
//! ```

mod checksum;
mod client;
mod credentials;
mod error;
mod get;
mod objects;
mod put;
mod retries;
mod transfer;

/// The messages and the calls of the contract, as generated from it.
#[allow(missing_docs, clippy::pedantic)]
#[rustfmt::skip]
#[path = "proto/s3.rs"]
pub mod proto;

pub use bytes::Bytes;
pub use client::{Calls, Client, endpoint};
pub use credentials::Credentials;
pub use error::{Error, Refusal, Result};
pub use futures_util::{Stream, StreamExt, TryStreamExt};
pub use get::Object;
pub use objects::{Entry, ObjectInfo};
pub use put::Body;
pub use tonic;
