//! The data path of a node: a thread that runs a period after the other while there are streams.

use super::super::stream::{BufferQueue, End, Strand};
use super::super::{Direction, StreamConfig};
use super::node::{Gone, Intake, Node, OpenStrand};
use crate::media::clock::{CatchUp, ClockConfig, ClockCore, ClockPoll};
use sim::sync::MutexGuard;
use sim::time::Instant;

pub(super) struct Driver {
    clock: ClockCore,
    players: Vec<(BufferQueue, Strand)>,
    recorders: Vec<(BufferQueue, Strand)>,
    /// Some stream has ended, or is to end.
    sweeps: bool,
    /// Those that have ended, and that the node does not know of yet.
    ended: usize,
    sum: Vec<i32>,
    mixed: Vec<i16>,
}

/// What the driver is to do now, without the node's lock.
enum Turn {
    Period,
    /// Some stream is to end.
    Sweep(Option<Gone>),
    End,
}

impl Driver {
    pub(super) fn new(config: StreamConfig) -> Self {
        let clock = ClockConfig {
            rate_hz: config.rate_hz,
            samples_per_tick: config.samples_per_period,
            // What a device has not been given in time it does not ask for later.
            catch_up: CatchUp::Skip,
            ..ClockConfig::default()
        };
        let samples = config.buffer_samples();
        Driver {
            clock: ClockCore::new(clock, Instant::now()).expect("a stream's rate and period are above 0, as it was validated"),
            players: Vec::new(),
            recorders: Vec::new(),
            sweeps: false,
            ended: 0,
            sum: vec![0; samples],
            mixed: vec![0; samples],
        }
    }

    /// Runs until the node has no streams.
    pub(super) fn run(mut self, node: &Node) {
        loop {
            match self.wait(node) {
                Turn::Period => self.period(),
                Turn::Sweep(gone) => self.sweep(gone),
                Turn::End => return,
            }
        }
    }

    fn wait(&mut self, node: &Node) -> Turn {
        let mut intake = node.intake.lock();
        intake.streams -= std::mem::take(&mut self.ended);
        loop {
            self.join(&mut intake);
            if self.players.is_empty() && self.recorders.is_empty() {
                Node::driver_ends(&mut intake);
                return Turn::End;
            }
            if std::mem::take(&mut intake.attention) | std::mem::take(&mut self.sweeps) || intake.gone.is_some() {
                return Turn::Sweep(intake.gone);
            }
            match self.clock.poll(Instant::now()) {
                ClockPoll::Tick(_) => return Turn::Period,
                ClockPoll::Wait(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    node.due.wait_for(&mut intake, left);
                }
            }
        }
    }

    fn join(&mut self, intake: &mut MutexGuard<'_, Intake>) {
        for OpenStrand { direction, queue, strand } in intake.joining.drain(..) {
            match direction {
                Direction::Playback => self.players.push((queue, strand)),
                Direction::Capture => self.recorders.push((queue, strand)),
            }
        }
    }

    fn period(&mut self) {
        self.sum.fill(0);
        for (queue, strand) in &mut self.players {
            self.sweeps |= !strand.run(queue);
            let sum = &mut self.sum;
            let played = queue.play(|samples| {
                sum.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += i32::from(*sample));
            });
            if !played {
                strand.stream().count_underrun();
            }
        }
        // 16 streams of 16 bits fit in 32.
        let saturated = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        self.mixed.iter_mut().zip(&self.sum).for_each(|(mixed, sum)| *mixed = saturated(*sum));
        for (queue, strand) in &mut self.recorders {
            if !queue.record(&self.mixed) {
                strand.stream().count_overrun();
            }
            self.sweeps |= !strand.run(queue);
        }
    }

    /// Ends the streams that are to end. Their processes are dropped here, without a lock.
    fn sweep(&mut self, gone: Option<Gone>) {
        for strands in [&mut self.players, &mut self.recorders] {
            strands.retain_mut(|(_, strand)| {
                let why = match gone {
                    _ if strand.stream().is_closing() => End::Closed,
                    Some(Gone::Removed) => End::Removed,
                    Some(Gone::Destroyed) => End::Destroyed,
                    None => return true,
                };
                strand.end(why);
                self.ended += 1;
                false
            });
        }
    }
}
