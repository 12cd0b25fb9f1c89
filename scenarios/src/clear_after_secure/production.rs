//! Our stream under the same changes: the production code itself.

use super::Change;
use crate::dtls_setup::{address, beginning, client, keyed_client};
use crate::inputs::one_of;
use crate::srtp_setup::{key, policy};
use crate::stream_setup;
use sim::invariant;
use sim::sync::{Arc, Mutex};
use stack::buffer::Mbuf;
use stack::media::stream::{Stream, StreamError};
use stack::media::transport::{ClearTransport, Peer, SdesTransport, Transport};
use stack::srtp::{Policy, Profile};

const PROFILE: Profile = Profile::AesCm128HmacSha1_80;
const OTHER_PROFILE: Profile = Profile::AeadAes256Gcm;
const NULL_PROFILE: Profile = Profile::NullHmacSha1_80;
const NUMBER: u64 = 1;

pub(super) struct Production {
    stream: Stream,
    /// The transport, if signalling keys it.
    sdes: Mutex<Option<Arc<SdesTransport>>>,
}

fn peer() -> Peer {
    Peer::muxed(address(NUMBER))
}

/// `Err` if the keys are refused.
fn set_keys(transport: &SdesTransport, policy: &Policy, profile: Profile, number: u8) -> Result<(), ()> {
    let keys = [key(profile, number, 0)];
    transport.set_keys(policy, &keys, &keys).map_err(drop)
}

impl Production {
    fn set_keys(&self, policy: &Policy, profile: Profile, number: u8) -> Result<(), ()> {
        let sdes = self.sdes.lock().clone();
        sdes.map_or(Err(()), |sdes| set_keys(&sdes, policy, profile, number))
    }

    fn expect_refused(&self, policy: &Policy, profile: Profile, number: u8) {
        let taken = self.set_keys(policy, profile, number);
        invariant!(taken.is_err(), "a stream that was keyed takes keys of {profile:?} under {policy:?}");
    }

    fn replace(&self, transport: Arc<dyn Transport>, sdes: Option<Arc<SdesTransport>>) -> Result<(), StreamError> {
        // As one who does signalling has it: what it keys is what the stream has.
        let mut keyed = self.sdes.lock();
        let _last_words = self.stream.set_transport(transport)?.close(beginning());
        *keyed = sdes;
        Ok(())
    }
}

impl super::Stream for Production {
    fn open() -> Arc<Self> {
        let content = stream_setup::content(stream_setup::Unheard);
        let (transport, sdes): (Arc<dyn Transport>, _) = match one_of(&[false, true]) {
            false => {
                let transport = Arc::new(SdesTransport::new(peer()));
                set_keys(&transport, &policy(PROFILE), PROFILE, 0).expect("the keys are for the policy");
                (Arc::clone(&transport) as Arc<dyn Transport>, Some(transport))
            }
            true => (Arc::new(keyed_client(NUMBER, true).0), None),
        };
        let stream = Stream::new(stream_setup::config(), &content, transport, beginning()).expect("it is a configuration");
        Arc::new(Production { stream, sdes: Mutex::new(sdes) })
    }

    fn change(&self, change: Change, number: u8) {
        let plain = || policy(PROFILE);
        match change {
            Change::Key => _ = self.set_keys(&plain(), PROFILE, number),
            Change::Forget => {
                let sdes = self.sdes.lock().clone();
                sdes.inspect(|sdes| sdes.forget_keys());
            }
            Change::KeyWithoutCipher => self.expect_refused(&policy(NULL_PROFILE), NULL_PROFILE, number),
            Change::KeyUnencryptedRtp => self.expect_refused(&plain().unencrypted_rtp(), PROFILE, number),
            Change::KeyUnencryptedRtcp => self.expect_refused(&plain().unencrypted_rtcp(), PROFILE, number),
            Change::KeyWrongly => self.expect_refused(&plain(), OTHER_PROFILE, number),
            Change::Replace => {
                let transport = Arc::new(SdesTransport::new(peer()));
                let replaced = self.replace(Arc::clone(&transport) as Arc<dyn Transport>, Some(transport));
                invariant!(replaced.is_ok(), "a transport that protects is refused: {replaced:?}");
            }
            Change::ReplaceByDtls => {
                let replaced = self.replace(Arc::new(client(NUMBER + u64::from(number)).0), None);
                invariant!(replaced.is_ok(), "a transport that protects is refused: {replaced:?}");
            }
            Change::ReplaceByClear => {
                let replaced = self.stream.set_transport(Arc::new(ClearTransport::new(peer())));
                let expected = matches!(replaced, Err(StreamError::ClearAfterSecure));
                invariant!(expected, "a transport in clear after one that protects is {:?}", replaced.map(drop));
            }
            Change::ReplaceByUnencrypted => {
                let transport = Arc::new(SdesTransport::new(peer()));
                set_keys(&transport, &plain().unencrypted_rtp(), PROFILE, number).expect("it has encrypted nothing yet");
                let replaced = self.replace(Arc::clone(&transport) as Arc<dyn Transport>, Some(transport));
                let expected = matches!(replaced, Err(StreamError::ClearAfterSecure));
                invariant!(expected, "a transport that leaves RTP in clear after one that encrypts is {replaced:?}");
            }
            Change::Close => _ = self.stream.transport().close(beginning()),
        }
    }

    fn protect(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = Mbuf::copy_of(packet, 0, 0);
        self.stream.transport().protect(&mut packet).ok()?;
        Some(packet.bytes().to_vec())
    }
}
