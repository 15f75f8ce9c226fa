//! Calls go into tasks: what a runtime with many threads takes is `Send`.

use rs3gw_client::{Body, Client};

fn spawnable<T: Send>(_: T) {}

/// It is the compiler that judges; the calls are never made.
#[test]
fn every_call_can_be_spawned() {
    let _ = |client: &Client, name: &str| {
        spawnable(Client::connect(name, rs3gw_client::Credentials::anonymous()));
        spawnable(client.get(name, name));
        spawnable(client.get_range(name, name, 1..2));
        spawnable(client.put(name, name, Body::from("x")));
        spawnable(client.put(name, name, Body::reader(tokio::io::empty())));
        spawnable(client.head(name, name));
        spawnable(client.delete(name, name));
        spawnable(client.copy(name, name, name, name));
        spawnable(client.list(name, name));
        spawnable(client.create_bucket(name));
        spawnable(client.delete_bucket(name));
        spawnable(client.list_buckets());
        spawnable(client.upload_file(name, name, name));
        spawnable(client.download_file(name, name, name));
    };
}
