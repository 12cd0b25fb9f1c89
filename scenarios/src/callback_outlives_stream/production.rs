//! Our streams on tasks: the production code itself, with a source and a sink that use the device, and a peer that sends.

use super::{Device, GAP, Media};
use crate::inputs::one_of;
use sim::invariant;
use sim::ledger;
use sim::net::{self, Host, Link, UdpSocket};
use sim::sync::asynchronous::Notify;
use sim::sync::{Arc, Mutex};
use sim::task;
use sim::time::{self, Duration, Instant};
use stack::media::clock::ClockError;
use stack::media::stream::{
    Content, Payload, PayloadSink, PayloadSource, Sockets, Stream, StreamConfig, StreamError, StreamReport, TaskStream,
};
use stack::media::transport::{ClearTransport, Peer};
use stack::rtp::packet::Fields;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const PORT: u16 = 5_004;
/// What the end of a stream allows itself.
const STOP_DEADLINE: Duration = Duration::from_millis(200);
/// How long a callback waits for the device, where that is longer than the end waits.
const WAITS: Duration = Duration::from_millis(300);

/// What a task of the driver does to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Nothing, until the next tick is due.
    Pause,
    Stop,
    /// Stops, and leaves before the stop has ended.
    StopAndLeave,
    RequestStop,
    /// Its clone of the stream goes.
    Drop,
}

impl Operation {
    const ALL: [Operation; 5] =
        [Operation::Pause, Operation::Stop, Operation::StopAndLeave, Operation::RequestStop, Operation::Drop];
}

/// What the callback does to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InCallback {
    Nothing,
    Stop,
    RequestStop,
    /// It has the stream for itself, and lets it go.
    Drop,
}

/// The application's source and sink. While one of them is there, so is this.
struct Callbacks {
    device: Device,
    plan: InCallback,
    /// The stream, once it is there.
    stream: Arc<Mutex<Option<TaskStream>>>,
    gone: Arc<Notify>,
}

impl Callbacks {
    fn called(&self) {
        self.device.play();
        let stream = match self.plan {
            InCallback::Nothing => None,
            InCallback::Drop => self.stream.lock().take(),
            InCallback::Stop | InCallback::RequestStop => self.stream.lock().clone(),
        };
        let Some(stream) = stream else { return };
        match self.plan {
            InCallback::Stop => {
                // A callback cannot await, and the end has come with the call.
                if let Poll::Ready(result) = pin!(stream.stop()).poll(&mut Context::from_waker(Waker::noop())) {
                    accept(result);
                }
            }
            InCallback::RequestStop => stream.request_stop(),
            InCallback::Nothing | InCallback::Drop => {}
        }
        drop(stream);
        ledger::touch(self.device.resource);
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

struct Source(Arc<Callbacks>);

struct Sink(Arc<Callbacks>);

impl PayloadSource for Source {
    fn frame(&mut self, _wants_key_frame: bool) -> Vec<Vec<u8>> {
        self.0.called();
        vec![b"frame".to_vec()]
    }
}

impl PayloadSink for Sink {
    fn take(&mut self, _payload: Payload) {
        self.0.called();
    }
}

/// True if it has ended; false if it says that something goes on.
fn accept(result: Result<StreamReport, StreamError>) -> bool {
    match result {
        Ok(_) => true,
        Err(StreamError::Clock(ClockError::CallbackGoesOn { .. }) | StreamError::Deadline { .. }) => false,
        Err(error) => sim::violated(format!("a stream does not stop: {error}")),
    }
}

pub(super) struct Production {
    /// Until its last user has let it go.
    stream: Mutex<Option<TaskStream>>,
    gone: Arc<Notify>,
    peer: UdpSocket,
    here: SocketAddr,
}

impl Production {
    async fn with(device: Device, plan: InCallback) -> Arc<Self> {
        net::set_link(&Link::in_order()).expect("the engine has links");
        let other = Host::new("peer");
        let [here, there] = [Host::current().address(), other.address()].map(|address| SocketAddr::new(address, PORT));
        let peer = other.spawn("peer", async move { UdpSocket::bind(there).await.expect("nobody else has this port") });
        let peer = peer.await.expect("nobody aborts it");
        let (shared, gone) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
        let callbacks = Arc::new(Callbacks { device, plan, stream: Arc::clone(&shared), gone: Arc::clone(&gone) });
        let content = Content::payloads(Box::new(Source(Arc::clone(&callbacks))), Box::new(Sink(callbacks)));
        let config = StreamConfig { ssrc: 1, seed: Some(0), stop_deadline: STOP_DEADLINE, ..StreamConfig::default() };
        let transport = Arc::new(ClearTransport::new(Peer::muxed(there)));
        let stream =
            Stream::new(config, &content, transport, Instant::now()).expect("the configuration is one that a stream can have");
        let socket = UdpSocket::bind(here).await.expect("nobody else has this port");
        let stream = TaskStream::start(stream, content, Sockets::muxed(socket)).expect("the engine has tasks");
        if plan != InCallback::Nothing {
            *shared.lock() = Some(stream.clone());
        }
        Arc::new(Production { stream: Mutex::new(Some(stream)), gone, peer, here })
    }

    fn stream(&self) -> Option<TaskStream> {
        self.stream.lock().clone()
    }

    async fn perform(&self, operation: Operation) {
        if operation == Operation::Drop {
            return drop(self.stream.lock().take());
        }
        let Some(stream) = self.stream() else { return };
        match operation {
            Operation::Pause => time::sleep_for(GAP).await,
            Operation::Stop => _ = accept(stream.stop().await),
            Operation::StopAndLeave => {
                let mut stop = pin!(stream.stop());
                if let Poll::Ready(result) = poll_fn(|context| Poll::Ready(stop.as_mut().poll(context))).await {
                    accept(result);
                }
            }
            Operation::RequestStop => stream.request_stop(),
            Operation::Drop => {}
        }
    }
}

impl Media for Production {
    fn open(device: Device) -> impl Future<Output = Arc<Self>> + Send {
        Production::with(device, InCallback::Nothing)
    }

    fn packet(&self) {
        let fields = Fields { ssrc: 2, payload: b"payload", ..Fields::default() };
        let mut packet = vec![0; fields.packet_len().expect("a short packet has a length")];
        fields.write(&mut packet).expect("there is as much room as was asked for");
        // What is lost is lost.
        let _ = self.peer.try_send_to(&packet, self.here);
    }

    async fn end(&self) -> bool {
        let Some(stream) = self.stream() else {
            // Its last user has let it go: the source and the sink are gone when it has ended.
            return time::timeout(STOP_DEADLINE, self.gone.notified()).await.is_ok();
        };
        let has_ended = accept(stream.stop().await);
        if has_ended {
            let again = stream.stop().await;
            invariant!(again.is_ok() || time::has_run_ahead(), "a stream that has stopped does not stop: {again:?}");
        }
        has_ended
    }
}

pub(super) fn any() {
    let waits = one_of(&[Duration::ZERO, GAP / 4, WAITS]);
    let plan = one_of(&[InCallback::Nothing, InCallback::Stop, InCallback::RequestStop, InCallback::Drop]);
    let tasks = [(); 2].map(|()| [(); 2].map(|()| one_of(&Operation::ALL)));
    task::block_on(async move {
        let device = Device::new(waits);
        let media = Production::with(device, plan).await;
        let [own, others] = tasks;
        let theirs = Arc::clone(&media);
        let other = task::try_spawn("other", async move {
            for operation in others {
                theirs.packet();
                theirs.perform(operation).await;
            }
        });
        for operation in own {
            media.perform(operation).await;
        }
        super::end(&*media, device).await;
        other.expect("the engine has tasks").await.expect("nobody aborts it");
        // A tick that is still to come would come now.
        time::sleep_for(GAP + GAP).await;
    });
}

pub(super) fn in_sequence() {
    super::drive_in_sequence::<Production>(GAP / 4, super::PACKETS);
}
