//! One line for a test: [`model`].

use super::Check;
use super::carrier::Body;
use crate::engine::Engine;
use crate::token::Token;
use crate::verdict::Verdict;
use std::io::Write as _;
use std::sync::Arc;

/// The engine that a build without shuttle falls back on.
const DEFAULT_ENGINE: Engine = if cfg!(feature = "shuttle") { Engine::Shuttle } else { Engine::Loom };

/// How many lines of a timeline are shown.
pub const TIMELINE_LINES: usize = 55;

/// Explores `body` and panics with a token if something is found: the one line for a test.
///
/// With `GLARE_REPLAY=<token>` in the environment, a test of that name replays that run only, and others say that it is not
/// theirs; with `GLARE_HTML=<file>` too, it leaves the run there as a page ([`crate::trace::page`]). `GLARE_SCHEDULES=N` and
/// `GLARE_SEED=N` override the budget (1,000 schedules) and the seed (0).
///
/// # Panics
/// If something is found, with the finding, the timeline and the token; or if the token does not fit.
#[track_caller]
pub fn model(body: impl Fn() + Send + Sync + 'static) {
    let name = std::thread::current().name().unwrap_or("model").to_owned();
    let body: Body = Arc::new(body);
    let again = Arc::clone(&body);
    let mut check = Check::new(name.clone(), "model", DEFAULT_ENGINE);
    if let Ok(text) = std::env::var("GLARE_REPLAY") {
        let token: Token = text.parse().unwrap_or_else(|error| panic!("GLARE_REPLAY: {error}"));
        if token.exhibit == name {
            check.engine = token.engine;
            let replay = check.replay(&token, true, move || body()).unwrap_or_else(|error| panic!("GLARE_REPLAY: {error}"));
            if let Some(file) = std::env::var_os("GLARE_HTML") {
                let page = crate::trace::page(&token, &replay);
                std::fs::write(&file, page).unwrap_or_else(|error| panic!("GLARE_HTML: {}: {error}", file.display()));
            }
            let timeline = replay.trace.map(|trace| trace.timeline(TIMELINE_LINES)).unwrap_or_default();
            match replay.verdict {
                Verdict::Clean => return,
                verdict => panic!("{timeline}\n{verdict}\nreplayed {text}"),
            }
        }
        // To the stream itself, as the harness holds back what a test prints that passes.
        let _ = writeln!(std::io::stderr(), "GLARE_REPLAY is of `{}`: `{name}` explores as without it", token.exhibit);
    }
    let number = |name: &str| {
        std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|error| panic!("{name}: {error}, got `{text}`")))
    };
    check = check.seed(number("GLARE_SEED").unwrap_or(0));
    if check.engine == Engine::Shuttle {
        check = check.schedules(number("GLARE_SCHEDULES").unwrap_or(1_000));
    }
    let report = check.run(move || body());
    match (&report.verdict, &report.token) {
        (Verdict::Clean, _) => {}
        (verdict, Some(token)) => {
            let replay = check.replay(token, true, move || again());
            let timeline =
                replay.ok().and_then(|replay| replay.trace).map(|trace| trace.timeline(TIMELINE_LINES)).unwrap_or_default();
            panic!(
                "{timeline}\n{verdict}\nafter {} schedules; replay it with\nGLARE_REPLAY='{token}' cargo test {name}",
                report.schedules
            );
        }
        (verdict, None) => panic!("{verdict} (after {} schedules)", report.schedules),
    }
}
