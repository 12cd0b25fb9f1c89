//! The protocol: stop and wait.

use crate::acks::Acks;
use sim::net::UdpSocket;
use sim::sync::Mutex;
use sim::time::{self, Duration, Instant};
use std::io;
use std::net::SocketAddr;

/// What it took.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Packets, those that were sent again included.
    pub(crate) packets: u32,
    pub(crate) again: u32,
}

/// How long an acknowledgement is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
/// How often a packet is sent at the most.
const ATTEMPTS: u32 = 5;

/// Sends `bytes` in packets of so many, each with its number before them, and each until it is acknowledged.
///
/// # Errors
/// `TimedOut` if one was not; then some of the bytes may have arrived. Else the socket's.
pub(crate) async fn send<A: Acks>(socket: &UdpSocket, to: SocketAddr, bytes: &[u8], each: usize) -> io::Result<Sent> {
    let mut sent = Sent { packets: 0, again: 0 };
    for (number, part) in (0..).zip(bytes.chunks(each)) {
        let packet = [u32::to_be_bytes(number).as_slice(), part].concat();
        let mut attempt = 0;
        loop {
            socket.send_to(&packet, to).await?;
            sent.packets += 1;
            if is_acknowledged::<A>(socket, to, number).await? {
                break;
            }
            attempt += 1;
            if attempt == ATTEMPTS {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sent.again += 1;
        }
    }
    Ok(sent)
}

/// Whether the packet's acknowledgement comes in time.
async fn is_acknowledged<A: Acks>(socket: &UdpSocket, to: SocketAddr, number: u32) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let mut datagram = [0; 64];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(received) = time::timeout(left, socket.recv_from(&mut datagram)).await else { return Ok(false) };
        let (length, from) = received?;
        if from == to && A::says(&datagram[..length], number) {
            return Ok(true);
        }
    }
}

/// Receives into `received` for ever.
pub(crate) async fn receive<A: Acks>(socket: &UdpSocket, received: &Mutex<Vec<u8>>) {
    let mut packet = [0; 1500];
    let mut next = 0;
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let Some((number, part)) = packet[..length].split_first_chunk() else { continue };
        let number = u32::from_be_bytes(*number);
        if number == next {
            received.lock().extend_from_slice(part);
            next += 1;
        }
        // One that was had before is acknowledged again, as its acknowledgement may have been lost.
        if number < next && socket.send_to(&A::of(number), from).await.is_err() {
            return;
        }
    }
}
