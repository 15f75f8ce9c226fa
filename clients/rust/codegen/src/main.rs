//! What prost and tonic make of the contract, written to the directory that is named: `rs3gw-codegen PROTO INTO`.
//!
//! The compiler of the contract is protox, so that neither this nor who uses the client needs protoc.

use std::{env, error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let [_, contract, into] = env::args().collect::<Vec<_>>().try_into().map_err(|_| "rs3gw-codegen PROTO INTO")?;
    let files = ["bucket.proto", "multipart.proto", "object.proto", "s3.proto"];
    let described = protox::compile(files, [&contract])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        // Content is passed on as it came off the wire, without a copy.
        .bytes(".s3")
        .out_dir(Path::new(&into))
        .compile_fds(described)?;
    Ok(())
}
