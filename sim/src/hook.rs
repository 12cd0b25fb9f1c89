//! The panic hook under an engine: keeps the message, and stops a run in which loom itself gave up.

use crate::engine::{Engine, current};
#[cfg(feature = "loom")]
use crate::kernel;
use crate::run;
use crate::trace::place;
#[cfg(feature = "loom")]
use crate::verdict::{Detector, Finding};
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    /// The message and file of a panic inside an operation of loom's.
    #[cfg(feature = "loom")]
    static IN_LOOM: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// The message and place of the last panic on this OS thread.
pub(crate) fn last_panic() -> String {
    LAST.with_borrow(Clone::clone)
}

/// Puts the hook in place, once for the process. Shuttle, which replaces the hook before its first run, is given one here.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        #[cfg(feature = "shuttle")]
        {
            std::panic::set_hook(Box::new(|_| {}));
            let scheduler = shuttle::scheduler::RoundRobinScheduler::new(1);
            shuttle::Runner::new(scheduler, Default::default()).run(|| {});
            drop(std::panic::take_hook());
        }
        std::panic::set_hook(Box::new(move |info| {
            if current() == Engine::Real && run::try_with(|_| ()).is_none() {
                before(info);
            } else {
                on_panic(info);
            }
        }));
    });
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let message = match (info.payload().downcast_ref::<&str>(), info.payload().downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_owned(),
    };
    let at = info.location().map(place).unwrap_or_default();
    #[cfg(feature = "loom")]
    if current() == Engine::Loom {
        let file = info.location().map_or("", |location| location.file());
        if kernel::is_in_loom() {
            IN_LOOM.set(Some((message.clone(), file.to_owned())));
        } else {
            fail_if_it_is_looms(&message, file);
        }
    }
    LAST.set(format!("{message} (at {at})"));
}

/// After a panic inside an operation of loom's: ends the check with what loom found.
#[cfg(feature = "loom")]
pub(crate) fn fail_if_loom_gave_up() {
    if let Some((message, file)) = IN_LOOM.take() {
        fail_if_it_is_looms(&message, &file);
    }
}

/// Loom says what it finds by panicking in the middle of its own state; to unwind the body from there would panic again and abort.
/// So the finding is sent, and this OS thread goes no further.
#[cfg(feature = "loom")]
fn fail_if_it_is_looms(message: &str, at: &str) {
    if message.starts_with("deadlock; threads") {
        run::fail(run::with(|run| run.stuck()));
    }
    if message.starts_with("Causality violation") || message.contains("Concurrent ") && message.contains("access") {
        run::fail(run::with(|run| run.loom_race()));
    }
    if message.starts_with("Reached unexpected exploration state") {
        run::fail(Finding::new(Detector::Nondeterminism, "the same choices led loom to another state"));
    }
    if message.starts_with("Model exceeded maximum number of branches") {
        run::give_up("a run had more branches than loom keeps: a loop without a bound, or a body too large for loom".to_owned());
    }
    if message.contains("self.threads.len() < self.max()") {
        run::give_up(
            "the body has more threads than loom has: five with the body's own, and one of them for timed waits".to_owned(),
        );
    }
    if at.contains("/loom-") || at.contains("\\loom-") || message.contains("[loom internal bug]") {
        run::give_up(format!("loom could not go on: {message}"));
    }
}
