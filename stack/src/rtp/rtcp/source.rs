//! Who takes part: source description, BYE, and what an application sends (RFC 3550 sections 6.5 to 6.7).

use super::RtcpError;
use super::list::{Element, List, Out, at_end, in_range, split, whole_words};

/// A source description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    /// The sources, 31 at the most.
    pub chunks: List<'a, Chunk<'a>>,
}

/// What a source description says of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: u32,
    /// What it says of itself.
    pub items: List<'a, Item<'a>>,
}

/// One property of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Which property: [`CNAME`] and its kin, 1 to 255.
    pub kind: u8,
    /// UTF-8 by the RFC, though nobody checks; up to 255 bytes.
    pub value: &'a [u8],
}

/// The canonical name, which every source must send.
pub const CNAME: u8 = 1;
/// The user's name.
pub const NAME: u8 = 2;
/// The user's email address.
pub const EMAIL: u8 = 3;
/// The user's telephone number.
pub const PHONE: u8 = 4;
/// Where the user is.
pub const LOC: u8 = 5;
/// The application.
pub const TOOL: u8 = 6;
/// What goes on.
pub const NOTE: u8 = 7;
/// A private extension: see [`Item::private`].
pub const PRIV: u8 = 8;

/// Sources leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    /// Which sources, 31 at the most.
    pub ssrcs: List<'a, u32>,
    /// Why, up to 255 bytes.
    pub reason: Option<&'a [u8]>,
}

/// What an application defines for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// 0 to 31.
    pub subtype: u8,
    /// Who sends it.
    pub ssrc: u32,
    /// Four ASCII characters.
    pub name: [u8; 4],
    /// Whole words.
    pub data: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (chunks, rest) = List::parse_count(body, count)?;
        at_end("after the last SDES chunk", rest)?;
        Ok(SourceDescription { chunks })
    }

    /// The canonical name of the source.
    pub fn cname(&self, ssrc: u32) -> Option<&'a [u8]> {
        let chunk = self.chunks.iter().find(|chunk| chunk.ssrc == ssrc)?;
        chunk.items.iter().find(|item| item.kind == CNAME).map(|item| item.value)
    }
}

impl<'a> Element<'a> for Chunk<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RtcpError> {
        let (ssrc, items) = split("SDES chunk", bytes)?;
        let mut at = 0;
        // A zero ends the items.
        while items.get(at).is_some_and(|kind| *kind != 0) {
            at += Item::parse(&items[at..])?.1;
        }
        // The zero is there even if the items end with a word, and zeros follow it up to the next word.
        let expected = 4 + (at + 1).next_multiple_of(4);
        if bytes.len() < expected {
            return Err(RtcpError::Truncated { part: "SDES chunk", expected, got: bytes.len() });
        }
        Ok((Chunk { ssrc: u32::from_be_bytes(*ssrc), items: List::parse(&items[..at])? }, expected))
    }

    fn wire_len(&self) -> Result<usize, RtcpError> {
        Ok(4 + (self.items.wire_len()? + 1).next_multiple_of(4))
    }

    fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        self.items.write(out);
        out.put(&[0]);
        out.put_to_word();
    }
}

impl<'a> Item<'a> {
    /// The prefix and the value of a private extension.
    pub fn private(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (prefix_len, rest) = self.value.split_first().filter(|_| self.kind == PRIV)?;
        rest.split_at_checked(usize::from(*prefix_len))
    }

    fn check_private(&self) -> Result<(), RtcpError> {
        if self.kind != PRIV || self.private().is_some() {
            return Ok(());
        }
        let expected = 1 + self.value.first().map_or(0, |prefix_len| usize::from(*prefix_len));
        Err(RtcpError::Truncated { part: "SDES PRIV item", expected, got: self.value.len() })
    }
}

impl<'a> Element<'a> for Item<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, usize), RtcpError> {
        let ([kind, len], rest) = split("SDES item", bytes)?;
        let expected = usize::from(*len);
        let value = rest.get(..expected).ok_or(RtcpError::Truncated { part: "SDES item", expected, got: rest.len() })?;
        let item = Item { kind: *kind, value };
        item.check_private()?;
        Ok((item, 2 + expected))
    }

    fn wire_len(&self) -> Result<usize, RtcpError> {
        in_range("SDES item type", 1, 255, self.kind.into())?;
        if self.value.len() > 255 {
            return Err(RtcpError::TooLong { part: "SDES item", expected_max: 255, got: self.value.len() });
        }
        self.check_private()?;
        Ok(2 + self.value.len())
    }

    fn write(&self, out: &mut Out<'_>) {
        // Its length has been checked.
        out.put(&[self.kind, self.value.len() as u8]);
        out.put(self.value);
    }
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrcs, rest) = List::parse_count(body, count)?;
        let Some((len, rest)) = rest.split_first() else { return Ok(Bye { ssrcs, reason: None }) };
        let expected = usize::from(*len);
        let reason = rest.get(..expected).ok_or(RtcpError::Truncated { part: "BYE reason", expected, got: rest.len() })?;
        // Zeros up to the next word.
        let end = (1 + expected).next_multiple_of(4) - 1;
        at_end("after the BYE reason", rest.get(end..).unwrap_or_default())?;
        Ok(Bye { ssrcs, reason: Some(reason) })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        let reason_len = self.reason.map_or(0, <[u8]>::len);
        if reason_len > 255 {
            return Err(RtcpError::TooLong { part: "BYE reason", expected_max: 255, got: reason_len });
        }
        Ok(self.ssrcs.wire_len()? + self.reason.map_or(0, |_| (1 + reason_len).next_multiple_of(4)))
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        self.ssrcs.write(out);
        if let Some(reason) = self.reason {
            // Its length has been checked.
            out.put(&[reason.len() as u8]);
            out.put(reason);
            out.put_to_word();
        }
    }
}

impl<'a> App<'a> {
    pub(super) fn parse(subtype: usize, body: &'a [u8]) -> Result<Self, RtcpError> {
        let (ssrc, rest) = split("APP packet", body)?;
        let (name, data) = split("APP packet's name", rest)?;
        whole_words("APP packet's data", data)?;
        // Five bits.
        Ok(App { subtype: subtype as u8, ssrc: u32::from_be_bytes(*ssrc), name: *name, data })
    }

    pub(super) fn body_len(&self) -> Result<usize, RtcpError> {
        whole_words("APP packet's data", self.data)?;
        Ok(8 + self.data.len())
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.put(&self.ssrc.to_be_bytes());
        out.put(&self.name);
        out.put(self.data);
    }
}
