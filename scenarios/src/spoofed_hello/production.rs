//! Our stream as the server, keyed by DTLS: the production code itself. Both callers do handshakes of DTLS, each with a certificate.

use super::{Caller, Server, Who};
use crate::task_stream_setup::{self, HANDSHAKE_DEADLINE};
use sim::net::UdpSocket;
use sim::time::Instant;
use stack::dtls::{Action, Association, DtlsConfig, Fingerprints, Role};
use stack::media::stream::{Sockets, StreamEvent, TaskStream};
use stack::media::transport::{DtlsTransport, Peer, TransportEvent};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// A client of DTLS.
pub(super) struct DtlsCaller {
    association: Association,
    to_send: VecDeque<Vec<u8>>,
    is_complete: bool,
}

impl DtlsCaller {
    fn settle(&mut self) {
        while let Some(action) = self.association.poll() {
            match action {
                Action::Transmit(datagram) => self.to_send.push_back(datagram),
                Action::Keyed(_) => self.is_complete = true,
                _ => {}
            }
        }
    }
}

impl Caller for DtlsCaller {
    fn begin(who: Who, now: Instant) -> Self {
        let (config, number): (&DtlsConfig, u64) = match who {
            Who::Client => (task_stream_setup::dtls(Role::Client), 1),
            // As good a certificate as any, and not the client's.
            Who::Stranger => (task_stream_setup::dtls(Role::Server), 2),
        };
        let server: Fingerprints = task_stream_setup::fingerprint(Role::Server);
        let association = Association::new(config, Role::Client, server, number, now);
        let mut caller = DtlsCaller { association, to_send: VecDeque::new(), is_complete: false };
        caller.settle();
        caller
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front()
    }

    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        self.association.handle_datagram(datagram, now);
        self.settle();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.settle();
    }

    fn next_due(&self) -> Option<Instant> {
        self.association.next_due()
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }
}

pub(super) struct Production {
    stream: TaskStream,
}

impl Server for Production {
    type Caller = DtlsCaller;

    fn open(socket: UdpSocket, client: SocketAddr) -> Self {
        let (config, peer) = (task_stream_setup::dtls(Role::Server), Peer::muxed(client));
        let made =
            DtlsTransport::new(config, Role::Server, task_stream_setup::fingerprint(Role::Client), peer, 3, Instant::now());
        let (transport, first) = made.expect("the peer has one address for all");
        let (stream, content) = task_stream_setup::stream(Arc::new(transport));
        let stream = TaskStream::start(stream, content, Sockets::muxed(socket)).expect("the engine has tasks");
        stream.react(first);
        Production { stream }
    }

    async fn completed(&self) -> bool {
        self.stream.opened(HANDSHAKE_DEADLINE).await.is_ok()
    }

    fn turned_away(&self) -> u64 {
        self.stream.report().transport.strangers
    }

    async fn end(self) {
        while let Some(event) = self.stream.stream().next_event() {
            let is_right = matches!(event, StreamEvent::Transport(TransportEvent::Keyed { .. }));
            sim::invariant!(is_right, "a stranger makes an event: {event:?}");
        }
        let counters = self.stream.report().transport.dtls;
        let dropped = counters.map(|counters| (counters.implausible, counters.hellos_dropped));
        sim::invariant!(dropped == Some((0, 0)), "something of a stranger's has come to the handshake: {counters:?}");
        task_stream_setup::stop(&self.stream).await;
    }
}
