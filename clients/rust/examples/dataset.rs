//! Trains on nothing: makes a data set of shards in a bucket, and reads epochs of it as a training job would, in another
//! order each time, many shards at once, every record exactly once.
//!
//! ```text
//! RS3GW_ACCESS_KEY=… RS3GW_SECRET_KEY=… cargo run --release --example dataset -- http://localhost:50051 dataset
//! ```

use std::{collections::HashSet, env, error::Error, io, time::Instant};

use rs3gw_client::{Client, Credentials, StreamExt, TryStreamExt, proto::PutObjectRequest};
use tokio::{io::AsyncReadExt, sync::mpsc, task::JoinSet};

const SHARDS: u64 = 8;
const RECORDS: u64 = 1024;
const EPOCHS: u32 = 2;
const READERS: usize = 4;

/// How many records wait for who trains: enough that reading goes on while it works.
const WAITING: usize = 1024;

/// A record is its number and then noise, as a sample is its label and then pixels.
const RECORD_BYTES: usize = 4096;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut asked = env::args().skip(1);
    let address = asked.next().unwrap_or_else(|| "http://localhost:50051".to_owned());
    let bucket = asked.next().unwrap_or_else(|| "dataset".to_owned());
    let credentials = Credentials::bearer(&env::var("RS3GW_ACCESS_KEY")?, &env::var("RS3GW_SECRET_KEY")?);
    let client = Client::connect(&address, credentials).await?;
    store(&client, &bucket).await?;
    for number in 0..EPOCHS {
        let began = Instant::now();
        let count = epoch(&client, &bucket).await?;
        let (mebibytes, seconds) = ((count * RECORD_BYTES) >> 20, began.elapsed().as_secs_f64());
        println!("epoch {number}: {count} records, {mebibytes} MiB in {seconds:.2} s");
    }
    Ok(())
}

/// Makes the shards that are not there yet: a job that is started again finds those that it made before.
async fn store(client: &Client, bucket: &str) -> Result<(), Failure> {
    client.create_bucket(bucket).await?;
    for number in 0..SHARDS {
        let request = PutObjectRequest {
            bucket: bucket.to_owned(),
            key: format!("train/{number:05}.bin"),
            if_none_match: Some("*".to_owned()),
            ..PutObjectRequest::default()
        };
        match client.put_with(request, shard(number)).await {
            Err(fault) if !fault.is_precondition_failed() => return Err(fault.into()),
            _ => {}
        }
    }
    Ok(())
}

fn shard(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut data = Vec::new();
    for record in 0..RECORDS {
        data.extend_from_slice(&(number * RECORDS + record).to_be_bytes());
        data.extend(std::iter::repeat_with(|| random.u8(..)).take(RECORD_BYTES - 8));
    }
    data
}

/// Reads every record of every shard once, and says how many there were.
async fn epoch(client: &Client, bucket: &str) -> Result<usize, Failure> {
    let mut keys: Vec<String> = client.list(bucket, "train/").map_ok(|entry| entry.key).try_collect().await?;
    fastrand::shuffle(&mut keys);

    // The records come through a queue that is short: readers wait for who trains, and never the other way round.
    let (sender, mut records) = mpsc::channel(WAITING);
    let (client, bucket) = (client.clone(), bucket.to_owned());
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let shards = futures_util::stream::iter(keys).map(Ok::<_, Failure>);
        shards.try_for_each_concurrent(READERS, |key| read(&client, &bucket, key, sender.clone())).await
    });
    let mut seen = HashSet::new();
    while let Some(number) = records.recv().await {
        if !seen.insert(number) {
            return Err(format!("record {number} came twice").into());
        }
    }
    while let Some(done) = reading.join_next().await {
        done??;
    }
    Ok(seen.len())
}

/// Streams a shard: a record is used when it has come, and the shard is never held whole.
async fn read(client: &Client, bucket: &str, key: String, records: mpsc::Sender<u64>) -> Result<(), Failure> {
    let mut shard = client.get(bucket, &key).await?.into_reader();
    let mut record = [0; RECORD_BYTES];
    loop {
        match shard.read_exact(&mut record).await {
            Ok(_) => records.send(u64::from_be_bytes(record[..8].try_into()?)).await?,
            Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(fault) => return Err(fault.into()),
        }
    }
}
