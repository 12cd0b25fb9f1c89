//! A file over UDP, one packet at a time: each is sent until it is acknowledged. `transfer.rs` is the protocol, `acks.rs` has the
//! acknowledgement with the bug and the one without.
//!
//! `cargo run -p glare-sim --example udp_transfer` runs it for real, over sockets of this machine. With `-- bare` at its end it has the
//! acknowledgement with the bug, which a network without loss does not show. The checks are in `checks.rs`, and
//! `cargo test -p glare-sim --features shuttle,turmoil --example udp_transfer` runs them.

mod acks;
#[cfg(all(test, feature = "shuttle"))]
mod checks;
mod transfer;

use acks::{Acks, Bare, Numbered};
use sim::net::{Host, UdpSocket};
use sim::sync::{Arc, Mutex};
use sim::task;
use std::io;
use transfer::{Sent, receive, send};

fn main() -> io::Result<()> {
    let file: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let (sent, arrived) = match std::env::args().nth(1).as_deref() {
        None => task::block_on(run::<Numbered>(&file))?,
        Some("bare") => task::block_on(run::<Bare>(&file))?,
        Some(other) => {
            eprintln!("expected nothing or `bare`, got `{other}`");
            std::process::exit(2);
        }
    };
    println!("{arrived} of {} bytes arrived in {} packets, {} of them sent again", file.len(), sent.packets, sent.again);
    Ok(())
}

/// Sends `file` to another host: what it took, and how many bytes arrived.
async fn run<A: Acks>(file: &[u8]) -> io::Result<(Sent, usize)> {
    let received = Arc::new(Mutex::new(Vec::new()));
    let receiver = Host::new("receiver");
    let socket = UdpSocket::bind((receiver.address(), 0).into()).await?;
    let to = socket.local_addr()?;
    let theirs = Arc::clone(&received);
    receiver.spawn("receiver", async move { receive::<A>(&socket, &theirs).await });
    let socket = UdpSocket::bind((Host::current().address(), 0).into()).await?;
    let sent = send::<A>(&socket, to, file, 1000).await?;
    let arrived = received.lock().len();
    Ok((sent, arrived))
}
