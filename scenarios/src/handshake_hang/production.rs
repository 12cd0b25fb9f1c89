//! Our streams in the same place: the production code itself, on tasks, with a peer that does its handshake of DTLS over a network.

use super::{Transport, wait_twice};
use crate::inputs::one_of;
use crate::task_stream_setup::{start_dtls, stop};
use sim::invariant;
use sim::net::{self, Host, Link};
use sim::sync::Arc;
use sim::task;
use sim::time::{self, Duration, Instant};
use stack::dtls::{DtlsError, Role};
use stack::media::stream::{StreamError, TaskStream};
use stack::media::transport::TransportError;
use std::net::SocketAddr;

const PORT: u16 = 5_004;
/// How long the waiters would wait: nobody does who is woken.
const PATIENCE: Duration = Duration::from_secs(3_600);
const SLOWNESS: Duration = Duration::from_secs(5);
/// What a handshake takes at the most, however slow the processor.
const OVER_BY: Duration = Duration::from_secs(300);

/// What the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answers,
    /// The handshake fails.
    Nothing,
}

pub(super) struct Production {
    stream: TaskStream,
    there: SocketAddr,
    peer: Host,
}

/// It is over, and who waited for that was not left to its patience.
async fn opened(stream: &TaskStream) -> Result<(), StreamError> {
    let began = Instant::now();
    let opened = stream.opened(PATIENCE).await;
    let waited = began.elapsed();
    invariant!(waited < OVER_BY, "nobody has woken who waited, and after {waited:?} it was {opened:?}");
    opened
}

impl Transport for Production {
    async fn open() -> Arc<Self> {
        let link = Link::timed(Duration::from_millis(10), Duration::from_millis(10)).expect("a link can be so");
        net::set_link(&link).expect("the engine has links");
        // However slow the processor, a patience of an hour is not over before a handshake is.
        time::bound_slowness(SLOWNESS);
        let peer = Host::new("peer");
        let [here, there] = [Host::current().address(), peer.address()].map(|address| SocketAddr::new(address, PORT));
        let stream = start_dtls(Role::Client, here, there).await;
        Arc::new(Production { stream, there, peer })
    }

    async fn read(&self) {
        let (here, there) = (SocketAddr::new(Host::current().address(), PORT), self.there);
        let served = self.peer.spawn("peer", async move {
            let stream = start_dtls(Role::Server, there, here).await;
            let opened = opened(&stream).await;
            stop(&stream).await;
            opened
        });
        let opened = served.await.expect("nobody aborts it");
        let is_over = match &opened {
            Ok(()) | Err(StreamError::Ended) => true,
            Err(StreamError::Transport(TransportError::Dtls(error))) => {
                matches!(error, DtlsError::Deadline { .. } | DtlsError::Closed)
            }
            Err(_) => false,
        };
        invariant!(is_over, "the peer's handshake ends as {opened:?}");
    }

    async fn opened(&self) {
        let opened = opened(&self.stream).await;
        let is_over = match &opened {
            Ok(()) | Err(StreamError::Ended) => true,
            Err(StreamError::Transport(TransportError::Dtls(error))) => {
                matches!(error, DtlsError::Deadline { .. } | DtlsError::Closed)
            }
            Err(_) => false,
        };
        invariant!(is_over, "the handshake ends as {opened:?}");
    }

    async fn stop(&self) {
        stop(&self.stream).await;
    }
}

/// Two wait, the peer answers or does not, and the stream is stopped at any moment.
pub(super) fn any() {
    let does = one_of(&[Does::Answers, Does::Nothing]);
    let stops_after = one_of(&[None, Some(Duration::ZERO), Some(Duration::from_millis(10)), Some(Duration::from_millis(40))]);
    task::block_on(async move {
        let transport = Production::open().await;
        let waiters = wait_twice(&transport);
        let theirs = Arc::clone(&transport);
        let reader = task::try_spawn("reader", async move {
            if does == Does::Answers {
                theirs.read().await;
            }
        });
        let reader = reader.expect("the engine has tasks");
        if let Some(after) = stops_after {
            time::sleep_for(after).await;
            transport.stop().await;
        }
        for task in waiters.into_iter().chain([reader]) {
            task.await.expect("nobody aborts it");
        }
        transport.stop().await;
    });
}

pub(super) fn in_sequence() {
    super::drive_in_sequence::<Production>();
}
