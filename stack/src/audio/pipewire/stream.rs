//! A stream of PipeWire's, on the loop thread.

use super::super::stream::{End, Strand, StreamShared};
use super::super::thread_loop::LoopGuard;
use super::super::{DeviceId, Direction, StreamConfig, StreamState};
use super::directory::{Dying, Ending, Opening, Target};
use super::port::{Halt, Slot};
use super::server::{Ear, Heard, PortFacts};
use super::{Links, PipeWireShared};
use ::pipewire as pw;
use pw::proxy::ProxyT;
use pw::spa;
use pw::spa::param::audio::AudioFormat;
use pw::stream::{Stream, StreamFlags, StreamListener};
use sim::sync::Arc;
use std::io::Cursor;
use std::rc::Rc;

/// No node.
const ID_NONE: u32 = u32::MAX;
/// The first of the channels that are nothing but numbered.
const AUX: u32 = spa::sys::SPA_AUDIO_CHANNEL_AUX0;
const TARGET_OBJECT: &str = "target.object";
const AUTO_PORT_CONFIG: &str = "adapter.auto-port-config";

/// Fields are dropped in this order: what PipeWire calls goes before what it calls from.
pub(super) struct LiveStream {
    number: u64,
    target: Target,
    of_monitor: bool,
    stated: Arc<StreamShared>,
    slot: Arc<Slot>,
    ending: Option<Ending>,
    /// It was told that it is connected.
    was_there: bool,
    links: Vec<LiveLink>,
    _process: StreamListener<()>,
    _states: StreamListener<()>,
    stream: pw::stream::StreamRc,
}

struct LiveLink {
    _errors: pw::proxy::ProxyListener,
    _link: pw::link::Link,
}

impl LiveStream {
    /// Has PipeWire make a stream, or says why the strand is to end.
    pub(super) fn open(
        core: &pw::core::CoreRc,
        shared: &Arc<PipeWireShared>,
        heard: &Ear,
        number: u64,
        (target, of_monitor): (Target, bool),
        opening: Opening,
    ) -> Result<LiveStream, (Strand, Ending)> {
        let Opening { direction, config, strand, .. } = opening;
        let stated = Arc::clone(strand.stream());
        let slot = Slot::new(shared, strand);
        let properties = properties(shared.config.links, &target, of_monitor, direction, config);
        let made = make(core, properties, heard, number, &slot).and_then(|made| {
            connect(&made.2, shared.config.links, direction, config)?;
            Ok(made)
        });
        match made {
            Ok((process, states, stream)) => Ok(LiveStream {
                number,
                target,
                of_monitor,
                stated,
                slot,
                ending: None,
                was_there: false,
                links: Vec::new(),
                _process: process,
                _states: states,
                stream,
            }),
            // It was never connected, so that no process runs, and the strand is there.
            Err(error) => match slot.halt() {
                Halt::Quiet(Some(strand)) => Err((strand, Ending::Because(error.to_string()))),
                Halt::Quiet(None) | Halt::Runs => unreachable!("a stream that is not connected has no period"),
            },
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn device(&self) -> DeviceId {
        self.stated.device()
    }

    /// PipeWire says what the stream does.
    pub(super) fn comes_to(&mut self, guard: &LoopGuard<'_>, state: pw::stream::StreamState) {
        let state = match state {
            pw::stream::StreamState::Paused => StreamState::Paused,
            pw::stream::StreamState::Streaming => StreamState::Streaming,
            pw::stream::StreamState::Error(why) => return self.end(Ending::Because(why)),
            pw::stream::StreamState::Unconnected if self.was_there => {
                return self.end(Ending::Because("the daemon has taken the stream away".to_owned()));
            }
            pw::stream::StreamState::Unconnected | pw::stream::StreamState::Connecting => return,
        };
        self.was_there = true;
        self.stated.come_to(guard, state);
        StreamShared::rouse(&self.stated);
    }

    /// It is to end. The first reason stands.
    pub(super) fn end(&mut self, why: Ending) {
        self.ending.get_or_insert(why);
    }

    /// It is to end as all do. That comes before what PipeWire said of it, and after what we did.
    pub(super) fn end_with_all(&mut self, why: Ending) {
        if !matches!(self.ending, Some(Ending::As(_))) {
            self.ending = Some(why);
        }
    }

    /// Whether it is to end, and its process does not run now and never will.
    pub(super) fn is_over(&mut self) -> bool {
        if self.ending.is_none() && self.stated.is_closing() {
            self.ending = Some(Ending::As(End::Closed));
        }
        self.ending.is_some() && self.slot.is_quiet()
    }

    /// Ends it, and waits for its process if it runs.
    pub(super) fn take_apart(mut self, guard: &LoopGuard<'_>) {
        self.links.clear();
        // Its node is taken off the data thread, and a period that goes on there is waited for. Otherwise it fails only if there is none.
        let _ = self.stream.disconnect();
        let why = self.ending.take().unwrap_or(Ending::As(End::Closed));
        if let Halt::Quiet(Some(strand)) = self.slot.halt() {
            Dying::later(guard, strand, why);
        }
    }

    /// Links it to its device, if it is not and the ports are there.
    pub(super) fn link(&mut self, core: &pw::core::CoreRc, ports: &[PortFacts], heard: &Ear) -> Result<(), String> {
        let node = self.stream.node_id();
        if !self.links.is_empty() || self.ending.is_some() || node == ID_NONE {
            return Ok(());
        }
        let plays = self.stated.direction() == Direction::Playback;
        let ours = in_order(ports, |port| port.node == node && port.is_output == plays && !port.is_monitor);
        let of_device =
            |port: &PortFacts| port.node == self.target.global && port.is_output != plays && port.is_monitor == self.of_monitor;
        let theirs = in_order(ports, of_device);
        if ours.len() < usize::from(self.stated.config().channels) || theirs.is_empty() {
            return Ok(());
        }
        // Where the one has fewer channels, each of its own is linked to several.
        for index in 0..ours.len().max(theirs.len()) {
            let (our, their) = (ours[index % ours.len()], theirs[index % theirs.len()]);
            let (from, to) = if plays { (our, their) } else { (their, our) };
            self.links.push(LiveLink::new(core, from, to, self.number, heard)?);
        }
        Ok(())
    }
}

impl LiveLink {
    fn new(core: &pw::core::CoreRc, from: &PortFacts, to: &PortFacts, number: u64, heard: &Ear) -> Result<Self, String> {
        let properties = pw::properties::properties! {
            *pw::keys::LINK_OUTPUT_NODE => from.node.to_string(),
            *pw::keys::LINK_OUTPUT_PORT => from.global.to_string(),
            *pw::keys::LINK_INPUT_NODE => to.node.to_string(),
            *pw::keys::LINK_INPUT_PORT => to.global.to_string(),
        };
        let link: pw::link::Link = core.create_object("link-factory", &properties).map_err(|error| error.to_string())?;
        let heard = Rc::clone(heard);
        let errors = link.upcast_ref().add_listener_local();
        let errors = errors.error(move |_, _, why| {
            heard.borrow_mut().push(Heard::Link { number, why: format!("no link to the device: {why}") });
        });
        Ok(LiveLink { _errors: errors.register(), _link: link })
    }
}

fn in_order(ports: &[PortFacts], is_wanted: impl Fn(&PortFacts) -> bool) -> Vec<&PortFacts> {
    let mut found: Vec<_> = ports.iter().filter(|port| is_wanted(port)).collect();
    found.sort_by_key(|port| port.index);
    found
}

/// What is called on PipeWire's data thread must be `Send`, which the crate does not ask for.
fn for_data_thread<F: FnMut(&Stream, &mut ()) + Send + 'static>(process: F) -> F {
    process
}

fn make(
    core: &pw::core::CoreRc,
    properties: pw::properties::PropertiesBox,
    heard: &Ear,
    number: u64,
    slot: &Arc<Slot>,
) -> Result<(StreamListener<()>, StreamListener<()>, pw::stream::StreamRc), pw::Error> {
    let stream = pw::stream::StreamRc::new(core.clone(), "glare", properties)?;
    let heard = Rc::clone(heard);
    let states = stream.add_local_listener::<()>();
    let states = states.state_changed(move |_, (), _, state| heard.borrow_mut().push(Heard::Stream { number, state }));
    let states = states.register()?;
    let slot = Arc::clone(slot);
    let process = stream.add_local_listener::<()>().process(for_data_thread(move |stream, ()| slot.run(stream))).register()?;
    Ok((process, states, stream))
}

fn properties(
    links: Links,
    target: &Target,
    of_monitor: bool,
    direction: Direction,
    config: StreamConfig,
) -> pw::properties::PropertiesBox {
    let mut properties = pw::properties::properties! {
        *pw::keys::MEDIA_TYPE => "Audio",
        *pw::keys::MEDIA_CATEGORY => match direction {
            Direction::Playback => "Playback",
            Direction::Capture => "Capture",
        },
        *pw::keys::NODE_NAME => "glare",
        *pw::keys::NODE_LATENCY => format!("{}/{}", config.samples_per_period, config.rate_hz),
        // A stream whose device has gone has failed, and is not moved to another.
        *pw::keys::NODE_DONT_RECONNECT => "true",
    };
    match links {
        Links::SessionManager => {
            properties.insert(TARGET_OBJECT, target.name.as_str());
            if of_monitor {
                properties.insert(*pw::keys::STREAM_CAPTURE_SINK, "true");
            }
        }
        // What a session manager would do otherwise: it gives a stream its ports.
        Links::Backend => properties.insert(AUTO_PORT_CONFIG, "{ mode = dsp position = preserve }"),
    }
    properties
}

fn connect(stream: &Stream, links: Links, direction: Direction, config: StreamConfig) -> Result<(), pw::Error> {
    let mut info = spa::param::audio::AudioInfoRaw::new();
    info.set_format(if cfg!(target_endian = "big") { AudioFormat::S16BE } else { AudioFormat::S16LE });
    info.set_rate(config.rate_hz);
    info.set_channels(u32::from(config.channels));
    let mut positions = [0; spa::param::audio::MAX_CHANNELS];
    match config.channels {
        1 => positions[0] = spa::sys::SPA_AUDIO_CHANNEL_MONO,
        2 => positions[..2].copy_from_slice(&[spa::sys::SPA_AUDIO_CHANNEL_FL, spa::sys::SPA_AUDIO_CHANNEL_FR]),
        channels => (0..u32::from(channels)).zip(&mut positions).for_each(|(n, position)| *position = AUX + n),
    }
    info.set_position(positions);
    let format = spa::pod::Value::Object(spa::pod::Object {
        type_: spa::sys::SPA_TYPE_OBJECT_Format,
        id: spa::sys::SPA_PARAM_EnumFormat,
        properties: info.into(),
    });
    let written = spa::pod::serialize::PodSerializer::serialize(Cursor::new(Vec::new()), &format);
    let bytes = written.map_err(|_| pw::Error::CreationFailed)?.0.into_inner();
    let format = spa::pod::Pod::from_bytes(&bytes).ok_or(pw::Error::CreationFailed)?;
    let mut flags = StreamFlags::MAP_BUFFERS | StreamFlags::RT_PROCESS | StreamFlags::DONT_RECONNECT;
    flags.set(StreamFlags::AUTOCONNECT, links == Links::SessionManager);
    let direction = match direction {
        Direction::Playback => spa::utils::Direction::Output,
        Direction::Capture => spa::utils::Direction::Input,
    };
    stream.connect(direction, None, flags, &mut [format])
}
