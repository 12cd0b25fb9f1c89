//! A session that threads share: one side protects, the other unprotects, and keys come and go meanwhile.

use super::{Counters, MasterKey, Policy, Receiver, Sender, SrtpError};
use crate::buffer::Mbuf;
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// The sending and the receiving side of one transport. Clones are the same session.
///
/// Until it is keyed, and again after [`Session::stop`], every packet is refused: there is no state in which one passes in clear.
/// Methods may be called from any thread at any time, stop and rekey beside packets included: a context is never gone while a packet
/// is in it, since the packet has its lock.
///
/// Each side has a lock of its own, which a call takes for as long as it works on its packets, and no call has both. Nothing is called
/// with a lock held, so they may be taken under any lock of the caller's.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sending: Mutex<Side<Sender>>,
    receiving: Mutex<Side<Receiver>>,
}

#[derive(Debug)]
struct Side<T> {
    context: Option<Context<T>>,
    /// What was counted in contexts that are gone, and between them.
    before: Counters,
}

/// A sender or receiver that the ledger knows.
#[derive(Debug)]
struct Context<T> {
    side: T,
    resource: ResourceId,
}

impl<T> Drop for Context<T> {
    fn drop(&mut self) {
        ledger::release(self.resource);
    }
}

impl Default for Session {
    fn default() -> Self {
        Session::new()
    }
}

impl Session {
    /// A session without keys.
    pub fn new() -> Self {
        fn side<T>() -> Mutex<Side<T>> {
            Mutex::new(Side { context: None, before: Counters::default() })
        }
        Session { shared: Arc::new(Shared { sending: side(), receiving: side() }) }
    }

    /// Keys both sides, from nothing: streams, rollover counters and replay windows begin anew. A session that goes on with new keys
    /// wants [`Session::rekey`].
    ///
    /// # Errors
    /// Those of [`Sender::new`]. Then both sides are as they were.
    #[track_caller]
    pub fn key(&self, policy: &Policy, sending: &[MasterKey], receiving: &[MasterKey]) -> Result<(), SrtpError> {
        let sender = Sender::new(policy.clone(), sending)?;
        let receiver = Receiver::new(policy.clone(), receiving)?;
        replace(&self.shared.sending, Some(sender), Sender::counters);
        replace(&self.shared.receiving, Some(receiver), Receiver::counters);
        Ok(())
    }

    /// Goes on with new keys on both sides: see [`Sender::rekey`] and [`Receiver::rekey`]. The receiving side is first, so that it
    /// knows the keys of all that the peer may answer.
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Sender::new`]. Then both sides are as they were, or, if `sending` is at fault, the
    /// receiving side knows the new keys and the old.
    pub fn rekey(&self, sending: &[MasterKey], receiving: &[MasterKey]) -> Result<(), SrtpError> {
        self.shared.receiving.lock().context()?.rekey(receiving)?;
        self.shared.sending.lock().context()?.rekey(sending)
    }

    /// Ends both sides: keys are zeroised, and packets are refused. May come twice, or beside anything. Returns whether it was keyed.
    pub fn stop(&self) -> bool {
        let sent = replace(&self.shared.sending, None, Sender::counters);
        let received = replace(&self.shared.receiving, None, Receiver::counters);
        sent || received
    }

    /// [`Sender::protect`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Sender::protect`]: the packet must not be sent.
    pub fn protect(&self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.shared.sending.lock().context()?.protect(packet)
    }

    /// [`Sender::protect_batch`].
    pub fn protect_batch(&self, packets: &mut [Mbuf], results: &mut Vec<Result<(), SrtpError>>) {
        self.shared.sending.lock().each(packets, results, Sender::protect_batch);
    }

    /// [`Receiver::unprotect`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Receiver::unprotect`]: the packet must not be used.
    pub fn unprotect(&self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.shared.receiving.lock().context()?.unprotect(packet)
    }

    /// [`Receiver::unprotect_batch`].
    pub fn unprotect_batch(&self, packets: &mut [Mbuf], results: &mut Vec<Result<(), SrtpError>>) {
        self.shared.receiving.lock().each(packets, results, Receiver::unprotect_batch);
    }

    /// What became of the packets of each side, since the session was made.
    pub fn counters(&self) -> (Counters, Counters) {
        let sent = self.shared.sending.lock().counters(Sender::counters);
        (sent, self.shared.receiving.lock().counters(Receiver::counters))
    }
}

impl<T> Side<T> {
    /// The context, which is used. None is counted.
    fn context(&mut self) -> Result<&mut T, SrtpError> {
        match &mut self.context {
            Some(context) => {
                ledger::touch(context.resource);
                Ok(&mut context.side)
            }
            None => {
                let refused = Err(SrtpError::NotKeyed);
                self.before.count(&refused);
                refused.map(|()| unreachable!("it is an error"))
            }
        }
    }

    fn each(
        &mut self,
        packets: &mut [Mbuf],
        results: &mut Vec<Result<(), SrtpError>>,
        batch: fn(&mut T, &mut [Mbuf], &mut Vec<Result<(), SrtpError>>),
    ) {
        if self.context.is_some() {
            let context = self.context().expect("it was there just now, and the lock is held");
            return batch(context, packets, results);
        }
        results.clear();
        for _ in packets {
            results.push(self.context().map(|_| ()));
        }
    }

    fn counters(&self, of: fn(&T) -> &Counters) -> Counters {
        let mut sum = self.before;
        if let Some(context) = &self.context {
            sum.add(of(&context.side));
        }
        sum
    }
}

/// Puts another context in place of the one that is there, which ends while nothing can use it. Returns whether there was one.
#[track_caller]
fn replace<T>(side: &Mutex<Side<T>>, context: Option<T>, counters: fn(&T) -> &Counters) -> bool {
    let context = context.map(|side| Context { side, resource: ledger::register("SRTP context") });
    let previous = {
        let mut side = side.lock();
        side.before = side.counters(counters);
        std::mem::replace(&mut side.context, context)
    };
    previous.is_some()
}
