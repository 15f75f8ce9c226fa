//! When a call is made again, and how long it waits before.
//!
//! Two failures are tried again and no others: the gateway said that it did nothing (`SlowDown`,
//! `ServiceUnavailable`), or the call was lost and done twice is done once.

use std::{future::Future, time::Duration};

use crate::{Result, error::Error};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    pub(crate) attempts: u32,
    pub(crate) base: Duration,
    pub(crate) most: Duration,
}

impl Retries {
    /// Calls until it succeeds, is refused for good, or has been tried often enough.
    ///
    /// `is_repeatable` says that the call done twice is the call done once: without it, a call whose answer was lost
    /// is not repeated, as the repetition would be refused for what the first did.
    pub(crate) async fn run<T, F>(self, is_repeatable: bool, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match call().await {
                Err(fault) if attempt < self.attempts && is_worth_another(&fault, is_repeatable) => {
                    tokio::time::sleep(self.longest(attempt).mul_f64(fastrand::f64())).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// The longest wait after an attempt.
    ///
    /// What is waited is anything up to it: many clients that were refused together shall not come back together.
    fn longest(self, attempt: u32) -> Duration {
        self.base.saturating_mul(1 << (attempt - 1).min(16)).min(self.most)
    }
}

fn is_worth_another(fault: &Error, is_repeatable: bool) -> bool {
    fault.is_refused_for_now() || is_repeatable && fault.is_lost()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retries = Retries { attempts: 9, base: Duration::from_millis(100), most: Duration::from_secs(1) };
        let waits: Vec<_> = [1, 2, 3, 4, 5, 40].map(|attempt| retries.longest(attempt).as_millis()).into();

        assert_eq!(vec![100, 200, 400, 800, 1000, 1000], waits);
    }
}
