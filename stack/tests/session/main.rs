//! Sessions in production: real threads, real tasks, real time. What the engines prove stands in the exhibits.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the test stands outside of what is tested")]

mod bad_plugins;
mod limits;
mod plugins;
mod whole_lives;

use stack::buffer::pool::Pool;
use stack::session::{Channel, ChannelId, Session, SessionConfig, SessionTable, TableConfig};
use stack::timer::{TimerConfig, Timers};
use std::time::{Duration, Instant};

/// Real time has no deadline that a slow machine keeps, so this one only turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);
/// A deadline that a test waits out.
const SHORT: Duration = Duration::from_millis(30);

fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LONG, "what was waited for has not come in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing passes of itself.
fn patient() -> SessionConfig {
    SessionConfig {
        request_deadline: LONG,
        call_deadline: LONG,
        media_deadline: LONG,
        engine_deadline: LONG,
        drop_deadline: LONG,
        ..SessionConfig::default()
    }
}

/// Whatever does not return from a call, or answer a close, is given up soon. Not for sessions that are to live on a slow machine.
fn hasty() -> SessionConfig {
    SessionConfig { call_deadline: SHORT, media_deadline: SHORT, engine_deadline: SHORT, drop_deadline: SHORT, ..patient() }
}

fn config(session: SessionConfig) -> TableConfig {
    TableConfig { session, ..TableConfig::default() }
}

fn timers() -> Timers {
    Timers::on_thread(TimerConfig::default()).unwrap()
}

/// Runs a test on a table whose sessions work on threads, and on one whose sessions work on tasks.
fn on_both(config: TableConfig, test: impl Fn(&SessionTable)) {
    test(&SessionTable::on_threads(config, timers()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(8).enable_all().build().unwrap();
    let entered = runtime.enter();
    test(&SessionTable::on_tasks(config, timers()));
    drop(entered);
    // A plugin may be in a call still.
    runtime.shutdown_background();
}

fn pool() -> Pool {
    Pool::new("session", 1 << 16)
}

fn create(table: &SessionTable, channels: Vec<Channel>) -> Session {
    table.create(pool(), channels).unwrap()
}

/// The session serves a request on its first channel.
#[track_caller]
fn expect_served(session: &Session) {
    let mut reply = session.post(ChannelId(0), b"are you there").unwrap();
    let response = reply.wait(LONG).expect("it answers within a minute").expect("it answers").expect("with a response");
    assert_eq!(response.bytes(), b"ARE YOU THERE");
}
