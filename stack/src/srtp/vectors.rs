//! The published vectors of RFC 3711 (B.2, B.3), RFC 6188 (section 7) and RFC 7714 (sections 16 and 17), for tests to loop over.
//!
//! They are stated in hexadecimal digits, which [`hex`] reads. RFC 3711 B.1 is not among them: it is of AES-f8.

/// The bytes that hexadecimal digits stand for. Spaces group digits and mean nothing.
#[track_caller]
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("expected a hexadecimal digit, got {c:?}")) as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "expected two digits for each byte, got {} in all", digits.len());
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The keystream of AES in counter mode for SSRC 0 and packet index 0: RFC 3711 B.2; RFC 6188 7.1 and 7.3.
#[derive(Debug)]
pub(super) struct Keystream {
    /// Where it is published.
    pub(super) section: &'static str,
    /// Of 128, 256 or 192 bits.
    pub(super) session_key: &'static str,
    /// 112 bits. The first counter block is the salt followed by 16 zero bits, because the SSRC and the index are 0.
    pub(super) session_salt: &'static str,
    /// The last 16 bits of a counter block, and the 16 bytes of keystream that it gives. The last three are the 65,280th block
    /// and its neighbours, where a counter of 8 bits would have carried wrongly.
    pub(super) blocks: [(u16, &'static str); 6],
}

/// A key derivation with index 0 and key derivation rate 0: RFC 3711 B.3; RFC 6188 7.2 and 7.4.
#[derive(Debug)]
pub(super) struct Derivation {
    /// Where it is published.
    pub(super) section: &'static str,
    /// Of 128, 256 or 192 bits.
    pub(super) master_key: &'static str,
    /// 112 bits.
    pub(super) master_salt: &'static str,
    /// The session encryption key, the session salt and the session authentication key, in the RFC's order.
    pub(super) keys: [DerivedKey; 3],
}

/// One session key of a [`Derivation`].
#[derive(Debug)]
pub(super) struct DerivedKey {
    /// RFC 3711 4.3.1: 0 for encryption, 1 for authentication, 2 for the salt.
    pub(super) label: u8,
    /// The first block that goes into AES under the master key: the master salt, its eighth byte exclusive-ored with the label,
    /// then 16 bits that count the blocks.
    pub(super) prf_input: &'static str,
    /// What comes out. The authentication key of RFC 3711 B.3 is 94 bytes long, of which HMAC-SHA1 takes the first 20.
    pub(super) key: &'static str,
}

/// Which protocol protects a packet of RFC 7714.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Section 16: RTP.
    Srtp,
    /// Section 17: RTCP.
    Srtcp,
}

/// What is done to a packet of RFC 7714.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// Encrypted and tagged.
    Encrypted,
    /// Tagged in the clear: the whole packet is associated data. SRTCP says so with its E flag at 0. Nothing in an SRTP packet
    /// says it, so there it tests the AEAD alone: an SRTP receiver that expects encryption finds the tag wrong.
    TaggedOnly,
}

/// A packet before and after AEAD_AES_128_GCM or AEAD_AES_256_GCM (the key's length says which): RFC 7714 sections 16 and 17.
#[derive(Debug)]
pub(super) struct Rfc7714Packet {
    /// The subsections of RFC 7714 that the packet comes from. Where the RFC does one direction only, the other holds as well.
    pub(super) section: &'static str,
    /// SRTP or SRTCP.
    pub(super) kind: Kind,
    /// Encrypted, or tagged in the clear.
    pub(super) protection: Protection,
    /// A session key, not a master key: no key derivation comes before.
    pub(super) session_key: &'static str,
    /// 96 bits.
    pub(super) session_salt: &'static str,
    /// The sender's, as in the packet.
    pub(super) ssrc: u32,
    /// SRTP: the rollover counter, which is 0, and the sequence number, 48 bits together. SRTCP: the 31 bits of the SRTCP index.
    pub(super) index: u64,
    /// RFC 7714 8.1 and 9.1: the SSRC and the index, each at its place, exclusive-ored with the salt.
    pub(super) iv: &'static str,
    /// What the tag covers besides the ciphertext. For SRTCP it ends in the E flag and the SRTCP index.
    pub(super) aad: &'static str,
    /// What is encrypted: nothing, if the packet is tagged only.
    pub(super) plain_text: &'static str,
    /// As long as the plaintext.
    pub(super) cipher_text: &'static str,
    /// 128 bits.
    pub(super) tag: &'static str,
    /// The whole packet before.
    pub(super) plain_packet: &'static str,
    /// The whole packet after.
    pub(super) protected_packet: &'static str,
}

/// The session salt of all of RFC 7714's packets.
const SALT: &str = "51756964 2070726f 2071756f";

/// The packet of RFC 7714 section 16.
const RTP: &str =
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";

/// The packet of RFC 7714 section 17: 52 bytes, though its length field says 56. Protection does not look at that field; a parser
/// of RTCP that does will refuse the packet.
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef \
                    deadbeef";

/// What RFC 7714 section 16 forms of the salt, SSRC 0x5501a0b2, rollover counter 0 and sequence number 0xf17b.
const SRTP_IV: &str = "51753c65 80c2726f 20718414";

/// What RFC 7714 section 17 forms of the salt, SSRC 0x4d617273 and SRTCP index 0x5d4.
const SRTCP_IV: &str = "51752405 5203726f 207170bb";

/// RFC 3711 B.2; RFC 6188 7.1 and 7.3.
pub(super) const KEYSTREAMS: &[Keystream] = &[
    Keystream {
        section: "RFC 3711 B.2",
        session_key: "2b7e1516 28aed2a6 abf71588 09cf4f3c",
        session_salt: "f0f1f2f3 f4f5f6f7 f8f9fafb fcfd",
        blocks: [
            (0x0000, "e03ead09 35c95e80 e166b16d d92b4eb4"),
            (0x0001, "d2351316 2b02d0f7 2a43a2fe 4a5f97ab"),
            (0x0002, "41e95b3b b0a2e8dd 477901e4 fca894c0"),
            (0xfeff, "ec8cdf73 98607cb0 f2d21675 ea9ea1e4"),
            (0xff00, "362b7c3c 67735163 18a077d7 fc5073ae"),
            (0xff01, "6a2cc378 7889374f beb4c81b 17ba6c44"),
        ],
    },
    Keystream {
        section: "RFC 6188 7.1",
        session_key: "57f82fe3 613fd170 a85ec93c 40b1f092 2ec4cb0d c025b582 72147cc4 38944a98",
        session_salt: "f0f1f2f3 f4f5f6f7 f8f9fafb fcfd",
        blocks: [
            (0x0000, "92bdd28a 93c3f525 11c677d0 8b5515a4"),
            (0x0001, "9da71b23 78a854f6 7050756d ed165bac"),
            (0x0002, "63c4868b 7096d884 21b563b8 c94c9a31"),
            (0xfeff, "cea518c9 0fd91ced 9cbb18c0 78a54711"),
            (0xff00, "3dbc4814 f4da5f00 a08772b6 3c6a046d"),
            (0xff01, "6eb24691 3062a168 91433e97 dd01a57f"),
        ],
    },
    Keystream {
        section: "RFC 6188 7.3",
        session_key: "eab23476 4e517b2d 3d160d58 7d8c8621 9740f65f 99b6bcf7",
        session_salt: "f0f1f2f3 f4f5f6f7 f8f9fafb fcfd",
        blocks: [
            (0x0000, "35096cba 4610028d c1b57503 804ce37c"),
            (0x0001, "5de98629 1dcce161 d5165ec4 568f5c9a"),
            (0x0002, "474a40c7 7894bc17 18020227 2a4c264d"),
            (0xfeff, "d108d1a3 1a00bad6 367ec23e b044b415"),
            (0xff00, "c8f57129 fdeb970b 59f917b2 57662d4c"),
            (0xff01, "a5dab625 811034e8 cebdfeb6 dc158dd3"),
        ],
    },
];

/// RFC 3711 B.3; RFC 6188 7.2 and 7.4.
pub(super) const DERIVATIONS: &[Derivation] = &[
    Derivation {
        section: "RFC 3711 B.3",
        master_key: "e1f97a0d 3e018be0 d64fa32c 06de4139",
        master_salt: "0ec675ad 498afeeb b6960b3a abe6",
        keys: [
            DerivedKey { label: 0, prf_input: "0ec675ad 498afeeb b6960b3a abe60000", key: "c61e7a93 744f39ee 10734afe 3ff7a087" },
            DerivedKey { label: 2, prf_input: "0ec675ad 498afee9 b6960b3a abe60000", key: "30cbbc08 863d8c85 d49db34a 9ae1" },
            DerivedKey {
                label: 1,
                prf_input: "0ec675ad 498afeea b6960b3a abe60000",
                key: "cebe321f 6ff7716b 6fd4ab49 af256a15 6d38baa4 8f0a0acf 3c34e235 9e6cdbce \
                      e049646c 43d9327a d175578e f7227098 6371c10c 9a369ac2 f94a8c5f bcdddc25 \
                      6d6e919a 48b610ef 17c2041e 47403576 6b68642c 59bbfc2f 34db60db dfb2",
            },
        ],
    },
    Derivation {
        section: "RFC 6188 7.2",
        master_key: "f0f04914 b513f276 3a1b1fa1 30f10e29 98f6f6e4 3e4309d1 e622a0e3 32b9f1b6",
        master_salt: "3b04803d e51ee7c9 6423ab5b 78d2",
        keys: [
            DerivedKey {
                label: 0,
                prf_input: "3b04803d e51ee7c9 6423ab5b 78d20000",
                key: "5ba1064e 30ec5161 3cad926c 5a28ef73 1ec7fb39 7f70a960 653caf06 554cd8c4",
            },
            DerivedKey { label: 2, prf_input: "3b04803d e51ee7cb 6423ab5b 78d20000", key: "fa317916 85ca444a 9e07c6c6 4e93" },
            DerivedKey {
                label: 1,
                prf_input: "3b04803d e51ee7c8 6423ab5b 78d20000",
                key: "fd9c32d3 9ed5fbb5 a9dc96b3 0818454d 1313dc05",
            },
        ],
    },
    Derivation {
        section: "RFC 6188 7.4",
        master_key: "73edc66c 4fa15776 fb57f950 5c171365 50ffda71 f3e8e5f1",
        master_salt: "c8522f3a cd4ce86d 5add78ed bb11",
        keys: [
            DerivedKey {
                label: 0,
                prf_input: "c8522f3a cd4ce86d 5add78ed bb110000",
                key: "31874736 a8f11438 70c26e48 57d8a5b2 c4a35440 7faadabb",
            },
            DerivedKey { label: 2, prf_input: "c8522f3a cd4ce86f 5add78ed bb110000", key: "2372b82d 639b6d85 03a47adc 0a6c" },
            DerivedKey {
                label: 1,
                prf_input: "c8522f3a cd4ce86c 5add78ed bb110000",
                key: "355b1097 3cd95b9e acf4061c 7e1a7151 e7cfbfcb",
            },
        ],
    },
];

/// RFC 7714 sections 16 and 17, complete.
pub(super) const RFC_7714_PACKETS: &[Rfc7714Packet] = &[
    Rfc7714Packet {
        section: "16.1.1, 16.1.2",
        kind: Kind::Srtp,
        protection: Protection::Encrypted,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f",
        session_salt: SALT,
        ssrc: 0x5501a0b2,
        index: 0xf17b,
        iv: SRTP_IV,
        aad: "8040f17b 8041f8d3 5501a0b2",
        plain_text: "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 \
                     73207472 6573",
        cipher_text: "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b \
                      36de3adf 8833",
        tag: "899d7f27 beb16a91 52cf765e e4390cce",
        plain_packet: RTP,
        protected_packet: "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 \
                           0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 \
                           0cce",
    },
    Rfc7714Packet {
        section: "16.1.3, 16.1.4",
        kind: Kind::Srtp,
        protection: Protection::TaggedOnly,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f",
        session_salt: SALT,
        ssrc: 0x5501a0b2,
        index: 0xf17b,
        iv: SRTP_IV,
        aad: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 \
              69736120 696e2070 61727465 73207472 6573",
        plain_text: "",
        cipher_text: "",
        tag: "22493f82 d2bce397 e9d79e3b 19aa4216",
        plain_packet: RTP,
        protected_packet: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 \
                           69736120 696e2070 61727465 73207472 65732249 3f82d2bc e397e9d7 9e3b19aa \
                           4216",
    },
    Rfc7714Packet {
        section: "16.2.1, 16.2.2",
        kind: Kind::Srtp,
        protection: Protection::Encrypted,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f",
        session_salt: SALT,
        ssrc: 0x5501a0b2,
        index: 0xf17b,
        iv: SRTP_IV,
        aad: "8040f17b 8041f8d3 5501a0b2",
        plain_text: "47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 \
                     73207472 6573",
        cipher_text: "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f \
                      1ba63799 b87b",
        tag: "7aa3db36 dfffd6b0 f9bb7878 d7a76c13",
        plain_packet: RTP,
        protected_packet: "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 \
                           9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 \
                           6c13",
    },
    Rfc7714Packet {
        section: "16.2.3, 16.2.4",
        kind: Kind::Srtp,
        protection: Protection::TaggedOnly,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f",
        session_salt: SALT,
        ssrc: 0x5501a0b2,
        index: 0xf17b,
        iv: SRTP_IV,
        aad: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 \
              69736120 696e2070 61727465 73207472 6573",
        plain_text: "",
        cipher_text: "",
        tag: "a866d591 0f887463 067ceefe c45215d4",
        plain_packet: RTP,
        protected_packet: "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 \
                           69736120 696e2070 61727465 73207472 6573a866 d5910f88 7463067c eefec452 \
                           15d4",
    },
    Rfc7714Packet {
        section: "17.1",
        kind: Kind::Srtcp,
        protection: Protection::Encrypted,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f",
        session_salt: SALT,
        ssrc: 0x4d617273,
        index: 0x05d4,
        iv: SRTCP_IV,
        aad: "81c8000d 4d617273 800005d4",
        plain_text: "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef \
                     deadbeef deadbeef deadbeef",
        cipher_text: "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda \
                      4ce09b46 86303ded 0bb9275b",
        tag: "c84aa458 96cf4d2f c5abf872 45d9eade",
        plain_packet: RTCP,
        protected_packet: "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d \
                           c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 \
                           45d9eade 800005d4",
    },
    Rfc7714Packet {
        section: "17.2",
        kind: Kind::Srtcp,
        protection: Protection::Encrypted,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f",
        session_salt: SALT,
        ssrc: 0x4d617273,
        index: 0x05d4,
        iv: SRTCP_IV,
        aad: "81c8000d 4d617273 800005d4",
        plain_text: "4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef \
                     deadbeef deadbeef deadbeef",
        cipher_text: "d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be \
                      8415f658 c61de047 6f1b6fad",
        tag: "1d1eb30c 4446839f 57ff6f6c b26ac3be",
        plain_packet: RTCP,
        protected_packet: "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 \
                           a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c \
                           b26ac3be 800005d4",
    },
    Rfc7714Packet {
        section: "17.3",
        kind: Kind::Srtcp,
        protection: Protection::TaggedOnly,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f",
        session_salt: SALT,
        ssrc: 0x4d617273,
        index: 0x05d4,
        iv: SRTCP_IV,
        aad: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
              deadbeef deadbeef deadbeef deadbeef deadbeef 000005d4",
        plain_text: "",
        cipher_text: "",
        tag: "841dd968 3dd78ec9 2ae58790 125f62b3",
        plain_packet: RTCP,
        protected_packet: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
                           deadbeef deadbeef deadbeef deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 \
                           125f62b3 000005d4",
    },
    Rfc7714Packet {
        section: "17.4",
        kind: Kind::Srtcp,
        protection: Protection::TaggedOnly,
        session_key: "00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f",
        session_salt: SALT,
        ssrc: 0x4d617273,
        index: 0x05d4,
        iv: SRTCP_IV,
        aad: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
              deadbeef deadbeef deadbeef deadbeef deadbeef 000005d4",
        plain_text: "",
        cipher_text: "",
        tag: "91db4afb feee5a97 8fab4393 ed2615fe",
        plain_packet: RTCP,
        protected_packet: "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 \
                           deadbeef deadbeef deadbeef deadbeef deadbeef 91db4afb feee5a97 8fab4393 \
                           ed2615fe 000005d4",
    },
];
