//! A bad network between a client and the gateway: connections that break in their middle without a word, answers
//! that do not arrive, bytes that change on their way.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::server::Gateway;

/// What a proxy changes is content that reads so; the framing around it stays whole.
pub const MARK: &[u8] = b"these sixteen by";
const CHANGED: &[u8] = b"these SIXTEEN by";

#[derive(Default)]
struct Plan {
    /// How many bytes from the gateway (down) or to it (up) the next connections carry before they break; a
    /// connection beyond them carries all.
    down: Mutex<VecDeque<usize>>,
    up: Mutex<VecDeque<usize>>,
    broken: AtomicUsize,
    is_mute: AtomicBool,
    is_garbling: AtomicBool,
}

pub struct Proxy {
    pub target: String,
    plan: Arc<Plan>,
    breaking: watch::Sender<()>,
}

impl Proxy {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("an address that is free");
        let target = listener.local_addr().expect("an address").to_string();
        let plan = Arc::new(Plan::default());
        let breaking = watch::Sender::new(());
        let (carried, told) = (plan.clone(), breaking.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, carried.clone(), told.subscribe()));
            }
        });
        Self { target, plan, breaking }
    }

    pub async fn client(&self) -> rs3gw_client::Client {
        Gateway::shared().client_through(&self.target).await
    }

    /// Breaks the next connections after so many bytes from the gateway.
    pub fn break_down(&self, budgets: &[usize]) {
        *self.plan.down.lock().unwrap() = budgets.iter().copied().collect();
    }

    /// Breaks the next connections after so many bytes to the gateway.
    pub fn break_up(&self, budgets: &[usize]) {
        *self.plan.up.lock().unwrap() = budgets.iter().copied().collect();
    }

    pub fn broken(&self) -> usize {
        self.plan.broken.load(Ordering::SeqCst)
    }

    /// Lets nothing of what the gateway answers come through.
    pub fn mute(&self) {
        self.plan.is_mute.store(true, Ordering::SeqCst);
    }

    /// Breaks the connections that there are, and lets answers through on those that come.
    pub fn break_all(&self) {
        self.plan.is_mute.store(false, Ordering::SeqCst);
        self.breaking.send_replace(());
    }

    /// Changes content that has the [`MARK`], either way.
    pub fn garble(&self) {
        self.plan.is_garbling.store(true, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, plan: Arc<Plan>, mut breaking: watch::Receiver<()>) {
    let Ok(gateway) = TcpStream::connect(&Gateway::shared().target).await else { return };
    let next = |budgets: &Mutex<VecDeque<usize>>| budgets.lock().unwrap().pop_front().unwrap_or(usize::MAX);
    let (down, up) = (next(&plan.down), next(&plan.up));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_gateway, mut to_gateway) = gateway.into_split();
    let is_broken = tokio::select! {
        is_broken = pass(&mut from_client, &mut to_gateway, up, &plan, false) => is_broken,
        is_broken = pass(&mut from_gateway, &mut to_client, down, &plan, true) => is_broken,
        _ = breaking.changed() => true,
    };
    plan.broken.fetch_add(usize::from(is_broken), Ordering::SeqCst);
    // Both ends are dropped here with what they had not read, which resets the connections.
}

/// Passes bytes on; tells whether it ended for its budget and not for the ends.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut budget: usize,
    plan: &Plan,
    is_answer: bool,
) -> bool {
    let mut buffer = vec![0; 64 << 10];
    while budget > 0 {
        let most = budget.min(buffer.len());
        let Ok(count @ 1..) = from.read(&mut buffer[..most]).await else { return false };
        budget -= count;
        if is_answer && plan.is_mute.load(Ordering::SeqCst) {
            continue;
        }
        if plan.is_garbling.load(Ordering::SeqCst) {
            garble(&mut buffer[..count]);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return false;
        }
    }
    true
}

fn garble(data: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = data[at..].windows(MARK.len()).position(|window| window == MARK) {
        at += found;
        data[at..at + MARK.len()].copy_from_slice(CHANGED);
    }
}
