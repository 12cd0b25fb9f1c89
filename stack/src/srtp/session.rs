//! A session that threads share: one side protects, the other unprotects, and keys come and go meanwhile.

use super::key_ring::KeyRing;
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
/// Each side has a lock of its own, which a call takes for as long as it works on its packets, and no call has both. What changes keys
/// has a third from its start to its end, taken before those: of two changes one is first on both sides, and no packet waits for a key
/// to be set up. Nothing of the caller's is called with a lock held, so they may be taken under any lock of the caller's.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held while keys change. Without it two changes could each have the last word on one side. The policy of both sides, if
    /// they are keyed.
    changing: Mutex<Option<Policy>>,
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
        Session { shared: Arc::new(Shared { changing: Mutex::new(None), sending: side(), receiving: side() }) }
    }

    /// Keys both sides, from nothing: streams, rollover counters and replay windows begin anew. A session that goes on with new
    /// keys wants [`Session::rekey`], and has to: were a key of `sending` one that was sent under before, indices would be used
    /// twice, and their keystreams. The receiving side is first, so that it knows the keys of all that the peer may answer.
    ///
    /// # Errors
    /// Those of [`Sender::new`]. Then both sides are as they were.
    #[track_caller]
    pub fn key(&self, policy: &Policy, sending: &[MasterKey], receiving: &[MasterKey]) -> Result<(), SrtpError> {
        let sender = Sender::new(policy.clone(), sending)?;
        let receiver = Receiver::new(policy.clone(), receiving)?;
        let mut changing = self.shared.changing.lock();
        *changing = Some(policy.clone());
        replace(&self.shared.receiving, Some(receiver), Receiver::counters);
        replace(&self.shared.sending, Some(sender), Sender::counters);
        Ok(())
    }

    /// Goes on with new keys on both sides: see [`Sender::rekey`] and [`Receiver::rekey`]. The receiving side is first, as in
    /// [`Session::key`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Sender::new`]. Then both sides are as they were.
    pub fn rekey(&self, sending: &[MasterKey], receiving: &[MasterKey]) -> Result<(), SrtpError> {
        let changing = self.shared.changing.lock();
        let policy = changing.as_ref().ok_or(SrtpError::NotKeyed)?;
        let (sending, receiving) = (KeyRing::new(policy, sending)?, KeyRing::new(policy, receiving)?);
        // Who stops the session waits for its turn to change keys: both sides have contexts.
        self.shared.receiving.lock().context().ok_or(SrtpError::NotKeyed)?.go_on_with(receiving);
        self.shared.sending.lock().context().ok_or(SrtpError::NotKeyed)?.go_on_with(sending);
        Ok(())
    }

    /// Ends both sides: keys are zeroised, and packets are refused. May come twice, or beside anything. Returns whether it was keyed.
    pub fn stop(&self) -> bool {
        let mut changing = self.shared.changing.lock();
        *changing = None;
        let sent = replace(&self.shared.sending, None, Sender::counters);
        let received = replace(&self.shared.receiving, None, Receiver::counters);
        sent || received
    }

    /// [`Sender::protect`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Sender::protect`]: the packet must not be sent.
    pub fn protect(&self, packet: &mut Mbuf) -> Result<(), SrtpError> {
        self.shared.sending.lock().for_packet()?.protect(packet)
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
        self.shared.receiving.lock().for_packet()?.unprotect(packet)
    }

    /// [`Receiver::unprotect_batch`].
    pub fn unprotect_batch(&self, packets: &mut [Mbuf], results: &mut Vec<Result<(), SrtpError>>) {
        self.shared.receiving.lock().each(packets, results, Receiver::unprotect_batch);
    }

    /// [`Sender::select_key`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], [`SrtpError::UnknownMki`].
    pub fn select_key(&self, mki: &[u8]) -> Result<(), SrtpError> {
        self.sending(|sender| sender.select_key(mki))?
    }

    /// [`Sender::packets_left`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn packets_left(&self) -> Result<(u64, u64), SrtpError> {
        self.sending(|sender| sender.packets_left())
    }

    /// [`Sender::overheads`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn overheads(&self) -> Result<(usize, usize), SrtpError> {
        self.sending(|sender| sender.overheads())
    }

    /// The rollover counter of a stream that is sent: [`Sender::roc`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn sending_roc(&self, ssrc: u32) -> Result<Option<u32>, SrtpError> {
        self.sending(|sender| sender.roc(ssrc))
    }

    /// [`Sender::set_roc`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Sender::set_roc`].
    pub fn set_sending_roc(&self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        self.sending(|sender| sender.set_roc(ssrc, roc))?
    }

    /// The rollover counter of a stream that is received: [`Receiver::roc`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn receiving_roc(&self, ssrc: u32) -> Result<Option<u32>, SrtpError> {
        self.receiving(|receiver| receiver.roc(ssrc))
    }

    /// [`Receiver::set_roc`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`], and those of [`Receiver::set_roc`].
    pub fn set_receiving_roc(&self, ssrc: u32, roc: u32) -> Result<(), SrtpError> {
        self.receiving(|receiver| receiver.set_roc(ssrc, roc))?
    }

    /// [`Sender::remove_stream`], with what it says of keystreams.
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn remove_sending_stream(&self, ssrc: u32) -> Result<bool, SrtpError> {
        self.sending(|sender| sender.remove_stream(ssrc))
    }

    /// [`Receiver::remove_stream`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn remove_receiving_stream(&self, ssrc: u32) -> Result<bool, SrtpError> {
        self.receiving(|receiver| receiver.remove_stream(ssrc))
    }

    /// [`Receiver::forget_previous_keys`].
    ///
    /// # Errors
    /// [`SrtpError::NotKeyed`].
    pub fn forget_previous_keys(&self) -> Result<(), SrtpError> {
        self.receiving(Receiver::forget_previous_keys)
    }

    /// What became of the packets of each side, since the session was made.
    pub fn counters(&self) -> (Counters, Counters) {
        let sent = self.shared.sending.lock().counters(Sender::counters);
        (sent, self.shared.receiving.lock().counters(Receiver::counters))
    }

    fn sending<R>(&self, what: impl FnOnce(&mut Sender) -> R) -> Result<R, SrtpError> {
        self.shared.sending.lock().context().map(what).ok_or(SrtpError::NotKeyed)
    }

    fn receiving<R>(&self, what: impl FnOnce(&mut Receiver) -> R) -> Result<R, SrtpError> {
        self.shared.receiving.lock().context().map(what).ok_or(SrtpError::NotKeyed)
    }
}

impl<T> Side<T> {
    /// The context, which is used.
    fn context(&mut self) -> Option<&mut T> {
        let context = self.context.as_mut()?;
        ledger::touch(context.resource);
        Some(&mut context.side)
    }

    /// The context, for a packet: one that finds none is refused, and counted.
    fn for_packet(&mut self) -> Result<&mut T, SrtpError> {
        if self.context.is_none() {
            let refused = Err(SrtpError::NotKeyed);
            self.before.count(&refused);
            refused?;
        }
        self.context().ok_or(SrtpError::NotKeyed)
    }

    fn each(
        &mut self,
        packets: &mut [Mbuf],
        results: &mut Vec<Result<(), SrtpError>>,
        batch: fn(&mut T, &mut [Mbuf], &mut Vec<Result<(), SrtpError>>),
    ) {
        if let Some(context) = self.context() {
            return batch(context, packets, results);
        }
        results.clear();
        for _ in packets {
            results.push(self.for_packet().map(|_| ()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Profile;

    fn key(number: u8) -> [MasterKey; 1] {
        [MasterKey::new(Profile::AesCm128HmacSha1_80, &[number; 16], &[7; 14]).unwrap()]
    }

    /// How often each two changes that cross are tried.
    const RACES: u32 = 300;

    #[test]
    fn a_change_of_keys_is_no_packet() {
        let session = Session::new();
        assert_eq!(session.rekey(&key(1), &key(1)), Err(SrtpError::NotKeyed));
        assert_eq!(session.counters(), (Counters::default(), Counters::default()));
        let mut packet = Mbuf::copy_of(&[0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 0, 0);
        assert_eq!(session.protect(&mut packet), Err(SrtpError::NotKeyed));
        assert_eq!((session.counters().0.not_keyed, session.counters().1.not_keyed), (1, 0));
    }

    /// What a side can be told and asked, it can through the session; without keys it says so, and that is no packet.
    #[test]
    fn a_session_says_what_its_sides_say() {
        let (policy, ssrc) = (Policy::new(Profile::AesCm128HmacSha1_80).unwrap(), 1);
        let named: Vec<MasterKey> = [1, 2].map(|number| key(number)[0].clone().with_mki(&[number]).unwrap()).into();
        let session = Session::new();
        assert_eq!(session.packets_left(), Err(SrtpError::NotKeyed));
        session.key(&policy, &named, &named).unwrap();
        assert_eq!(session.overheads(), Ok((11, 15)));
        assert_eq!((session.select_key(&[2]), session.select_key(&[3])), (Ok(()), Err(SrtpError::UnknownMki { keys: 2 })));
        session.set_sending_roc(ssrc, 3).unwrap();
        session.set_receiving_roc(ssrc, 3).unwrap();
        let mut packet = Mbuf::copy_of(&[0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, ssrc as u8], 0, 0);
        session.protect(&mut packet).unwrap();
        session.unprotect(&mut packet).unwrap();
        assert_eq!((session.sending_roc(ssrc), session.receiving_roc(ssrc)), (Ok(Some(3)), Ok(Some(3))));
        assert_eq!(
            session.packets_left(),
            Ok((crate::srtp::KeyLifetime::MAX.rtp_packets - 1, crate::srtp::KeyLifetime::MAX.rtcp_packets))
        );
        session.rekey(&key(4), &key(4)).unwrap();
        session.forget_previous_keys().unwrap();
        assert_eq!((session.remove_sending_stream(ssrc), session.remove_receiving_stream(ssrc)), (Ok(true), Ok(true)));
        assert_eq!((session.sending_roc(ssrc), session.receiving_roc(ssrc)), (Ok(None), Ok(None)));
        session.stop();
        assert_eq!((session.overheads(), session.counters().0.refused()), (Err(SrtpError::NotKeyed), 0));
    }

    /// A stress run; `rekey-under-rx` has every interleaving.
    #[test]
    fn of_two_changes_one_is_last_on_both_sides() {
        let policy = Policy::new(Profile::AesCm128HmacSha1_80).unwrap();
        for _ in 0..RACES {
            let session = Session::new();
            let theirs = session.clone();
            let keying = policy.clone();
            let other = sim::thread::spawn(move || theirs.key(&keying, &key(1), &key(1)));
            session.stop();
            other.join().unwrap().unwrap();
            let keyed = (session.shared.sending.lock().context.is_some(), session.shared.receiving.lock().context.is_some());
            assert_eq!(keyed.0, keyed.1, "half of a session is keyed");
        }
    }
}
