//! Lists in RTCP packets: read from the wire without a copy, or written from a slice. Both are the same list to whoever has one.

use super::RtcpError;
use std::fmt;

/// Elements that follow one another in a packet: those of a received packet, still on the wire, or a slice of the caller's.
///
/// What was received has been checked, so iterating finds no error.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Wire(&'a [u8]),
    Slice(&'a [T]),
}

/// What a [`List`] holds.
pub trait Element<'a>: Copy + PartialEq + fmt::Debug + 'a {
    /// Reads one element from the start of `bytes`, and says how many bytes it takes: at least one.
    ///
    /// # Errors
    /// [`RtcpError`], if there is no such element.
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RtcpError>;

    /// How many bytes it takes on the wire.
    ///
    /// # Errors
    /// [`RtcpError`], if it has a value that cannot be written.
    fn wire_len(&self) -> Result<usize, RtcpError>;

    /// Writes what [`Element::wire_len`] has measured.
    fn write(&self, out: &mut Out<'_>);
}

/// Where packets are written: room that has been measured.
#[derive(Debug)]
pub struct Out<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl<'a, T: Element<'a>> List<'a, T> {
    /// No elements.
    pub const EMPTY: Self = List(Source::Slice(&[]));

    /// All of `bytes` as elements.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, RtcpError> {
        let mut at = 0;
        while at < bytes.len() {
            at += T::parse(&bytes[at..])?.1;
        }
        Ok(List(Source::Wire(bytes)))
    }

    /// The first `count` elements, and the bytes after them.
    pub(super) fn parse_count(bytes: &'a [u8], count: usize) -> Result<(Self, &'a [u8]), RtcpError> {
        let mut at = 0;
        for _ in 0..count {
            at += T::parse(&bytes[at..])?.1;
        }
        Ok((List(Source::Wire(&bytes[..at])), &bytes[at..]))
    }

    /// The elements, in their order.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut source = self.0;
        std::iter::from_fn(move || match &mut source {
            Source::Wire([]) => None,
            Source::Wire(rest) => {
                // It has been parsed before, so this is no error.
                let (element, len) = T::parse(rest).ok()?;
                *rest = &rest[len..];
                Some(element)
            }
            Source::Slice(rest) => {
                let (element, after) = rest.split_first()?;
                *rest = after;
                Some(*element)
            }
        })
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        match self.0 {
            Source::Wire(_) => self.iter().count(),
            Source::Slice(slice) => slice.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self.0 {
            Source::Wire(bytes) => bytes.is_empty(),
            Source::Slice(slice) => slice.is_empty(),
        }
    }

    pub(super) fn wire_len(&self) -> Result<usize, RtcpError> {
        match self.0 {
            Source::Wire(bytes) => Ok(bytes.len()),
            Source::Slice(slice) => slice.iter().try_fold(0, |len, element| Ok(len + element.wire_len()?)),
        }
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        match self.0 {
            Source::Wire(bytes) => out.put(bytes),
            Source::Slice(slice) => slice.iter().for_each(|element| element.write(out)),
        }
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        List(Source::Slice(slice))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(array: &'a [T; N]) -> Self {
        List(Source::Slice(array))
    }
}

impl<'a, T: Element<'a>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Element<'a>> Eq for List<'a, T> {}

impl<'a, T: Element<'a>> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Out<'a> {
    pub(super) fn new(room: &'a mut [u8]) -> Self {
        Out { room, at: 0 }
    }

    /// Writes these bytes next. There is room for them, since it was measured.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.room[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Writes zeros up to the next word.
    pub(super) fn put_to_word(&mut self) {
        let end = self.at.next_multiple_of(4);
        self.room[self.at..end].fill(0);
        self.at = end;
    }

    /// How much has been written.
    pub(super) fn written_len(&self) -> usize {
        self.at
    }
}

/// The first `N` bytes, and those after them.
pub(super) fn split<'a, const N: usize>(part: &'static str, bytes: &'a [u8]) -> Result<(&'a [u8; N], &'a [u8]), RtcpError> {
    bytes.split_first_chunk().ok_or(RtcpError::Truncated { part, expected: N, got: bytes.len() })
}

/// Four bytes as a number.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Two bytes as a number.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// That a value is in the range of its field.
pub(super) fn in_range(part: &'static str, expected_min: i64, expected_max: i64, got: i64) -> Result<(), RtcpError> {
    if (expected_min..=expected_max).contains(&got) {
        return Ok(());
    }
    Err(RtcpError::Range { part, expected_min, expected_max, got })
}

/// That what is written as unknown would not be read as something else.
pub(super) fn not_known(part: &'static str, known: bool, got: u8) -> Result<(), RtcpError> {
    if known { Err(RtcpError::Known { part, got }) } else { Ok(()) }
}

/// That nothing is left.
pub(super) fn at_end(part: &'static str, rest: &[u8]) -> Result<(), RtcpError> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(RtcpError::TooLong { part, expected_max: 0, got: rest.len() })
}

/// That bytes are whole words.
pub(super) fn whole_words(part: &'static str, bytes: &[u8]) -> Result<(), RtcpError> {
    if bytes.len().is_multiple_of(4) {
        return Ok(());
    }
    Err(RtcpError::Words { part, got: bytes.len() })
}

/// An element that always takes the same number of bytes: how it is read, checked before it is written, and written.
macro_rules! fixed_element {
    ($type:ty, $part:literal, $len:literal, |$bytes:ident| $read:expr, $check:expr, |$this:ident| $write:expr) => {
        impl<'a> $crate::rtp::rtcp::list::Element<'a> for $type {
            fn parse(bytes: &'a [u8]) -> Result<(Self, usize), $crate::rtp::rtcp::RtcpError> {
                let ($bytes, _) = $crate::rtp::rtcp::list::split::<$len>($part, bytes)?;
                Ok(($read, $len))
            }

            fn wire_len(&self) -> Result<usize, $crate::rtp::rtcp::RtcpError> {
                let check: fn(&Self) -> Result<(), $crate::rtp::rtcp::RtcpError> = $check;
                check(self).map(|()| $len)
            }

            fn write(&self, out: &mut $crate::rtp::rtcp::list::Out<'_>) {
                let $this = self;
                let bytes: [u8; $len] = $write;
                out.put(&bytes);
            }
        }
    };
}
pub(super) use fixed_element;

fixed_element!(u32, "32 bits", 4, |bytes| u32::from_be_bytes(*bytes), |_| Ok(()), |this| this.to_be_bytes());
