//! This client for those that compare it with others: it puts, gets and lists, and says what it saw in lines of JSON.
//!
//! ```text
//! rs3gw-interop put BUCKET KEY FILE [NAME=VALUE …]
//! rs3gw-interop get BUCKET KEY FILE
//! rs3gw-interop list BUCKET PREFIX
//! ```
//!
//! `RS3GW_TEST_GRPC` is the gateway, `host:port`; `RS3GW_TEST_ACCESS_KEY` and `RS3GW_TEST_SECRET_KEY` are whose calls
//! these are.  NAME=VALUE is metadata of the user's.

use std::{collections::HashMap, env, error::Error, fmt::Write, process::ExitCode};

use rs3gw_client::{Client, Credentials, TryStreamExt, proto::PutObjectRequest};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt};

const USAGE: &str =
    "rs3gw-interop put BUCKET KEY FILE [NAME=VALUE …] | get BUCKET KEY FILE | list BUCKET PREFIX, and RS3GW_TEST_…";

type Done = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Done {
    let setting = |name| env::var(name).map_err(|_| format!("{name} is not set: {USAGE}"));
    let credentials = Credentials::bearer(&setting("RS3GW_TEST_ACCESS_KEY")?, &setting("RS3GW_TEST_SECRET_KEY")?);
    let client = Client::connect(&format!("http://{}", setting("RS3GW_TEST_GRPC")?), credentials).await?;
    let asked: Vec<String> = env::args().skip(1).collect();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    match asked.as_slice() {
        ["put", bucket, key, path, metadata @ ..] => put(&client, bucket, key, path, metadata).await,
        ["get", bucket, key, path] => get(&client, bucket, key, path).await,
        ["list", bucket, prefix] => list(&client, bucket, prefix).await,
        _ => Err(USAGE.into()),
    }
}

async fn put(client: &Client, bucket: &str, key: &str, path: &str, metadata: &[&str]) -> Done {
    let pairs = metadata.iter().map(|pair| pair.split_once('=').map(|(name, value)| (name.into(), value.into())));
    let request = PutObjectRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        metadata: pairs.collect::<Option<HashMap<_, _>>>().ok_or(USAGE)?,
        ..PutObjectRequest::default()
    };
    let info = client.upload_file_with(request, path).await?;
    println!(r#"{{"etag":{}}}"#, quoted(&info.etag));
    Ok(())
}

async fn get(client: &Client, bucket: &str, key: &str, path: &str) -> Done {
    let info = client.download_file(bucket, key, path).await?;
    let metadata: Vec<_> =
        info.metadata.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    println!(
        r#"{{"sha256":"{}","etag":{},"metadata":{{{}}}}}"#,
        sha256(path).await?,
        quoted(&info.etag),
        metadata.join(",")
    );
    Ok(())
}

async fn list(client: &Client, bucket: &str, prefix: &str) -> Done {
    let mut listing = client.list(bucket, prefix);
    while let Some(entry) = listing.try_next().await? {
        println!(r#"{{"key":{},"size":{},"etag":{}}}"#, quoted(&entry.key), entry.size, quoted(&entry.etag));
    }
    Ok(())
}

/// Of what is in the file now, not of what came.
async fn sha256(path: &str) -> std::io::Result<String> {
    let mut file = File::open(path).await?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    Ok(digest.finalize().iter().fold(String::new(), |written, byte| written + &format!("{byte:02x}")))
}

/// A string as JSON has it.
fn quoted(text: &str) -> String {
    let mut written = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(written, "\\u{:04x}", u32::from(control));
            }
            other => written.push(other),
        }
    }
    written + "\""
}
