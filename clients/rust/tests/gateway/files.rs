//! Files in parts and ranges.

use std::{collections::HashMap, time::Duration};

use rs3gw_client::{
    Client,
    proto::{ListMultipartUploadsRequest, PutObjectRequest},
};

use crate::server::{Directory, client_and_bucket, noise};

const MEBIBYTE: usize = 1 << 20;

async fn uploads(client: &Client, bucket: &str) -> usize {
    let request = ListMultipartUploadsRequest { bucket: bucket.to_owned(), ..Default::default() };
    client.uploads().list_multipart_uploads(request).await.unwrap().into_inner().uploads.len()
}

#[tokio::test]
async fn a_file_comes_back_as_it_went() {
    let (client, bucket) = client_and_bucket().await;
    let client = client.with_parts(5 << 20, 3);
    let directory = Directory::new();
    for (size, parts) in [(0, None), (1_000, None), (5 * MEBIBYTE, None), (12 * MEBIBYTE + 7, Some("-3\""))] {
        let data = noise(size, size as u64);
        std::fs::write(directory.file("in"), &data).unwrap();
        let sent = client.upload_file(&bucket, "k", directory.file("in")).await.unwrap();
        let got = client.download_file(&bucket, "k", directory.file("out")).await.unwrap();

        assert_eq!(data, std::fs::read(directory.file("out")).unwrap());
        assert_eq!((size as u64, &sent.etag), (got.size, &got.etag));
        assert!(parts.is_none_or(|parts| got.etag.ends_with(parts)), "{}", got.etag);
    }
    assert_eq!(2, directory.names().len());
    assert_eq!(0, uploads(&client, &bucket).await);
}

#[tokio::test]
async fn what_is_said_of_an_object_is_kept_with_its_parts() {
    let (client, bucket) = client_and_bucket().await;
    let directory = Directory::new();
    std::fs::write(directory.file("in"), noise(6 * MEBIBYTE, 1)).unwrap();
    let said = PutObjectRequest {
        bucket: bucket.clone(),
        key: "k".to_owned(),
        content_type: Some("text/plain".to_owned()),
        metadata: HashMap::from([("colour".to_owned(), "green".to_owned())]),
        if_none_match: Some("*".to_owned()),
        ..PutObjectRequest::default()
    };
    let client = client.with_parts(0, 2);
    client.upload_file_with(said.clone(), directory.file("in")).await.unwrap();
    let info = client.head(&bucket, "k").await.unwrap();
    let refused = client.upload_file_with(said.clone(), directory.file("in")).await.unwrap_err();

    assert_eq!((said.content_type, said.metadata), (info.content_type, info.metadata));
    assert!(info.etag.ends_with("-2\""), "{}", info.etag);
    assert!(refused.is_precondition_failed(), "{refused}");
    assert_eq!(0, uploads(&client, &bucket).await, "an upload that failed was left");
}

#[tokio::test]
async fn an_upload_in_parts_that_is_dropped_is_aborted() {
    let (client, bucket) = client_and_bucket().await;
    let client = client.with_parts(0, 1);
    let directory = Directory::new();
    std::fs::write(directory.file("in"), noise(40 * MEBIBYTE, 2)).unwrap();
    let begun = async {
        while uploads(&client, &bucket).await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        done = client.upload_file(&bucket, "k", directory.file("in")) => panic!("too quick to be dropped: {done:?}"),
    }
    let aborted = async {
        while uploads(&client, &bucket).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), aborted).await.expect("an upload that was dropped was left");

    assert!(client.head(&bucket, "k").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_download_that_fails_leaves_the_file_as_it_was() {
    let (client, bucket) = client_and_bucket().await;
    let directory = Directory::new();
    std::fs::write(directory.file("out"), "what was there").unwrap();
    let fault = client.download_file(&bucket, "nothing", directory.file("out")).await.unwrap_err();

    assert!(fault.is_not_found());
    assert_eq!("what was there", std::fs::read_to_string(directory.file("out")).unwrap());
    assert_eq!(vec!["out"], directory.names());
}

#[tokio::test]
async fn a_download_does_not_take_the_place_of_what_is_no_file() {
    let (client, bucket) = client_and_bucket().await;
    let directory = Directory::new();
    client.put(&bucket, "k", "x").await.unwrap();
    let fault = client.download_file(&bucket, "k", directory.file("")).await.unwrap_err();

    assert!(fault.to_string().ends_with("is no file"), "{fault}");
    assert!(client.download_file(&bucket, "k", "/dev/null").await.is_err());
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_of_this_side() {
    let (client, bucket) = client_and_bucket().await;
    let fault = client.upload_file(&bucket, "k", "/no/such/file").await.unwrap_err();

    assert!(matches!(fault, rs3gw_client::Error::Io(_)), "{fault}");
}

#[tokio::test]
async fn a_download_never_mixes_an_object_with_what_replaced_it() {
    let (client, bucket) = client_and_bucket().await;
    let directory = Directory::new();
    client.put(&bucket, "k", noise(20 * MEBIBYTE, 3)).await.unwrap();
    let ranged = client.clone().with_parts(0, 1);
    let mut download = Box::pin(ranged.download_file(&bucket, "k", directory.file("out")));
    while directory.names().is_empty() {
        tokio::select! {
            done = &mut download => panic!("too quick to be mixed: {done:?}"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    // Nothing asks for another range while this is under way.
    client.put(&bucket, "k", noise(20 * MEBIBYTE, 4)).await.unwrap();
    let fault = download.await.unwrap_err();

    assert!(fault.is_precondition_failed(), "{fault}");
    assert!(directory.names().is_empty());
}
