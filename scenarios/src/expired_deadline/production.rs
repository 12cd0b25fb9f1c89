//! Our associations, and a stream that is keyed by one: the production code itself.

use super::{End, LASTS, Outcome, PORT, Side, bind, in_time, lossy};
use crate::inputs::one_of;
use crate::task_stream_setup::{self, HANDSHAKE_DEADLINE, start_dtls, stop};
use sim::invariant;
use sim::net::{self, Host};
use sim::task;
use sim::time::{self, Duration, Instant};
use stack::dtls::{Action, Association, DtlsError, Role};
use stack::media::stream::StreamError;
use stack::media::transport::TransportError;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// An association asks for a timer so often in all that time, at the most: each attempt's, each flight's, each acknowledgement's.
const TIMEOUTS_MAX: u32 = 200;

pub(super) struct Production {
    association: Association,
    to_send: VecDeque<Vec<u8>>,
    outcome: Option<Outcome>,
    timeouts: u32,
}

/// Its role, and its peer's.
fn roles(side: Side) -> [Role; 2] {
    match side {
        Side::Client => [Role::Client, Role::Server],
        Side::Server => [Role::Server, Role::Client],
    }
}

impl Production {
    fn settle(&mut self, now: Instant) {
        while let Some(action) = self.association.poll() {
            match action {
                Action::Transmit(datagram) => self.to_send.push_back(datagram),
                Action::Keyed(_) => self.outcome = Some(Outcome::Complete),
                Action::Failed(DtlsError::Deadline { .. }) => {
                    self.outcome = Some(Outcome::TimedOut);
                    let due = self.association.next_due();
                    invariant!(due.is_none(), "it has failed and asks for a time: {due:?}");
                }
                // Who has the keys may not have heard that the other side has them.
                Action::RekeyFailed(DtlsError::Deadline { .. }) => {}
                other => sim::violated(format!("nobody has harmed or closed it: {other:?}")),
            }
        }
        let due = self.association.next_due();
        invariant!(due.is_none_or(|due| due > now), "at {now:?} it asks to be called at {due:?}");
    }
}

impl End for Production {
    fn begin(side: Side, now: Instant) -> Self {
        let [own, other] = roles(side);
        let association = Association::new(task_stream_setup::dtls(own), own, task_stream_setup::fingerprint(other), 1, now);
        let mut end = Production { association, to_send: VecDeque::new(), outcome: None, timeouts: 0 };
        end.settle(now);
        end
    }

    fn poll(&mut self) -> Option<Vec<u8>> {
        self.to_send.pop_front()
    }

    fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        self.association.handle_datagram(datagram, now);
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.timeouts += 1;
        invariant!(self.timeouts <= TIMEOUTS_MAX, "it has asked for {TIMEOUTS_MAX} timers");
        self.association.handle_timeout(now);
        self.settle(now);
    }

    fn next_due(&self) -> Option<Instant> {
        self.association.next_due()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }
}

/// A stream on tasks whose peer never answers, or answers over a link that loses. Who waits is told why it failed, and its task rests.
pub(super) fn drive_stream() {
    let answers = one_of(&[false, true]);
    net::set_link(&if answers { lossy() } else { in_time() }).expect("the engine has links");
    time::bound_slowness(super::SLOWNESS);
    task::block_on(async move {
        let other = Host::new("peer");
        let [here, there] = [Host::current().address(), other.address()].map(|address| SocketAddr::new(address, PORT));
        let peer = other.spawn("peer", async move {
            match answers {
                true => _ = run(Role::Server, there, here).await,
                false => {
                    let _socket = bind(there).await;
                    std::future::pending().await
                }
            }
        });
        let opened = run(one_of(&[Role::Client, Role::Server][..if answers { 1 } else { 2 }]), here, there).await;
        match answers {
            true => peer.await.expect("nobody aborts it"),
            false => {
                let is_deadline =
                    matches!(&opened, Err(StreamError::Transport(TransportError::Dtls(DtlsError::Deadline { .. }))));
                invariant!(is_deadline, "with nobody there it was {opened:?}");
                peer.abort();
            }
        }
    });
}

/// One side's stream, until it has come to something and rested.
async fn run(role: Role, here: SocketAddr, there: SocketAddr) -> Result<(), StreamError> {
    let _operation = sim::operation("handshake.stream", LASTS);
    let stream = start_dtls(role, here, there).await;
    let opened = stream.opened(HANDSHAKE_DEADLINE * 2).await;
    if opened.is_err() {
        let due = stream.stream().next_due();
        invariant!(due.is_none(), "it has failed and asks for a time: {due:?}");
    }
    // The peer may not have heard the last of it.
    time::sleep_for(Duration::from_secs(2)).await;
    stop(&stream).await;
    opened
}
