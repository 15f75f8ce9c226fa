//! What is shown with every call, so that the gateway knows whose it is.
//!
//! The secret itself never leaves: a token is made of it once, or a signature for each call.

use std::{fmt, time::SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use prost_types::Timestamp;
use sha2::{Digest, Sha256};
use tonic::{GrpcMethod, Request, Status, service::Interceptor};

/// Whose calls a client makes, and how it proves that.
#[derive(Clone)]
pub struct Credentials(Kind);

#[derive(Clone)]
enum Kind {
    Anonymous,
    Bearer { token: String },
    SigV4 { access_key: String, secret_key: String, region: String },
}

impl Credentials {
    /// Nobody's: what a bucket policy allows to everybody.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Kind::Anonymous)
    }

    /// The token of an access key, as `rs3gw token` prints it.
    ///
    /// It is as good as the secret that made it until the secret changes: off loopback, send it over TLS.
    #[must_use]
    pub fn bearer(access_key: &str, secret_key: &str) -> Self {
        let digest = hex(&mac(secret_key.as_bytes(), b"rs3gw bearer token v1"));
        Self(Kind::Bearer { token: format!("Bearer {access_key}.{digest}") })
    }

    /// Signature Version 4 of each call, for the gateway's region.
    ///
    /// A signature is good for one method and fifteen minutes: the clocks must agree so far.
    #[must_use]
    pub fn sigv4(access_key: &str, secret_key: &str, region: &str) -> Self {
        Self(Kind::SigV4 {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            region: region.to_owned(),
        })
    }

    /// The metadata of a call to the method at this path.
    fn metadata(&self, path: &str, now: SystemTime) -> Vec<(&'static str, String)> {
        match &self.0 {
            Kind::Anonymous => vec![],
            Kind::Bearer { token } => vec![("authorization", token.clone())],
            Kind::SigV4 { access_key, secret_key, region } => {
                let moment = moment(now);
                let scope = format!("{}/{region}/s3/aws4_request", &moment[..8]);
                let authorization = signature(secret_key, &scope, path, &moment);
                let authorization = format!(
                    "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={SIGNED}, Signature={authorization}"
                );
                vec![
                    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD".to_owned()),
                    ("x-amz-date", moment),
                    ("authorization", authorization),
                ]
            }
        }
    }
}

/// Secrets do not belong in logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Kind::Anonymous => "Credentials(anonymous)",
            Kind::Bearer { .. } => "Credentials(bearer)",
            Kind::SigV4 { .. } => "Credentials(sigv4)",
        })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        let called = request.extensions().get::<GrpcMethod<'_>>();
        let path = called.map_or_else(String::new, |called| format!("/{}/{}", called.service(), called.method()));
        for (name, value) in self.metadata(&path, SystemTime::now()) {
            let value = value.parse().map_err(|_| Status::invalid_argument("an access key that cannot be sent"))?;
            request.metadata_mut().insert(name, value);
        }
        Ok(request)
    }
}

/// The names of the metadata that is signed, in their order.
const SIGNED: &str = "x-amz-content-sha256;x-amz-date";

/// SigV4's signature of `POST` to the path, with no query and no signature of the content.
fn signature(secret_key: &str, scope: &str, path: &str, moment: &str) -> String {
    let request = format!(
        "POST\n{path}\n\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{moment}\n\n{SIGNED}\nUNSIGNED-PAYLOAD"
    );
    let signed = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let secret = format!("AWS4{secret_key}").into_bytes();
    let key = scope.split('/').fold(secret, |key, piece| mac(&key, piece.as_bytes()));
    hex(&mac(&key, signed.as_bytes()))
}

/// A time as SigV4 writes it: `20261123T120000Z`.
fn moment(now: SystemTime) -> String {
    let seconds = Timestamp { nanos: 0, ..Timestamp::from(now) };
    seconds.to_string().replace(['-', ':'], "")
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |written, byte| written + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_written_without_separators_and_without_fractions() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_435_200_999);

        assert_eq!("20261123T120000Z", moment(now));
    }

    #[test]
    fn a_secret_is_not_printed() {
        for credentials in [Credentials::bearer("key", "hush"), Credentials::sigv4("key", "hush", "us-east-1")] {
            let printed = format!("{credentials:?}");

            assert!(!printed.contains("hush") && !printed.contains("key."), "{printed}");
        }
    }
}
