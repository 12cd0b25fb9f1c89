//! What is shown of a call: live lines while it goes on, and its sum.

use serde::Serialize;
use stack::media::stream::StreamReport;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// What fits on a line of any terminal: one that wraps could not be written over.
const COLUMNS: usize = 79;

/// Where things are shown: one line that changes on a terminal, a line each elsewhere.
pub(super) struct Board {
    on_terminal: bool,
    has_live: bool,
}

impl Board {
    pub(super) fn new() -> Self {
        Board { on_terminal: std::io::stdout().is_terminal(), has_live: false }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: impl fmt::Display) {
        let before = if std::mem::take(&mut self.has_live) { "\r\x1b[K" } else { "" };
        let mut out = std::io::stdout().lock();
        // A call that nobody looks at goes on.
        let _ = writeln!(out, "{before}{text}").and_then(|()| out.flush());
    }

    /// What goes on, in place of what did before.
    pub(super) fn show(&mut self, going: &Going<'_>) {
        if !self.on_terminal {
            return self.say(going);
        }
        self.has_live = true;
        let line: String = going.to_string().chars().take(COLUMNS).collect();
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
    }
}

/// A call that goes on.
pub(super) struct Going<'a> {
    pub(super) since: Duration,
    pub(super) report: &'a StreamReport,
    /// What keys it, or that nothing does yet.
    pub(super) keys: &'a str,
    pub(super) last_error: Option<&'a str>,
}

impl fmt::Display for Going<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, report) = (self.since.as_secs(), self.report);
        write!(
            f,
            "{:02}:{:02} sent {}/{}B got {}/{}B lost {} jitter {:.1}ms",
            seconds / 60,
            seconds % 60,
            report.sent_packets,
            report.sent_bytes,
            report.received_packets,
            report.received_bytes,
            report.lost,
            ms(report.interarrival_jitter)
        )?;
        if let Some(round_trip) = report.round_trip {
            write!(f, " rtt {:.1}ms", ms(round_trip))?;
        }
        write!(f, " {}", self.keys)?;
        match self.last_error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}

/// A call that has ended: what `--json` writes.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sum {
    /// `call` or `answer`.
    pub(super) side: &'static str,
    /// Whether both sides talked and the call ended well.
    pub(super) ended_well: bool,
    /// What ended it, or why it failed.
    pub(super) end: String,
    pub(super) local: String,
    pub(super) peer: Option<String>,
    pub(super) keys: String,
    pub(super) talked_ms: u64,
    pub(super) sent_packets: u64,
    pub(super) sent_bytes: u64,
    pub(super) send_failed: u64,
    pub(super) received_packets: u64,
    pub(super) received_bytes: u64,
    pub(super) refused: u64,
    pub(super) lost: i64,
    pub(super) concealed: u64,
    pub(super) reports_sent: u64,
    pub(super) reports_received: u64,
    pub(super) jitter_ms: f64,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) recorded_samples: Option<u64>,
    pub(super) recording_lost_samples: Option<u64>,
    pub(super) last_error: Option<String>,
}

impl Sum {
    /// With what was counted.
    pub(super) fn counted(self, report: &StreamReport) -> Self {
        Sum {
            sent_packets: report.sent_packets,
            sent_bytes: report.sent_bytes,
            send_failed: report.send_failed,
            received_packets: report.received_packets,
            received_bytes: report.received_bytes,
            refused: report.refused,
            lost: report.lost,
            concealed: report.concealed,
            reports_sent: report.reports_sent,
            reports_received: report.rtcp.compounds,
            jitter_ms: ms(report.interarrival_jitter),
            round_trip_ms: report.round_trip.map(ms),
            ..self
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.as_deref().unwrap_or("nobody");
        writeln!(f, "talked for {:.1} s with {peer}, {}; {}", self.talked_ms as f64 / 1000.0, self.keys, self.end)?;
        writeln!(
            f,
            "sent {} packets, {} bytes, {} failed; received {} packets, {} bytes, {} refused",
            self.sent_packets, self.sent_bytes, self.send_failed, self.received_packets, self.received_bytes, self.refused
        )?;
        write!(f, "lost {}, concealed {} frames, jitter {:.1} ms", self.lost, self.concealed, self.jitter_ms)?;
        if let Some(round_trip) = self.round_trip_ms {
            write!(f, ", round trip {round_trip:.1} ms")?;
        }
        if let Some(samples) = self.recorded_samples {
            write!(f, "; recorded {samples} samples")?;
        }
        if let Some(lost) = self.recording_lost_samples.filter(|lost| *lost > 0) {
            write!(f, ", {lost} lost")?;
        }
        match &self.last_error {
            Some(error) => write!(f, "\nlast error: {error}"),
            None => Ok(()),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_there_is() {
        let mut report = StreamReport::default();
        (report.sent_packets, report.sent_bytes, report.lost) = (3, 480, -1);
        report.interarrival_jitter = Duration::from_micros(1250);
        let going = |report: &StreamReport, last_error: Option<&str>| {
            Going { since: Duration::from_secs(61), report, keys: "in clear", last_error }.to_string()
        };
        assert_eq!(going(&report, None), "01:01 sent 3/480B got 0/0B lost -1 jitter 1.2ms in clear");
        report.round_trip = Some(Duration::from_micros(700));
        let said = "01:01 sent 3/480B got 0/0B lost -1 jitter 1.2ms rtt 0.7ms in clear; no new keys";
        assert_eq!(going(&report, Some("no new keys")), said);
    }
}
