//! Tokens: one short line that replays a run anywhere.
//!
//! `glare1:<exhibit>:<subject>:<engine>:<payload>~<check>`. The names are percent-encoded. The payload is
//! `c<shape>.<deviations>` (the choices that are not 0, after the hash of the run's choice kinds and arities) or, for loom,
//! `l<shape>.<preemptions>.<firings>.<iteration>`. Deviations are `<distance>` or `<distance>=<answer>` in base 36, joined with
//! `-`; an answer of 1 goes unsaid. The check is a hash of everything before it.

use crate::choice::mix;
use crate::engine::Engine;
use crate::strategy::Bounds;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest token. A run with more deviations than fit is kept in a file beside its digest.
pub const TOKEN_LEN_MAX: usize = 200;

/// What replays a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The exhibit, or the name of a test.
    pub exhibit: String,
    /// The subject of the exhibit.
    pub subject: String,
    /// The engine that the run needs.
    pub engine: Engine,
    /// Which run it was.
    pub run: RunId,
}

/// Which run of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunId {
    /// The run whose choices are 0, except these: places, ascending, and answers.
    Choices {
        /// The hash of the kinds and arities of all choices of the run.
        shape: u32,
        /// Place and answer of each choice that is not 0.
        deviations: Vec<(u64, u64)>,
    },
    /// The run that loom has at this iteration within these bounds.
    Iteration {
        /// The hash of the run's steps.
        shape: u32,
        /// The bounds of the exploration.
        bounds: Bounds,
        /// The iteration, from 1.
        iteration: u64,
    },
    /// Choices too many for a line: the digest of a file that holds them.
    Digest(u64),
}

/// A token that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Another version wrote it.
    #[error("expected a token of version glare1, got `{got}`: replay it with the version that printed it")]
    Version {
        /// What stands in the version's place.
        got: String,
    },
    /// Characters are missing or were changed.
    #[error("the token is damaged: {expected}, got `{got}`")]
    Damaged {
        /// What should have been there.
        expected: &'static str,
        /// What was there.
        got: String,
    },
    /// The file that the token names is not there.
    #[error("the token names a file of choices: expected {path}, got: {why}")]
    NoFile {
        /// Where it should be.
        path: String,
        /// The system's reason.
        why: String,
    },
}

impl Token {
    /// Whether the token fits a line ([`TOKEN_LEN_MAX`]).
    pub fn fits_a_line(&self) -> bool {
        self.to_string().len() <= TOKEN_LEN_MAX
    }

    /// The token as one line: itself, or, where it is too long, the digest of a file in `folder` that it is kept in.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn in_a_line(&self, folder: &Path) -> io::Result<Token> {
        if self.fits_a_line() {
            return Ok(self.clone());
        }
        let text = self.to_string();
        let digest = text.bytes().fold(0x6469_6765, |hash, byte| mix(hash, u64::from(byte)));
        std::fs::create_dir_all(folder)?;
        std::fs::write(choices_file(folder, digest), text)?;
        Ok(Token { run: RunId::Digest(digest), ..self.clone() })
    }

    /// The token itself, from its file if it names one in `folder`.
    ///
    /// # Errors
    /// [`TokenError::NoFile`], or what is wrong with the file's content.
    pub fn resolve(self, folder: &Path) -> Result<Token, TokenError> {
        let RunId::Digest(digest) = self.run else { return Ok(self) };
        let path = choices_file(folder, digest);
        let no_file = |error: io::Error| TokenError::NoFile { path: path.display().to_string(), why: error.to_string() };
        std::fs::read_to_string(&path).map_err(no_file)?.parse()
    }

    fn body(&self) -> String {
        let payload = match &self.run {
            RunId::Choices { shape, deviations } => {
                let mut items = Vec::with_capacity(deviations.len());
                let mut last = 0;
                for &(place, answer) in deviations {
                    let distance = base36(place - last);
                    items.push(if answer == 1 { distance } else { format!("{distance}={}", base36(answer)) });
                    last = place;
                }
                format!("c{shape:08x}.{}", items.join("-"))
            }
            RunId::Iteration { shape, bounds, iteration } => {
                let preemptions = bounds.preemptions.map_or("u".to_owned(), |bound| bound.to_string());
                format!("l{shape:08x}.{preemptions}.{}.{}", bounds.firings, base36(*iteration))
            }
            RunId::Digest(digest) => format!("d{digest:016x}"),
        };
        format!("glare1:{}:{}:{}:{payload}", encode(&self.exhibit), encode(&self.subject), self.engine)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}~{:04x}", check(&body))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let damaged = |expected| TokenError::Damaged { expected, got: text.to_owned() };
        let version = text.split(':').next().unwrap_or_default();
        if version != "glare1" {
            let known = version.strip_prefix("glare").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
            return Err(if known { TokenError::Version { got: version.to_owned() } } else { damaged("expected `glare1:...`") });
        }
        let (body, sum) = text.rsplit_once('~').ok_or_else(|| damaged("expected `~` and four digits at its end"))?;
        if u16::from_str_radix(sum, 16) != Ok(check(body)) || sum.len() != 4 {
            return Err(damaged("expected its last four digits to match the rest"));
        }
        let fields: Vec<&str> = body.split(':').collect();
        let [_, exhibit, subject, engine, payload] = fields[..] else {
            return Err(damaged("expected five fields"));
        };
        Ok(Token {
            exhibit: decode(exhibit).ok_or_else(|| damaged("expected a percent-encoded exhibit"))?,
            subject: decode(subject).ok_or_else(|| damaged("expected a percent-encoded subject"))?,
            engine: engine.parse().map_err(|_| damaged("expected an engine"))?,
            run: run_id(payload).ok_or_else(|| damaged("expected a payload"))?,
        })
    }
}

fn run_id(payload: &str) -> Option<RunId> {
    if let Some(digest) = payload.strip_prefix('d') {
        return u64::from_str_radix(digest, 16).ok().map(RunId::Digest);
    }
    if let Some(rest) = payload.strip_prefix('c') {
        let (shape, rest) = rest.split_once('.')?;
        let mut deviations = Vec::new();
        let mut last = 0u64;
        for item in rest.split('-').filter(|item| !item.is_empty()) {
            let (distance, answer) = item.split_once('=').unwrap_or((item, "1"));
            last = last.checked_add(u64::from_str_radix(distance, 36).ok()?)?;
            deviations.push((last, u64::from_str_radix(answer, 36).ok()?));
        }
        return Some(RunId::Choices { shape: u32::from_str_radix(shape, 16).ok()?, deviations });
    }
    let fields: Vec<&str> = payload.strip_prefix('l')?.split('.').collect();
    let [shape, preemptions, firings, iteration] = fields[..] else { return None };
    Some(RunId::Iteration {
        shape: u32::from_str_radix(shape, 16).ok()?,
        bounds: Bounds {
            preemptions: if preemptions == "u" { None } else { Some(preemptions.parse().ok()?) },
            firings: firings.parse().ok()?,
            // Loom has no packets to harm.
            faults: Bounds::default().faults,
        },
        iteration: u64::from_str_radix(iteration, 36).ok()?,
    })
}

fn choices_file(folder: &Path, digest: u64) -> PathBuf {
    folder.join(format!("{digest:016x}.choices"))
}

fn check(body: &str) -> u16 {
    let hash = body.bytes().fold(0x746f_6b65, |hash, byte| mix(hash, u64::from(byte)));
    (hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16
}

fn base36(mut value: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize] as char);
        value /= 36;
        if value == 0 {
            return digits.iter().rev().collect();
        }
    }
}

fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.
pub mod properties {
    use super::Token;

    /// Reading never panics, and what is read is written as it was.
    pub fn reading(bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(token) = text.parse::<Token>() {
            let written = token.to_string();
            assert_eq!(written.parse(), Ok(token), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/token");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            properties::reading(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "an empty corpus shows nothing");
    }

    fn tokens() -> Vec<Token> {
        let runs = [
            RunId::Choices { shape: 0, deviations: vec![] },
            RunId::Choices { shape: 0xdead_beef, deviations: vec![(0, 1), (7, 3), (1_000_000, 40)] },
            RunId::Iteration { shape: 3, bounds: Bounds { preemptions: None, firings: 1, faults: 1 }, iteration: 77_777 },
            RunId::Iteration { shape: 3, bounds: Bounds::default(), iteration: 1 },
            RunId::Digest(u64::MAX),
        ];
        let mut tokens = Vec::new();
        for exhibit in ["double-clock-stop", "queue::tests::a b:c~d%e", "ü"] {
            for engine in Engine::ALL {
                for run in &runs {
                    tokens.push(Token { exhibit: exhibit.into(), subject: "s".into(), engine, run: run.clone() });
                }
            }
        }
        tokens
    }

    #[test]
    fn every_token_reads_back() {
        for token in tokens() {
            assert_eq!(token.to_string().parse(), Ok(token.clone()), "{token}");
            assert!(token.fits_a_line());
        }
    }

    #[test]
    fn every_distance_and_answer_reads_back() {
        // Past 36^3, so that every digit has stood in each of three places.
        for number in 0..=36 * 36 * 36 {
            for deviation in [(number, 1), (number, 2), (1, number + 1)] {
                let run = RunId::Choices { shape: 0, deviations: vec![deviation, (deviation.0 + 1, 1)] };
                let token = Token { exhibit: "e".into(), subject: "s".into(), engine: Engine::Shuttle, run };
                assert_eq!(token.to_string().parse(), Ok(token.clone()), "{token}");
            }
        }
    }

    #[test]
    fn every_damaged_character_is_noticed() {
        for token in tokens() {
            let text = token.to_string();
            for (place, _) in text.char_indices() {
                for replacement in ["", "0", "f", "~", ":", "é"] {
                    let damaged = format!("{}{replacement}{}", &text[..place], &text[place + 1..]);
                    if damaged.to_lowercase() != text.to_lowercase() {
                        assert_ne!(damaged.parse().ok(), Some(token.clone()), "{damaged}");
                        assert!(damaged.parse::<Token>().is_err(), "{damaged} of {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn another_version_says_so() {
        assert!(matches!("glare2:a:b:loom:x".parse::<Token>(), Err(TokenError::Version { .. })));
        assert!(matches!("hello".parse::<Token>(), Err(TokenError::Damaged { .. })));
    }
}
