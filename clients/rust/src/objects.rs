//! Calls of one request and one answer: objects, listings and buckets.
//!
//! What may be repeated is decided here for each call, by what the second time would be refused for.

use std::{
    collections::{HashMap, VecDeque},
    iter::Peekable,
    time::SystemTime,
};

use futures_util::stream::{self, BoxStream, StreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_types::Timestamp;

use crate::{
    Client, Result,
    proto::{
        Bucket, Checksums, CopyObjectRequest, CreateBucketRequest, DeleteBucketRequest, DeleteObjectRequest,
        GetObjectResponse, HeadObjectRequest, HeadObjectResponse, ListBucketsRequest, ListObjectsRequest,
        ListObjectsResponse,
    },
};

/// What is known of an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The bucket that it is in.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// How many bytes the object has, of which a range may be a few.
    pub size: u64,
    /// In double quotes, as S3 has it and as conditions take it.
    pub etag: String,
    /// When it was last written; not told by the calls that write it.
    pub last_modified: Option<SystemTime>,
    /// Its media type.
    pub content_type: Option<String>,
    /// The user's metadata: names are in lower case.
    pub metadata: HashMap<String, String>,
    /// Base64, by algorithm; not told of a range.
    pub checksums: Option<Checksums>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
}

impl ObjectInfo {
    /// Whether the checksums are of the object's bytes, and not of its parts' checksums.
    pub(crate) fn has_checksum_of_all(&self) -> bool {
        self.checksum_type.as_deref() == Some("FULL_OBJECT")
    }
}

/// An object in a listing, or a prefix that a delimiter rolled many up to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The object's key, or the prefix.
    pub key: String,
    /// Says that there are objects whose keys begin with `key`, and nothing else of them.
    pub is_prefix: bool,
    /// The object's size in bytes.
    pub size: u64,
    /// The object's `ETag`, in double quotes; empty for a prefix.
    pub etag: String,
    /// When the object was last written.
    pub last_modified: Option<SystemTime>,
}

impl Client {
    /// What is known of an object, without its bytes.
    ///
    /// # Errors
    ///
    /// `NoSuchKey`, `NoSuchBucket`.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo> {
        let request = HeadObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            checksum_mode: Some("ENABLED".to_owned()),
            ..HeadObjectRequest::default()
        };
        let head = |request| async { self.objects().head_object(request).await };
        let answer = self.call(true, request, head).await?;
        Ok(headed(bucket, key, answer))
    }

    /// Removes an object; one that is not there is as good as removed.
    ///
    /// # Errors
    ///
    /// `NoSuchBucket`.
    pub async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let request =
            DeleteObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), ..DeleteObjectRequest::default() };
        let delete = |request| async { self.objects().delete_object(request).await };
        self.call(true, request, delete).await.map(drop)
    }

    /// Makes an object of another one, without its bytes passing through here; answers the `ETag` of the copy.
    ///
    /// The media type, the metadata and the tags go with it.
    ///
    /// # Errors
    ///
    /// `NoSuchKey` and `NoSuchBucket`, of the source or the target.
    pub async fn copy(&self, source_bucket: &str, source_key: &str, bucket: &str, key: &str) -> Result<String> {
        let encoded = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
        let request = CopyObjectRequest {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            copy_source: format!("{}/{}", encoded(source_bucket), encoded(source_key)),
            ..CopyObjectRequest::default()
        };
        let copy = |request| async { self.objects().copy_object(request).await };
        Ok(self.call(true, request, copy).await?.etag.unwrap_or_default())
    }

    /// Walks the objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes.
    ///
    /// It asks for a page when the one before has been walked, and ends after the first error.
    #[must_use]
    pub fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<Entry>> {
        self.list_with(ListObjectsRequest {
            bucket: bucket.to_owned(),
            prefix: Some(prefix.to_owned()),
            ..ListObjectsRequest::default()
        })
    }

    /// Walks what a request asks for: with a delimiter, after a key, so many for a page.
    #[must_use]
    pub fn list_with(&self, request: ListObjectsRequest) -> BoxStream<'static, Result<Entry>> {
        let walk = Walk { client: self.clone(), next: Some(request), entries: VecDeque::new() };
        stream::try_unfold(walk, Walk::step).boxed()
    }

    /// Makes a bucket; one that is the caller's already is as good as made.
    ///
    /// # Errors
    ///
    /// `BucketAlreadyExists`, which is somebody else's; `InvalidBucketName`.
    pub async fn create_bucket(&self, bucket: &str) -> Result<()> {
        let request = CreateBucketRequest { bucket: bucket.to_owned(), ..CreateBucketRequest::default() };
        let create = |request| async { self.buckets().create_bucket(request).await };
        match self.call(true, request, create).await {
            Err(fault) if fault.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            done => done.map(drop),
        }
    }

    /// Removes a bucket that holds nothing.
    ///
    /// # Errors
    ///
    /// `BucketNotEmpty`, `NoSuchBucket`.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<()> {
        let request = DeleteBucketRequest { bucket: bucket.to_owned(), ..DeleteBucketRequest::default() };
        let delete = |request| async { self.buckets().delete_bucket(request).await };
        // The second time it would not be there.
        self.call(false, request, delete).await.map(drop)
    }

    /// The caller's buckets, in the order of their names.
    ///
    /// # Errors
    ///
    /// Credentials that are not known.
    pub async fn list_buckets(&self) -> Result<Vec<Bucket>> {
        let mut buckets = vec![];
        let mut request = ListBucketsRequest::default();
        loop {
            let list = |request| async { self.buckets().list_buckets(request).await };
            let page = self.call(true, request.clone(), list).await?;
            buckets.extend(page.buckets);
            if page.continuation_token.is_none() {
                return Ok(buckets);
            }
            request.continuation_token = page.continuation_token;
        }
    }
}

/// A walk through a bucket: what is left of a page, and how to ask for the next one.
struct Walk {
    client: Client,
    next: Option<ListObjectsRequest>,
    entries: VecDeque<Entry>,
}

impl Walk {
    async fn step(mut self) -> Result<Option<(Entry, Self)>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some((entry, self)));
            }
            let Some(mut request) = self.next.take() else { return Ok(None) };
            let list = |request| async { self.client.objects().list_objects(request).await };
            let page = self.client.call(true, request.clone(), list).await?;
            if page.is_truncated {
                request.continuation_token.clone_from(&page.next_continuation_token);
                self.next = Some(request);
            }
            self.entries = merged(page);
        }
    }
}

/// A page's objects and prefixes in one order, as they were in the walk that the page was cut from.
fn merged(page: ListObjectsResponse) -> VecDeque<Entry> {
    let objects = page.contents.into_iter().map(|object| Entry {
        key: object.key.unwrap_or_default(),
        is_prefix: false,
        size: unsigned(object.size),
        etag: object.etag.unwrap_or_default(),
        last_modified: time(object.last_modified),
    });
    let prefixes = page.common_prefixes.into_iter().map(|prefix| Entry {
        key: prefix.prefix.unwrap_or_default(),
        is_prefix: true,
        size: 0,
        etag: String::new(),
        last_modified: None,
    });
    let (mut objects, mut prefixes) = (objects.peekable(), prefixes.peekable());
    std::iter::from_fn(|| earlier(&mut objects, &mut prefixes)).collect()
}

fn earlier(
    objects: &mut Peekable<impl Iterator<Item = Entry>>,
    prefixes: &mut Peekable<impl Iterator<Item = Entry>>,
) -> Option<Entry> {
    match (objects.peek(), prefixes.peek()) {
        (Some(object), Some(prefix)) if prefix.key < object.key => prefixes.next(),
        (None, _) => prefixes.next(),
        _ => objects.next(),
    }
}

/// Where the bytes of an answer stand in their object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) size: u64,
}

/// Reads a Content-Range, `bytes first-last/size`, which the whole object does not have.
pub(crate) fn place(range: Option<&str>, length: Option<i64>) -> Place {
    let length = unsigned(length);
    let parsed = range.and_then(|range| {
        let (range, size) = range.strip_prefix("bytes ")?.split_once('/')?;
        let first = range.split_once('-')?.0.parse().ok()?;
        Some(Place { first, end: first + length, size: size.parse().ok()? })
    });
    parsed.unwrap_or(Place { first: 0, end: length, size: length })
}

/// What the answer to `HeadObject` tells.
fn headed(bucket: &str, key: &str, answer: HeadObjectResponse) -> ObjectInfo {
    ObjectInfo {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        size: place(answer.content_range.as_deref(), answer.content_length).size,
        etag: answer.etag.unwrap_or_default(),
        last_modified: time(answer.last_modified),
        content_type: answer.content_type,
        metadata: answer.metadata,
        checksums: answer.checksums,
        checksum_type: answer.checksum_type,
    }
}

/// What the first message of an answer to `GetObject` tells.
pub(crate) fn got(bucket: &str, key: &str, answer: GetObjectResponse) -> ObjectInfo {
    let head = HeadObjectResponse {
        content_type: answer.content_type,
        metadata: answer.metadata,
        content_length: answer.content_length,
        content_range: answer.content_range,
        etag: answer.etag,
        last_modified: answer.last_modified,
        checksums: answer.checksums,
        checksum_type: answer.checksum_type,
        ..HeadObjectResponse::default()
    };
    headed(bucket, key, head)
}

fn time(told: Option<Timestamp>) -> Option<SystemTime> {
    told.and_then(|told| told.try_into().ok())
}

/// A size, which the contract has in signed numbers.
fn unsigned(told: Option<i64>) -> u64 {
    told.and_then(|told| told.try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_tells_where_its_bytes_stand() {
        assert_eq!(Place { first: 3, end: 8, size: 20 }, place(Some("bytes 3-7/20"), Some(5)));
    }

    #[test]
    fn an_object_without_a_range_is_whole() {
        assert_eq!(Place { first: 0, end: 20, size: 20 }, place(None, Some(20)));
    }
}
