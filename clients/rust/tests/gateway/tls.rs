//! TLS with an authority of one's own, both ways: `cargo test --features tls`.

use std::{fs, process::Command};

use rs3gw_client::{
    Client, Error,
    tonic::transport::{Certificate, ClientTlsConfig, Identity},
};

use crate::server::{Directory, Gateway};

/// An authority, and what it signed, as openssl makes them.
struct Authority(Directory);

impl Authority {
    fn new() -> Self {
        let authority = Self(Directory::new());
        authority.openssl("req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout ca.key -out ca.pem");
        authority
    }

    /// Writes a certificate for loopback, and its key.
    fn sign(&self, name: &str) {
        fs::write(self.0.file("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        self.openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -days 1 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.file("")).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn path(&self, name: &str) -> String {
        self.0.file(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.file(name)).unwrap()
    }
}

#[tokio::test]
async fn tls_is_spoken_with_whom_its_authority_signed() {
    let authority = Authority::new();
    authority.sign("gateway");
    authority.sign("client");
    let gateway = Gateway::start(&[
        ("RS3GW_GRPC_TLS_CERT", &authority.path("gateway.pem")),
        ("RS3GW_GRPC_TLS_KEY", &authority.path("gateway.key")),
        ("RS3GW_GRPC_TLS_CLIENT_CA", &authority.path("ca.pem")),
    ]);
    let address = format!("https://{}", gateway.target);
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.read("ca.pem")));
    let own = Identity::from_pem(authority.read("client.pem"), authority.read("client.key"));
    let asked = async |config: Option<ClientTlsConfig>| -> Result<usize, Error> {
        let endpoint = rs3gw_client::endpoint(&address)?;
        let endpoint = match config {
            Some(config) => endpoint.tls_config(config).unwrap(),
            None => endpoint,
        };
        let client = Client::new(endpoint.connect_lazy(), gateway.credentials()).with_attempts(1);
        client.list_buckets().await.map(|buckets| buckets.len())
    };

    assert_eq!(0, asked(Some(trusting.clone().identity(own.clone()))).await.unwrap());
    for (who, config) in [
        ("a client without a certificate", Some(trusting)),
        ("a client that trusts the world alone", None),
        ("a client that trusts nobody", Some(ClientTlsConfig::new().identity(own))),
    ] {
        assert!(matches!(asked(config).await, Err(Error::Grpc(_))), "{who} was served");
    }
}
