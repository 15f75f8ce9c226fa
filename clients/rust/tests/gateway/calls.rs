//! What calls do where nothing is wrong with the network, and how they are refused.

use std::{
    collections::HashMap,
    io,
    ops::Bound::{self, Excluded, Included, Unbounded},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rs3gw_client::{
    Body, Client, Credentials, Error, StreamExt, TryStreamExt, endpoint,
    proto::{GetObjectRequest, ListObjectsRequest, PutObjectRequest},
    tonic::Code,
};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::server::{Gateway, client_and_bucket, noise, unique};

fn put(bucket: &str, key: &str) -> PutObjectRequest {
    PutObjectRequest { bucket: bucket.to_owned(), key: key.to_owned(), ..PutObjectRequest::default() }
}

async fn read(client: &Client, bucket: &str, key: &str) -> Vec<u8> {
    client.get(bucket, key).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn what_is_put_is_what_is_read() {
    let (client, bucket) = client_and_bucket().await;
    for (number, size) in [0, 1, 65_536, 1_000_003].into_iter().enumerate() {
        let data = noise(size, number as u64);
        let stored = client.put(&bucket, "a folder/grün & größer+1", data.clone()).await.unwrap();
        let object = client.get(&bucket, "a folder/grün & größer+1").await.unwrap();
        let info = object.info().clone();

        assert_eq!(data, object.bytes().await.unwrap());
        assert_eq!((size as u64, &stored.etag), (info.size, &info.etag));
        assert_eq!(stored.size, info.size);
    }
}

#[tokio::test]
async fn a_reader_is_stored_to_its_end() {
    let (client, bucket) = client_and_bucket().await;
    let data = noise(700_001, 1);
    client.put(&bucket, "k", Body::reader(io::Cursor::new(data.clone()))).await.unwrap();

    assert_eq!(data, read(&client, &bucket, "k").await);
}

#[tokio::test]
async fn an_object_is_read_as_a_reader_too() {
    let (client, bucket) = client_and_bucket().await;
    let data = noise(300_000, 1);
    client.put(&bucket, "k", data.clone()).await.unwrap();
    let mut gathered = vec![];
    client.get(&bucket, "k").await.unwrap().into_reader().read_to_end(&mut gathered).await.unwrap();

    assert_eq!(data, gathered);
}

#[tokio::test]
async fn what_is_said_of_an_object_is_kept_with_it() {
    let (client, bucket) = client_and_bucket().await;
    let said = PutObjectRequest {
        content_type: Some("text/plain".to_owned()),
        metadata: HashMap::from([("colour".to_owned(), "green".to_owned())]),
        ..put(&bucket, "k")
    };
    client.put_with(said.clone(), "hello").await.unwrap();
    let info = client.head(&bucket, "k").await.unwrap();

    assert_eq!((said.content_type, said.metadata), (info.content_type, info.metadata));
    assert_eq!("\"5d41402abc4b2a76b9719d911017c592\"", info.etag);
    assert!(info.last_modified.unwrap().elapsed().unwrap() < Duration::from_secs(3_600));
}

#[tokio::test]
async fn a_range_is_what_slices_have() {
    let (client, bucket) = client_and_bucket().await;
    let data = noise(300_000, 2);
    client.put(&bucket, "k", data.clone()).await.unwrap();
    let ranged = async |range: (Bound<u64>, Bound<u64>)| client.get_range(&bucket, "k", range).await?.bytes().await;
    assert_eq!(data[10..200_000], ranged((Included(10), Excluded(200_000))).await.unwrap());
    assert_eq!(data[10..=11], ranged((Included(10), Included(11))).await.unwrap());
    assert_eq!(data[299_999..], ranged((Included(299_999), Unbounded)).await.unwrap());
    assert_eq!(data[..5], ranged((Unbounded, Excluded(5))).await.unwrap());
    assert_eq!(Some("InvalidRange"), ranged((Included(10), Excluded(10))).await.unwrap_err().code());
    assert_eq!(Some("InvalidRange"), ranged((Included(300_000), Unbounded)).await.unwrap_err().code());
}

#[tokio::test]
async fn a_reading_under_a_condition_is_refused_where_it_does_not_hold() {
    let (client, bucket) = client_and_bucket().await;
    let etag = client.put(&bucket, "k", "one").await.unwrap().etag;
    let asked = GetObjectRequest {
        bucket: bucket.clone(),
        key: "k".to_owned(),
        if_none_match: Some(etag),
        ..GetObjectRequest::default()
    };

    assert_eq!(Some("NotModified"), client.get_with(asked).await.unwrap_err().code());
}

#[tokio::test]
async fn a_listing_goes_through_all_pages_in_the_order_of_keys() {
    let (client, bucket) = client_and_bucket().await;
    for key in ["b", "a/2", "a/1", "ä", "c/x", "a!"] {
        client.put(&bucket, key, key).await.unwrap();
    }
    let listed = async |request: ListObjectsRequest| -> Vec<(String, bool)> {
        let entries = client.list_with(ListObjectsRequest { bucket: bucket.clone(), max_keys: Some(2), ..request });
        entries.map_ok(|entry| (entry.key, entry.is_prefix)).try_collect().await.unwrap()
    };
    let all = listed(ListObjectsRequest::default()).await;
    let rolled = listed(ListObjectsRequest { delimiter: Some("/".to_owned()), ..Default::default() }).await;

    let owned = |keys: &[(&str, bool)]| keys.iter().map(|(key, is)| ((*key).to_owned(), *is)).collect::<Vec<_>>();
    let every = ["a!", "a/1", "a/2", "b", "c/x", "ä"].map(|key| (key, false));
    assert_eq!(owned(&every), all);
    assert_eq!(owned(&[("a!", false), ("a/", true), ("b", false), ("c/", true), ("ä", false)]), rolled);
    let prefixed: Vec<_> = client.list(&bucket, "a/").try_collect().await.unwrap();
    assert_eq!(["a/1", "a/2"], [prefixed[0].key.as_str(), prefixed[1].key.as_str()]);
    assert_eq!((3, 2), (prefixed[0].size, prefixed.len()));
}

#[tokio::test]
async fn a_listing_ends_after_its_error() {
    let client = Gateway::shared().client().await;
    let entries: Vec<_> = client.list("rust-no-such-bucket", "").collect().await;

    assert_eq!(1, entries.len());
    assert!(entries[0].as_ref().unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_copy_has_the_bytes_and_the_metadata_of_its_source() {
    let (client, bucket) = client_and_bucket().await;
    let key = "100 % ä+b/c?versionId=x";
    let metadata = HashMap::from([("colour".to_owned(), "green".to_owned())]);
    client.put_with(PutObjectRequest { metadata: metadata.clone(), ..put(&bucket, key) }, "bytes").await.unwrap();
    let etag = client.copy(&bucket, key, &bucket, "copy").await.unwrap();
    let info = client.head(&bucket, "copy").await.unwrap();

    assert_eq!((etag, metadata), (info.etag, info.metadata));
    assert_eq!(b"bytes", read(&client, &bucket, "copy").await.as_slice());
}

#[tokio::test]
async fn what_is_deleted_is_not_found_and_may_be_deleted_again() {
    let (client, bucket) = client_and_bucket().await;
    client.put(&bucket, "k", "x").await.unwrap();
    client.delete(&bucket, "k").await.unwrap();
    client.delete(&bucket, "k").await.unwrap();

    assert!(client.head(&bucket, "k").await.unwrap_err().is_not_found());
    assert!(client.get(&bucket, "k").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn buckets_are_made_once_listed_and_removed_when_empty() {
    let (client, bucket) = client_and_bucket().await;
    client.create_bucket(&bucket).await.unwrap();
    client.put(&bucket, "k", "x").await.unwrap();
    let full = client.delete_bucket(&bucket).await.unwrap_err();
    let has = async || client.list_buckets().await.unwrap().iter().any(|each| each.name() == bucket);
    let was_listed = has().await;
    client.delete(&bucket, "k").await.unwrap();
    client.delete_bucket(&bucket).await.unwrap();

    assert_eq!(Some("BucketNotEmpty"), full.code());
    assert!(was_listed && !has().await);
}

#[tokio::test]
async fn a_refusal_tells_its_code_its_message_its_fields_and_its_request() {
    let (client, bucket) = client_and_bucket().await;
    let missing = format!("{bucket}-missing");
    let refusals = [
        ("NoSuchKey", "Key", "nothing", client.head(&bucket, "nothing").await.unwrap_err()),
        ("NoSuchKey", "Key", "nothing", client.get(&bucket, "nothing").await.unwrap_err()),
        ("NoSuchBucket", "BucketName", missing.as_str(), client.put(&missing, "k", "x").await.unwrap_err()),
    ];

    for (code, field, value, fault) in refusals {
        let refusal = fault.refusal().unwrap();
        assert_eq!((code, Code::NotFound), (refusal.code.as_str(), refusal.grpc));
        assert_eq!(Some(value), refusal.fields.get(field).map(String::as_str));
        let id = fault.request_id().unwrap();
        assert_eq!(format!("{code}: {} (request {id})", refusal.message), fault.to_string());
        assert!(!refusal.message.is_empty() && !id.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_heard_while_the_content_is_still_being_sent() {
    let client = Gateway::shared().client().await;
    let body = Body::reader(tokio::io::repeat(7).take(1 << 40));
    let refused = tokio::time::timeout(Duration::from_secs(20), client.put("rust-no-such-bucket", "k", body)).await;

    assert_eq!(Some("NoSuchBucket"), refused.expect("an answer before a terabyte").unwrap_err().code());
}

#[tokio::test]
async fn both_kinds_of_credentials_are_known() {
    let gateway = Gateway::shared();
    let address = format!("http://{}", gateway.target);
    let (access, secret) = (gateway.access_key.as_str(), gateway.secret_key.as_str());
    for credentials in [Credentials::bearer(access, secret), Credentials::sigv4(access, secret, "us-east-1")] {
        let client = Client::connect(&address, credentials).await.unwrap();
        let bucket = format!("rust-{}", unique());
        client.create_bucket(&bucket).await.unwrap();
        client.put(&bucket, "k", "signed").await.unwrap();

        assert_eq!(b"signed", read(&client, &bucket, "k").await.as_slice());
        assert_eq!(1, client.list(&bucket, "").count().await);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let gateway = Gateway::shared();
    let address = format!("http://{}", gateway.target);
    let access = gateway.access_key.as_str();
    let cases = [
        ("InvalidToken", Credentials::bearer(access, "another secret")),
        ("SignatureDoesNotMatch", Credentials::sigv4(access, "another secret", "us-east-1")),
        ("InvalidAccessKeyId", Credentials::sigv4("nobodynobody", "another secret", "us-east-1")),
        ("AccessDenied", Credentials::anonymous()),
    ];
    for (code, credentials) in cases {
        let client = Client::connect(&address, credentials).await.unwrap();

        assert_eq!(Some(code), client.list_buckets().await.unwrap_err().code());
    }
}

#[tokio::test]
async fn an_object_is_stored_under_a_condition() {
    let (client, bucket) = client_and_bucket().await;
    let if_absent = PutObjectRequest { if_none_match: Some("*".to_owned()), ..put(&bucket, "k") };
    client.put_with(if_absent.clone(), "first").await.unwrap();
    let refused = client.put_with(if_absent, "second").await.unwrap_err();

    assert!(refused.is_precondition_failed(), "{refused}");
    assert_eq!(b"first", read(&client, &bucket, "k").await.as_slice());
}

/// A reader that fails after some bytes.
struct Failing(tokio::io::Take<tokio::io::Repeat>);

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.limit() == 0 {
            return Poll::Ready(Err(io::Error::other("the disk is gone")));
        }
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

/// A stream that is closed is whole to the gateway, so that half of one must never be closed.
#[tokio::test]
async fn a_reader_that_fails_leaves_no_object() {
    let (client, bucket) = client_and_bucket().await;
    let body = Body::reader(Failing(tokio::io::repeat(7).take(1_000_000)));
    let fault = client.put(&bucket, "k", body).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(300)).await;

    assert!(matches!(&fault, Error::Io(_)) && fault.to_string() == "the disk is gone", "{fault}");
    assert!(client.head(&bucket, "k").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_no_object() {
    let (client, bucket) = client_and_bucket().await;
    let (mut giving, reader) = tokio::io::duplex(64);
    let body = Body::reader(reader);
    let upload = client.put(&bucket, "k", body);
    let some = async {
        tokio::io::AsyncWriteExt::write_all(&mut giving, &noise(600_000, 3)).await.unwrap();
    };
    tokio::select! {
        _ = upload => panic!("an upload that nobody ended"),
        () = some => {}
    }
    drop(giving);
    tokio::time::sleep(Duration::from_millis(300)).await;

    assert!(client.head(&bucket, "k").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_gateway_that_is_busy_is_asked_again() {
    let busy = Gateway::start(&[("RS3GW_MAX_REQUESTS", "1")]);
    let client = busy.client().await;
    client.create_bucket("busy").await.unwrap();
    let (mut giving, reader) = tokio::io::duplex(64);
    let uploading = {
        let client = client.clone();
        tokio::spawn(async move { client.put("busy", "slow", Body::reader(reader)).await })
    };
    tokio::io::AsyncWriteExt::write_all(&mut giving, &noise(600_000, 4)).await.unwrap();
    let impatient = client.clone().with_attempts(1).head("busy", "slow").await.unwrap_err();
    let ending = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(giving);
    });
    let patient = client.clone().with_attempts(20).head("busy", "other").await.unwrap_err();
    ending.await.unwrap();

    assert_eq!(Some("SlowDown"), impatient.code());
    assert_eq!(Some("NoSuchKey"), patient.code());
    assert_eq!(600_000, uploading.await.unwrap().unwrap().size);
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    for address in ["localhost:50051", "ftp://localhost", "no address"] {
        let fault = endpoint(address).unwrap_err();

        assert!(fault.to_string().contains(address), "{fault}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn what_was_built_without_tls_says_so() {
    let fault = Client::connect("https://localhost:50051", Credentials::anonymous()).await.unwrap_err();

    assert!(fault.to_string().contains("without its feature tls"), "{fault}");
}
