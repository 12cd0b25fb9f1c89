//! libsrtp2 through its C API.

#![allow(unsafe_code, reason = "a C library is called")]

use super::{Implementation, KEY_AND_SALT, Profile};
use std::ffi::{c_int, c_uchar, c_void};

unsafe extern "C" {
    fn glare_srtp_open(profile: c_int, key_and_salt: *mut c_uchar, inbound: c_int) -> *mut c_void;
    fn glare_srtp_protect(session: *mut c_void, packet: *mut c_void, len: *mut c_int) -> c_int;
    fn glare_srtp_unprotect(session: *mut c_void, packet: *mut c_void, len: *mut c_int) -> c_int;
    fn glare_srtp_close(session: *mut c_void);
}

/// How many bytes libsrtp2 may add to a packet: `SRTP_MAX_TRAILER_LEN` is 144 with an MKI.
const TRAILER_LEN_MAX: usize = 256;

/// A session for each direction, and a packet's memory that has room for the trailer.
pub(super) struct Libsrtp2 {
    outbound: *mut c_void,
    inbound: *mut c_void,
}

impl Libsrtp2 {
    pub(super) fn new(profile: Profile) -> Self {
        let number = match profile {
            Profile::AesCm128HmacSha1_80 => 0,
            Profile::AeadAes128Gcm => 1,
            _ => 2,
        };
        let open = |inbound| {
            let mut key = KEY_AND_SALT;
            // SAFETY: libsrtp2 reads at most 46 bytes of key and salt, and copies them.
            let session = unsafe { glare_srtp_open(number, key.as_mut_ptr(), inbound) };
            assert!(!session.is_null(), "libsrtp2 has no {profile}");
            session
        };
        Libsrtp2 { outbound: open(0), inbound: open(1) }
    }
}

impl Drop for Libsrtp2 {
    fn drop(&mut self) {
        // SAFETY: both were opened, and are closed once.
        unsafe {
            glare_srtp_close(self.outbound);
            glare_srtp_close(self.inbound);
        }
    }
}

impl Implementation for Libsrtp2 {
    type Packet = (Vec<u8>, usize);

    fn packet(&self, bytes: &[u8]) -> Self::Packet {
        let mut memory = bytes.to_vec();
        memory.resize(bytes.len() + TRAILER_LEN_MAX, 0);
        (memory, bytes.len())
    }

    fn protect(&mut self, packets: &mut [Self::Packet]) {
        for (memory, len) in packets {
            let mut new_len = *len as c_int;
            // SAFETY: behind the packet there is room for the longest trailer.
            let status = unsafe { glare_srtp_protect(self.outbound, memory.as_mut_ptr().cast(), &mut new_len) };
            assert_eq!(status, 0);
            *len = new_len as usize;
        }
    }

    fn unprotect(&mut self, packets: &mut [Self::Packet]) {
        for (memory, len) in packets {
            let mut new_len = *len as c_int;
            // SAFETY: the packet has `len` bytes, and does not get longer.
            let status = unsafe { glare_srtp_unprotect(self.inbound, memory.as_mut_ptr().cast(), &mut new_len) };
            assert_eq!(status, 0);
            *len = new_len as usize;
        }
    }

    fn bytes(packet: &Self::Packet) -> &[u8] {
        &packet.0[..packet.1]
    }
}
