//! Networks that break, and what a client makes of it.

use std::{io, pin::Pin, time::Duration};

use rs3gw_client::{
    Body, Client, Error, endpoint,
    proto::{CopyObjectRequest, PutObjectRequest},
};

use crate::{
    proxy::{MARK, Proxy},
    server::{Directory, Gateway, client_and_bucket, free_port, noise},
};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn a_reading_goes_on_at_the_byte_where_the_connection_broke() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let data = noise(4 * MEBIBYTE + 11, 8);
    direct.put(&bucket, "k", data.clone()).await.unwrap();
    proxy.break_down(&[100_000, 1_000_000, 300_000]);
    let whole = proxy.client().await.get(&bucket, "k").await.unwrap().bytes().await.unwrap();
    proxy.break_down(&[100_000, 700_000]);
    let ranged = proxy.client().await.get_range(&bucket, "k", 1_000_000..3_000_000).await.unwrap();
    let ranged = ranged.bytes().await.unwrap();

    assert!(data == whole);
    assert!(data[1_000_000..3_000_000] == ranged);
    assert_eq!(5, proxy.broken());
}

#[tokio::test]
async fn a_reading_never_mixes_an_object_with_what_replaced_it() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let data = noise(4 * MEBIBYTE, 9);
    direct.put(&bucket, "k", data.clone()).await.unwrap();
    proxy.break_down(&[1_000_000]);
    let mut object = proxy.client().await.get(&bucket, "k").await.unwrap();
    direct.put(&bucket, "k", noise(4 * MEBIBYTE, 10)).await.unwrap();
    let mut gathered = vec![];
    let fault = loop {
        match object.chunk().await {
            Ok(Some(more)) => gathered.extend_from_slice(&more),
            Ok(None) => panic!("the end of an object that was replaced"),
            Err(fault) => break fault,
        }
    };

    assert!(fault.is_precondition_failed(), "{fault}");
    assert!(!gathered.is_empty() && data.starts_with(&gathered));
}

#[tokio::test]
async fn bytes_are_sent_again() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let data = noise(3 * MEBIBYTE, 11);
    proxy.break_up(&[200_000, 900_000]);
    proxy.client().await.put(&bucket, "k", data.clone()).await.unwrap();

    assert!(data == direct.get(&bucket, "k").await.unwrap().bytes().await.unwrap());
    assert_eq!(2, proxy.broken());
}

#[tokio::test]
async fn a_reader_is_not_sent_again() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    proxy.break_up(&[200_000]);
    let body = Body::reader(io::Cursor::new(noise(3 * MEBIBYTE, 12)));
    let fault = proxy.client().await.put(&bucket, "k", body).await.unwrap_err();

    assert!(matches!(fault, Error::Grpc(_)), "{fault}");
    assert!(direct.head(&bucket, "k").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn parts_and_ranges_are_each_sent_again() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let directory = Directory::new();
    let data = noise(17 * MEBIBYTE, 13);
    std::fs::write(directory.file("in"), &data).unwrap();
    proxy.break_up(&[2_000_000, 7_000_000, 1_000_000]);
    let client = proxy.client().await.with_parts(0, 3);
    client.upload_file(&bucket, "k", directory.file("in")).await.unwrap();
    let while_uploading = proxy.broken();
    proxy.break_down(&[1_000_000, 9_000_000]);
    let client = proxy.client().await.with_parts(0, 3);
    client.download_file(&bucket, "k", directory.file("out")).await.unwrap();

    assert_eq!((3, 5), (while_uploading, proxy.broken()));
    assert!(data == std::fs::read(directory.file("out")).unwrap());
    assert!(direct.head(&bucket, "k").await.unwrap().etag.ends_with("-4\""));
}

/// Does what it is asked while no answer comes, and breaks the connection when `is_done` says that it was done.
async fn unheard<T>(proxy: &Proxy, call: Pin<Box<impl Future<Output = T>>>, is_done: impl AsyncFn() -> bool) -> T {
    proxy.mute();
    let breaking = async {
        while !is_done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.break_all();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = call => answer,
        () = breaking => unreachable!("it is for ever"),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("a call that does not end"),
    }
}

/// What was done must not look refused: a repetition would find the object that the first try made.
#[tokio::test]
async fn a_write_under_a_condition_is_not_repeated_where_its_answer_was_lost() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let client = proxy.client().await;
    let request = |key: &str, condition: Option<&str>| PutObjectRequest {
        bucket: bucket.clone(),
        key: key.to_owned(),
        if_none_match: condition.map(str::to_owned),
        ..PutObjectRequest::default()
    };
    let is_there = |key: &'static str| {
        let (direct, bucket) = (direct.clone(), bucket.clone());
        async move || direct.head(&bucket, key).await.is_ok()
    };
    let conditional = Box::pin(client.put_with(request("once", Some("*")), "x"));
    let conditional = unheard(&proxy, conditional, is_there("once")).await;
    let plain = unheard(&proxy, Box::pin(client.put_with(request("again", None), "x")), is_there("again")).await;

    assert!(matches!(conditional, Err(Error::Grpc(_))), "{conditional:?}");
    assert_eq!(1, plain.unwrap().size);
}

#[tokio::test]
async fn a_bucket_is_not_deleted_twice() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    let client = proxy.client().await;
    let is_gone = async || direct.list_buckets().await.unwrap().iter().all(|each| each.name() != bucket);
    let lost = unheard(&proxy, Box::pin(client.delete_bucket(&bucket)), is_gone).await;

    assert!(matches!(lost, Err(Error::Grpc(_))), "{lost:?}");
}

#[tokio::test]
async fn a_call_waits_for_a_gateway_that_is_not_there_yet() {
    let (_, bucket) = client_and_bucket().await;
    let target = format!("127.0.0.1:{}", free_port());
    let channel = endpoint(&format!("http://{target}")).unwrap().connect_lazy();
    let client = Client::new(channel, Gateway::shared().credentials()).with_attempts(20);
    let asked = tokio::spawn(async move { client.put(&bucket, "k", "patience").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _proxy = Proxy::start_at(&target).await;

    assert_eq!(8, asked.await.unwrap().unwrap().size);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_said_to_be_unavailable() {
    let target = format!("http://127.0.0.1:{}", free_port());
    let eager = Client::connect(&target, Gateway::shared().credentials()).await.unwrap_err();
    let lazy = Client::new(endpoint(&target).unwrap().connect_lazy(), Gateway::shared().credentials());
    let later = lazy.with_attempts(2).list_buckets().await.unwrap_err();

    for fault in [eager, later] {
        let said = fault.to_string();
        assert!(said.starts_with("Unavailable: ") && said.contains("Connection refused"), "{said}");
    }
}

/// Content of which the proxy changes some bytes.
fn marked(count: usize, seed: u64) -> Vec<u8> {
    let mut data = noise(count, seed);
    // Often, so that it stands in one piece somewhere however the network cuts.
    for at in (1_000..count - MARK.len()).step_by(9_973) {
        data[at..at + MARK.len()].copy_from_slice(MARK);
    }
    data
}

#[tokio::test]
async fn bytes_that_change_on_their_way_are_an_error_either_way() {
    let (direct, bucket) = client_and_bucket().await;
    let proxy = Proxy::start().await;
    proxy.garble();
    let client = proxy.client().await.with_parts(0, 2);
    let directory = Directory::new();
    let data = marked(6 * MEBIBYTE, 15);
    std::fs::write(directory.file("in"), &data).unwrap();
    direct.put(&bucket, "k", data.clone()).await.unwrap();
    let faults = [
        client.get(&bucket, "k").await.unwrap().bytes().await.unwrap_err(),
        client.download_file(&bucket, "k", directory.file("out")).await.unwrap_err(),
        client.put(&bucket, "sent", data).await.unwrap_err(),
        client.upload_file(&bucket, "parts", directory.file("in")).await.unwrap_err(),
    ];

    for fault in faults {
        assert!(matches!(fault, Error::Checksum), "{fault}");
    }
    assert_eq!(vec!["in"], directory.names());
    assert!(direct.head(&bucket, "parts").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn calls_as_they_are_on_the_wire_carry_credentials() {
    let (client, bucket) = client_and_bucket().await;
    client.put(&bucket, "k", "x").await.unwrap();
    let request = CopyObjectRequest {
        bucket: bucket.clone(),
        key: "copy".to_owned(),
        copy_source: format!("{bucket}/k"),
        ..CopyObjectRequest::default()
    };
    let answer = client.objects().copy_object(request).await.unwrap().into_inner();

    assert!(answer.etag.is_some());
}
