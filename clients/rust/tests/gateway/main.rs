//! The client against a gateway that is one: nothing here stands for a server that it is not.

mod broken;
mod calls;
mod files;
mod proxy;
mod server;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
