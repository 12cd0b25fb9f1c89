//! What the call is told from outside: signals, and lines of standard input.

use crate::program::Failure;
use sim::sync::asynchronous::mpsc;
use std::io::{BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest line that is read: a fingerprint, or an SDES line with keys.
const LINE_LEN_MAX: u64 = 4096;
/// How long a line is waited for, which somebody has to copy.
const LINE_WAIT: Duration = Duration::from_secs(600);
/// So many words wait; a signal more says nothing new.
const WORDS_MAX: usize = 4;

/// What was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// End the call: Ctrl-C, or SIGTERM.
    End,
    /// A line of standard input, or why there is none.
    Line(Result<Zeroizing<String>, String>),
}

/// Hears what is said.
#[derive(Debug)]
pub(super) struct Words {
    sender: mpsc::Sender<Word>,
    receiver: mpsc::Receiver<Word>,
}

impl Words {
    /// Hears signals from now on: the first is a word, the second ends the program at once. Once in a process.
    pub(super) fn new() -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(WORDS_MAX);
        let (of_signals, is_second) = (sender.clone(), AtomicBool::new(false));
        let told = move || {
            if is_second.swap(true, Ordering::SeqCst) {
                eprintln!("\nglare: expected the call to end by itself, got a second signal");
                std::process::exit(1);
            }
            let _ = of_signals.try_send(Word::End);
        };
        ctrlc::set_handler(told).map_err(|error| Failure::System(format!("Ctrl-C could not be waited for: {error}")))?;
        Ok(Words { sender, receiver })
    }

    /// The next word. It never ends, as there may be a signal at any time.
    pub(super) async fn next(&mut self) -> Word {
        // One sender is kept here.
        self.receiver.recv().await.unwrap_or(Word::End)
    }

    /// A line of standard input. Nothing if the call is to end before it comes.
    ///
    /// # Errors
    /// [`Failure::Usage`] of a line that is too long, of none, or of none in time.
    pub(super) async fn line(&mut self, expected: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        let sender = self.sender.clone();
        // A thread, as standard input can be read in no other way; it lasts as long as the program if nothing comes.
        std::thread::spawn(move || sender.try_send(Word::Line(read_line(&mut std::io::stdin().lock()))));
        let refused = |got: &str| Failure::Usage(format!("expected {expected} on standard input, got {got}"));
        match sim::time::timeout(LINE_WAIT, self.next()).await {
            Ok(Word::End) => Ok(None),
            Ok(Word::Line(Ok(line))) => Ok(Some(line)),
            Ok(Word::Line(Err(why))) => Err(refused(&why)),
            Err(_) => Err(refused(&format!("nothing for {LINE_WAIT:?}"))),
        }
    }
}

/// The next line that is not empty.
fn read_line(from: &mut impl BufRead) -> Result<Zeroizing<String>, String> {
    // With room for all of it, so that no key is left behind where it was before it grew.
    let mut line = Zeroizing::new(String::with_capacity(LINE_LEN_MAX as usize + 1));
    loop {
        let len = from.by_ref().take(LINE_LEN_MAX + 1).read_line(&mut line).map_err(|error| error.to_string())?;
        if len as u64 > LINE_LEN_MAX {
            return Err(format!("a line of more than {LINE_LEN_MAX} bytes"));
        }
        if len == 0 {
            return Err("its end".to_owned());
        }
        if !line.trim().is_empty() {
            return Ok(Zeroizing::new(line.trim().to_owned()));
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_has_a_limit() {
        let read = |mut text: &[u8]| read_line(&mut text).map(|line| line.to_string());
        assert_eq!(read(b"\n  \nsha-256 AB \r\nmore"), Ok("sha-256 AB".to_owned()));
        assert_eq!(read(b"no newline"), Ok("no newline".to_owned()));
        assert_eq!(read(b"\n"), Err("its end".to_owned()));
        let longest = "x".repeat(LINE_LEN_MAX as usize - 1);
        assert_eq!(read(format!("{longest}\n").as_bytes()), Ok(longest.clone()));
        assert_eq!(read(format!("{longest}xx").as_bytes()), Err("a line of more than 4096 bytes".to_owned()));
    }
}
