//! One turn of a target: libFuzzer as a process, and what it says of itself.

use crate::program::worker;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a turn came to, as far as libFuzzer said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    pub(super) executions: u64,
    pub(super) seconds: f64,
    /// Edges of the code, and features: edges, how often, and orders of steps.
    pub(super) coverage: u64,
    pub(super) features: u64,
    /// How many inputs were new.
    pub(super) new_entries: u64,
    /// It did not end by itself.
    pub(super) failed: bool,
    /// The last line that tells what went wrong.
    pub(super) last_words: String,
}

/// So long after its time a turn that has not ended is ended.
const GRACE: Duration = Duration::from_secs(60);

/// Runs libFuzzer with these arguments for at most this long. `None` if it was interrupted before it said anything.
pub(super) fn run(
    program: &Path,
    arguments: &[String],
    time: Duration,
    interrupted: &AtomicBool,
) -> std::io::Result<Option<Turn>> {
    let began = Instant::now();
    let mut command = Command::new(worker::program()?);
    command.arg("guard").arg(program).args(arguments);
    // Ctrl-C goes to the whole foreground group, and it is us who end it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let said = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut turn = Turn::default();
        let lines = said.map(|said| BufReader::new(said).lines()).into_iter().flatten().map_while(Result::ok);
        lines.for_each(|line| turn.hear(&line));
        turn
    });
    let until = began + time + GRACE;
    let mut ends_early = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted.load(Ordering::SeqCst) || Instant::now() >= until {
            ends_early = true;
            // Its end is the guard's sign.
            drop(child.stdin.take());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut turn = reader.join().unwrap_or_default();
    turn.seconds = began.elapsed().as_secs_f64();
    turn.failed = !status.success() && !ends_early;
    Ok((turn.executions > 0 || turn.failed).then_some(turn))
}

impl Turn {
    /// A line of libFuzzer's: `#123 NEW cov: 12 ft: 34 corp: 5/67b ...`, or a statistic at its end.
    fn hear(&mut self, line: &str) {
        if let Some((name, value)) = line.strip_prefix("stat::").and_then(|rest| rest.split_once(':')) {
            let value = value.trim().parse().unwrap_or(0);
            match name {
                "number_of_executed_units" => self.executions = value,
                "new_units_added" => self.new_entries = value,
                _ => {}
            }
            return;
        }
        if let Some(rest) = line.strip_prefix('#') {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let after = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                words.get(at + 1)?.parse::<u64>().ok()
            };
            let count = words.first().and_then(|count| count.parse().ok());
            self.executions = self.executions.max(count.unwrap_or(0));
            self.coverage = after("cov:").unwrap_or(self.coverage);
            self.features = after("ft:").unwrap_or(self.features);
            self.new_entries += u64::from(words.get(1) == Some(&"NEW"));
            return;
        }
        if line.starts_with("SUMMARY:") || line.contains("ERROR:") {
            self.last_words = line.trim().to_owned();
        }
    }
}

/// Runs a program until it ends or until standard input does: with the process that started this one, however that ends.
pub(crate) fn guard(program: &Path, arguments: &[String]) -> ExitCode {
    let mut child = match Command::new(program).args(arguments).stdin(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("ERROR: {} was not started: {error}", program.display());
            return ExitCode::FAILURE;
        }
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.store(true, Ordering::SeqCst);
    });
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return exit_code(status),
            Ok(None) if is_over.load(Ordering::SeqCst) => {
                // It may have ended by itself meanwhile; either way it is gone.
                let _ = child.kill();
                let _ = child.wait();
                return ExitCode::FAILURE;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return ExitCode::FAILURE,
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let mut turn = Turn::default();
        for line in [
            "INFO: seed corpus: files: 3 min: 1b max: 9b total: 12b rss: 40Mb",
            "#4\tINITED cov: 120 ft: 130 corp: 3/12b exec/s: 0 rss: 41Mb",
            "#17\tNEW    cov: 121 ft: 135 corp: 4/14b lim: 4 exec/s: 0 rss: 41Mb L: 2/9 MS: 1 ChangeBit-",
            "#256\tpulse  cov: 121 ft: 135 corp: 4/14b lim: 6 exec/s: 128 rss: 42Mb",
        ] {
            turn.hear(line);
        }
        assert_eq!((turn.executions, turn.coverage, turn.features, turn.new_entries), (256, 121, 135, 1));
        for line in
            ["stat::number_of_executed_units: 300", "stat::new_units_added:          2", "SUMMARY: libFuzzer: deadly signal"]
        {
            turn.hear(line);
        }
        assert_eq!((turn.executions, turn.new_entries), (300, 2));
        assert_eq!(turn.last_words, "SUMMARY: libFuzzer: deadly signal");
    }
}
