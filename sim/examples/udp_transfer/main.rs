//! A file over UDP, one packet at a time: each is sent until it is acknowledged. `transfer.rs` is the protocol, `acks.rs` has the
//! acknowledgement with the bug and the one without.
//!
//! `cargo run -p glare-sim --example udp_transfer` runs it for real, over sockets of this machine. The checks are in `checks.rs`, and
//! `cargo test -p glare-sim --features shuttle,turmoil --example udp_transfer` runs them.

mod acks;
#[cfg(all(test, feature = "shuttle"))]
mod checks;
mod transfer;

use acks::Numbered;
use sim::net::{Host, UdpSocket};
use sim::sync::{Arc, Mutex};
use sim::task;
use transfer::{receive, send};

fn main() -> std::io::Result<()> {
    let file: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let received = Arc::new(Mutex::new(Vec::new()));
    let sent = task::block_on(async {
        let receiver = Host::new("receiver");
        let socket = UdpSocket::bind((receiver.address(), 0).into()).await?;
        let to = socket.local_addr()?;
        let received = Arc::clone(&received);
        receiver.spawn("receiver", async move { receive::<Numbered>(&socket, &received).await });
        let socket = UdpSocket::bind((Host::current().address(), 0).into()).await?;
        send::<Numbered>(&socket, to, &file, 1000).await
    })?;
    let arrived = received.lock().len();
    println!("{arrived} of {} bytes arrived in {} packets, {} of them sent again", file.len(), sent.packets, sent.again);
    Ok(())
}
