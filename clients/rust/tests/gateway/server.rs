//! The gateway that the tests ask: the one that RS3GW_TEST_GRPC names, or one of their own.
//!
//! One of their own lives as long as a pipe is open that this process holds, so that none outlives the tests, however
//! they end.

use std::{
    env,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use rs3gw_client::{Client, Credentials};

const START: Duration = Duration::from_secs(30);

/// Serves until its standard input ends.
const SERVE: &str = r#"trap "" INT; "$0" serve & cat; kill $!; wait $!; rm -rf "$RS3GW_STORAGE_ROOT""#;

pub struct Gateway {
    /// `host:port`.
    pub target: String,
    pub access_key: String,
    pub secret_key: String,
    _process: Option<Child>,
}

impl Gateway {
    /// Starts one over an empty root, with settings (RS3GW_…) besides the usual ones.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);

        let command = env::var("RS3GW_COMMAND").unwrap_or_else(|_| "../../.venv/bin/rs3gw".to_owned());
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("rs3gw-rust-{}-{number}", std::process::id()));
        let (access_key, secret_key) = ("rusttestrusttest".to_owned(), "a secret for tests alone".to_owned());
        let port = free_port();
        let mut serving = Command::new("sh");
        serving.args(["-c", SERVE, &command]).stdin(Stdio::piped()).stdout(Stdio::null());
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("RS3GW_")) {
            serving.env_remove(name);
        }
        serving
            .env("RS3GW_BIND_ADDR", format!("127.0.0.1:{}", free_port()))
            .env("RS3GW_GRPC_ENABLED", "true")
            .env("RS3GW_GRPC_PORT", port.to_string())
            .env("RS3GW_STORAGE_ROOT", root)
            .env("RS3GW_ACCESS_KEY", &access_key)
            .env("RS3GW_SECRET_KEY", &secret_key)
            .env("RS3GW_LOG_LEVEL", "error")
            .envs(settings.iter().copied());
        let process = serving.spawn().expect("a shell");
        let target = format!("127.0.0.1:{port}");
        let began = Instant::now();
        while TcpStream::connect(&target).is_err() {
            assert!(began.elapsed() < START, "{command} serve was not ready within {START:?}");
            sleep(Duration::from_millis(20));
        }
        Self { target, access_key, secret_key, _process: Some(process) }
    }

    /// The one that most tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Gateway> = OnceLock::new();
        SHARED.get_or_init(|| match env::var("RS3GW_TEST_GRPC") {
            Ok(target) => Self {
                target,
                access_key: env::var("RS3GW_TEST_ACCESS_KEY").expect("RS3GW_TEST_ACCESS_KEY goes with RS3GW_TEST_GRPC"),
                secret_key: env::var("RS3GW_TEST_SECRET_KEY").expect("RS3GW_TEST_SECRET_KEY goes with RS3GW_TEST_GRPC"),
                _process: None,
            },
            Err(_) => Self::start(&[]),
        })
    }

    pub fn credentials(&self) -> Credentials {
        Credentials::bearer(&self.access_key, &self.secret_key)
    }

    pub async fn client(&self) -> Client {
        self.client_through(&self.target).await
    }

    /// A client whose way to the gateway leads through what listens there.
    pub async fn client_through(&self, target: &str) -> Client {
        Client::connect(&format!("http://{target}"), self.credentials()).await.expect("a gateway that listens")
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port").port()
}

/// A client of the shared gateway, and a bucket for one test alone.
pub async fn client_and_bucket() -> (Client, String) {
    let client = Gateway::shared().client().await;
    let bucket = bucket(&client).await;
    (client, bucket)
}

pub async fn bucket(client: &Client) -> String {
    let name = format!("rust-{}", unique());
    client.create_bucket(&name).await.expect("a bucket of a new name");
    name
}

/// A word that no other test of this or another run has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
    format!("{since}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Bytes that do not repeat, other ones for each seed.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(count + 8);
    while data.len() < count {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(count);
    data
}

/// A directory of one test, which goes away with it.
pub struct Directory(std::path::PathBuf);

impl Directory {
    pub fn new() -> Self {
        let path = env::temp_dir().join(format!("rs3gw-rust-files-{}", unique()));
        std::fs::create_dir(&path).expect("a directory of a new name");
        Self(path)
    }

    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    pub fn names(&self) -> Vec<String> {
        let listed = std::fs::read_dir(&self.0).expect("this directory");
        listed.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
