//! Plugins that do as they are told.

use stack::buffer::pool::Block;
use stack::session::{AnswerToken, Called, Channel, Engine, Line, Media};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

/// What a plugin does in a call.
pub(crate) type Act = Arc<dyn Fn(&Line, Option<AnswerToken>, Option<Block>) + Send + Sync>;

/// Media or an engine that does something of its own in some calls, and what is right in the others.
pub(crate) struct Scripted {
    script: Vec<(Called, Act)>,
    is_media: bool,
    line: Option<Line>,
    log: Log,
}

/// The calls that were made, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Called>>>);

impl Log {
    pub(crate) fn calls(&self) -> Vec<Called> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, called: Called) {
        self.0.lock().unwrap().push(called);
    }
}

impl Scripted {
    fn call(&mut self, called: Called, line: &Line, token: AnswerToken, body: Option<Block>) {
        self.log.note(called);
        self.line = Some(line.clone());
        match self.script.iter().find(|(when, _)| *when == called) {
            Some((_, act)) => act(line, Some(token), body),
            None => right(line, token, body),
        }
    }
}

/// Answers: a request with what it asked in capitals.
pub(crate) fn right(line: &Line, token: AnswerToken, body: Option<Block>) {
    let response = body.map(|mut body| {
        body.bytes_mut().make_ascii_uppercase();
        body
    });
    line.answer(token, response);
}

impl Engine for Scripted {
    fn request(&mut self, line: &Line, token: AnswerToken, body: Block) {
        self.call(Called::Request, line, token, Some(body));
    }

    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.call(Called::CloseEngine, line, token, None);
    }
}

impl Media for Scripted {
    fn close(&mut self, line: &Line, token: AnswerToken) {
        self.call(Called::CloseMedia, line, token, None);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let called = if self.is_media { Called::DropMedia } else { Called::DropEngine };
        self.log.note(called);
        let act = self.script.iter().find(|(when, _)| *when == called).map(|(_, act)| act);
        if let (Some(act), Some(line)) = (act, &self.line) {
            act(line, None, None);
        }
    }
}

/// A channel with media and an engine.
pub(crate) fn channel(log: &Log, script: Vec<(Called, Act)>) -> Channel {
    let plugin = |is_media| Box::new(Scripted { script: script.clone(), is_media, line: None, log: log.clone() });
    Channel { media: Some(plugin(true)), engine: plugin(false) }
}

/// A channel that does what is right.
pub(crate) fn sound() -> Channel {
    channel(&Log::default(), Vec::new())
}

pub(crate) fn act(act: impl Fn(&Line, Option<AnswerToken>, Option<Block>) + Send + Sync + 'static) -> Act {
    Arc::new(act)
}

/// Panics.
pub(crate) fn panics() -> Act {
    act(|_, _, _| panic!("on purpose"))
}

/// Does nothing: what it was asked it never answers.
pub(crate) fn ignores() -> Act {
    act(|_, _, _| {})
}

/// Blocks until the door is opened, then does what is right.
pub(crate) fn blocks() -> (Act, Door) {
    let (open, opened) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let (opened, entered) = (Mutex::new(opened), Mutex::new(entered));
    let blocks = act(move |line, token, body| {
        let _ = entered.lock().unwrap().send(());
        let _ = opened.lock().unwrap().recv();
        if let Some(token) = token {
            right(line, token, body);
        }
    });
    (blocks, Door { open: Some(open), has_entered })
}

/// Where a plugin blocks.
pub(crate) struct Door {
    open: Option<mpsc::Sender<()>>,
    has_entered: mpsc::Receiver<()>,
}

impl Door {
    /// Waits until somebody is at it.
    pub(crate) fn wait(&self) {
        self.has_entered.recv_timeout(crate::LONG).expect("the plugin is called");
    }

    /// Lets everybody through.
    pub(crate) fn open(&mut self) {
        self.open = None;
    }
}
