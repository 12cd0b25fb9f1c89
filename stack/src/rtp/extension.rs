//! What RFC 8285 puts into the header extension: many small elements, each with a local identifier.

use super::{Part, RtpError};

/// How the elements' own headers look, which the 16 bits at the start of the header extension tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Identifiers 1 to 14, 1 to 16 bytes of data (RFC 8285 section 4.2).
    OneByte,
    /// Identifiers 1 to 255, 0 to 255 bytes of data (RFC 8285 section 4.3).
    TwoByte {
        /// Four bits for the application, 0 to 15.
        appbits: u8,
    },
}

/// An element of a header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The local identifier, which signalling gives its meaning.
    pub id: u8,
    /// The data.
    pub data: &'a [u8],
}

/// The elements of one header extension. All of them have been checked, so iterating finds no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements<'a> {
    form: Form,
    /// Ends after the last element.
    data: &'a [u8],
}

impl Form {
    /// The form that a header extension's first 16 bits stand for.
    ///
    /// # Errors
    /// [`RtpError::Profile`].
    pub fn from_profile(profile: u16) -> Result<Self, RtpError> {
        match profile {
            0xbede => Ok(Form::OneByte),
            0x1000..=0x100f => Ok(Form::TwoByte { appbits: (profile & 0xf) as u8 }),
            got => Err(RtpError::Profile { got }),
        }
    }

    /// The form with the shorter headers that can carry these elements.
    pub fn shortest(elements: &[Element<'_>]) -> Self {
        let fits = |element: &Element<'_>| (1..=14).contains(&element.id) && (1..=16).contains(&element.data.len());
        if elements.iter().all(fits) { Form::OneByte } else { Form::TwoByte { appbits: 0 } }
    }

    /// The 16 bits at the start of the header extension.
    pub fn profile(self) -> u16 {
        match self {
            Form::OneByte => 0xbede,
            Form::TwoByte { appbits } => 0x1000 | u16::from(appbits & 0xf),
        }
    }

    /// How many bytes the elements take, padded to whole words.
    ///
    /// # Errors
    /// [`RtpError::Range`] for an identifier, a length or appbits that this form cannot say; [`RtpError::TooLong`] if 16 bits
    /// cannot count the words.
    pub fn len(self, elements: &[Element<'_>]) -> Result<usize, RtpError> {
        let (header_len, id_max, data_min, data_max) = match self {
            Form::OneByte => (1, 14, 1, 16),
            Form::TwoByte { appbits } => {
                in_range(Part::AppBits, 0, 15, usize::from(appbits))?;
                (2, 255, 0, 255)
            }
        };
        let mut len = 0;
        for element in elements {
            in_range(Part::ElementId, 1, id_max, usize::from(element.id))?;
            in_range(Part::Element, data_min, data_max, element.data.len())?;
            len += header_len + element.data.len();
        }
        let expected_max = 4 * usize::from(u16::MAX);
        if len > expected_max {
            return Err(RtpError::TooLong { part: Part::Extension, expected_max, got: len });
        }
        Ok(len.next_multiple_of(4))
    }

    /// Writes the elements to the start of `room`, padded to whole words, and returns how many bytes that is: the data for
    /// [`Fields::extension`](super::packet::Fields::extension), next to [`Form::profile`]. After an error, `room` is as it was.
    ///
    /// # Errors
    /// Those of [`Form::len`], and [`RtpError::Room`].
    pub fn write(self, elements: &[Element<'_>], room: &mut [u8]) -> Result<usize, RtpError> {
        let expected = self.len(elements)?;
        let got = room.len();
        let Some(room) = room.get_mut(..expected) else { return Err(RtpError::Room { expected, got }) };
        let mut at = 0;
        for element in elements {
            // `len` has checked that both fit.
            let data_len = element.data.len() as u8;
            match self {
                Form::OneByte => room[at] = element.id << 4 | (data_len - 1),
                Form::TwoByte { .. } => room[at..at + 2].copy_from_slice(&[element.id, data_len]),
            }
            at += if self == Form::OneByte { 1 } else { 2 };
            room[at..at + element.data.len()].copy_from_slice(element.data);
            at += element.data.len();
        }
        room[at..].fill(0);
        Ok(expected)
    }
}

impl<'a> Elements<'a> {
    /// Checks the elements in `data`, the data of a header extension whose first 16 bits are `profile`.
    ///
    /// In the one-byte form the identifier 15, and 0 with a length, end the elements: what follows is left out (RFC 8285 section
    /// 4.2).
    ///
    /// # Errors
    /// [`RtpError::Profile`], or [`RtpError::Truncated`] if an element says that it is longer than what is left.
    pub fn parse(profile: u16, data: &'a [u8]) -> Result<Self, RtpError> {
        let form = Form::from_profile(profile)?;
        let mut at = 0;
        while at < data.len() {
            match next(form, &data[at..]) {
                Next::Padding => at += 1,
                Next::Element { element_len } if at + element_len <= data.len() => at += element_len,
                Next::Element { element_len } => {
                    return Err(RtpError::Truncated { part: Part::Element, expected: element_len, got: data.len() - at });
                }
                Next::End => break,
            }
        }
        Ok(Elements { form, data: &data[..at] })
    }

    /// The form that they are in.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The elements, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let Elements { form, data } = *self;
        let mut rest = data;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                match next(form, rest) {
                    Next::Padding => rest = &rest[1..],
                    Next::Element { element_len } => {
                        let (element, after) = rest.split_at(element_len);
                        rest = after;
                        return Some(match form {
                            Form::OneByte => Element { id: element[0] >> 4, data: &element[1..] },
                            Form::TwoByte { .. } => Element { id: element[0], data: &element[2..] },
                        });
                    }
                    Next::End => break,
                }
            }
            None
        })
    }

    /// The data of the first element with this identifier.
    pub fn find(&self, id: u8) -> Option<&'a [u8]> {
        self.iter().find(|element| element.id == id).map(|element| element.data)
    }
}

enum Next {
    Padding,
    /// An element of so many bytes, its header among them.
    Element {
        element_len: usize,
    },
    End,
}

/// What stands at the start of `rest`, which is not empty.
fn next(form: Form, rest: &[u8]) -> Next {
    match form {
        _ if rest[0] == 0 => Next::Padding,
        Form::OneByte => match rest[0] >> 4 {
            0 | 15 => Next::End,
            _ => Next::Element { element_len: 2 + usize::from(rest[0] & 0xf) },
        },
        Form::TwoByte { .. } => Next::Element { element_len: 2 + rest.get(1).map_or(0, |len| usize::from(*len)) },
    }
}

fn in_range(part: Part, expected_min: usize, expected_max: usize, got: usize) -> Result<(), RtpError> {
    if (expected_min..=expected_max).contains(&got) {
        return Ok(());
    }
    Err(RtpError::Range { part, expected_min, expected_max, got })
}

/// What holds of any bytes: fuzz targets, property tests and corpus tests share these bodies.
pub mod properties {
    use super::{Element, Elements};

    /// Any data parse or are refused; what parses is written to elements that are the same.
    pub fn elements(profile: u16, data: &[u8]) {
        let Ok(elements) = Elements::parse(profile, data) else { return };
        let form = elements.form();
        assert_eq!(form.profile(), profile);
        let list: Vec<Element<'_>> = elements.iter().collect();
        let mut room = vec![0xff; data.len()];
        let len = form.write(&list, &mut room).expect("what was read can be written, and is no longer");
        let again = Elements::parse(profile, &room[..len]).expect("what was written can be read");
        assert!(again.iter().eq(list.iter().copied()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(profile: u16, data: &[u8]) -> Vec<(u8, &[u8])> {
        Elements::parse(profile, data).unwrap().iter().map(|element| (element.id, element.data)).collect()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 8285 sections 4.2 and 4.3: padding between and after elements.
        let one = [0x10, 7, 0x21, 8, 9, 0, 0, 0x33, 1, 2, 3, 4];
        assert_eq!(read(0xbede, &one), [(1, &[7][..]), (2, &[8, 9]), (3, &[1, 2, 3, 4])]);
        let two = [1, 0, 2, 1, 8, 0, 3, 4, 1, 2, 3, 4];
        assert_eq!(read(0x1003, &two), [(1, &[][..]), (2, &[8]), (3, &[1, 2, 3, 4])]);
        assert_eq!(Elements::parse(0x1003, &two).unwrap().form(), Form::TwoByte { appbits: 3 });
        assert_eq!(Elements::parse(0xbede, &one).unwrap().find(2), Some(&[8, 9][..]));
        assert_eq!(Elements::parse(0xbede, &one).unwrap().find(4), None);
    }

    #[test]
    fn fifteen_and_a_long_zero_end_the_one_byte_form_only() {
        for end in [0xf0, 0xf3, 0x01, 0x0f] {
            assert_eq!(read(0xbede, &[0x10, 7, end, 0xff, 0x10, 1, 2, 3]), [(1, &[7][..])], "{end:#x}");
        }
        assert_eq!(read(0x1000, &[15, 1, 7, 0]), [(15, &[7][..])]);
        assert_eq!(read(0x1000, &[0, 15, 0, 0]), [(15, &[][..])]);
    }

    #[test]
    fn an_element_that_is_cut_off_is_an_error() {
        // The packet that other stacks panic on: an element of 16 bytes in an extension of four.
        let packet = [0x90, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0];
        let (profile, data) = crate::rtp::packet::Packet::parse(&packet).unwrap().extension().unwrap();
        let truncated = |expected, got| Err(RtpError::Truncated { part: Part::Element, expected, got });
        assert_eq!(Elements::parse(profile, data), truncated(17, 4));
        assert_eq!(Elements::parse(0x1000, &[0, 1, 3, 0]), truncated(5, 3));
        assert_eq!(Elements::parse(0x1000, &[0, 0, 0, 1]), truncated(2, 1), "not even a length");
        for profile in 0..=u16::MAX {
            let known = profile == 0xbede || profile >> 4 == 0x100;
            let expected = if known { None } else { Some(RtpError::Profile { got: profile }) };
            assert_eq!(Elements::parse(profile, &[]).err(), expected);
        }
    }

    #[test]
    fn what_a_form_cannot_say_is_not_written() {
        let mut room = [0xff; 300];
        let refused = |form: Form, id, len, part, expected_min, expected_max, got| {
            let error = form.write(&[Element { id, data: &[1; 300][..len] }], &mut [0; 300]).unwrap_err();
            assert_eq!(error, RtpError::Range { part, expected_min, expected_max, got });
        };
        let two = Form::TwoByte { appbits: 15 };
        refused(Form::OneByte, 0, 1, Part::ElementId, 1, 14, 0);
        refused(Form::OneByte, 15, 1, Part::ElementId, 1, 14, 15);
        refused(Form::OneByte, 1, 0, Part::Element, 1, 16, 0);
        refused(Form::OneByte, 1, 17, Part::Element, 1, 16, 17);
        refused(two, 0, 1, Part::ElementId, 1, 255, 0);
        refused(two, 1, 256, Part::Element, 0, 255, 256);
        refused(Form::TwoByte { appbits: 16 }, 1, 1, Part::AppBits, 0, 15, 16);
        let element = Element { id: 14, data: &[5; 16] };
        assert_eq!(Form::OneByte.write(&[element], &mut room[..19]), Err(RtpError::Room { expected: 20, got: 19 }));
        assert_eq!(room, [0xff; 300]);
        assert_eq!(Form::OneByte.write(&[element], &mut room), Ok(20));
        assert_eq!((room[0], &room[1..17], &room[17..21]), (0xef, &[5; 16][..], &[0, 0, 0, 0xff][..]));
        let many = vec![Element { id: 1, data: &[0; 255] }; 1021];
        let error = RtpError::TooLong { part: Part::Extension, expected_max: 262_140, got: 1021 * 257 };
        assert_eq!(two.len(&many), Err(error));
    }

    #[test]
    fn the_shortest_form_is_one_that_fits() {
        for (id, len, expected) in [
            (1, 1, Form::OneByte),
            (14, 16, Form::OneByte),
            (15, 1, Form::TwoByte { appbits: 0 }),
            (1, 0, Form::TwoByte { appbits: 0 }),
            (1, 17, Form::TwoByte { appbits: 0 }),
        ] {
            let elements = [Element { id: 3, data: &[1] }, Element { id, data: &[0; 20][..len] }];
            let form = Form::shortest(&elements);
            assert_eq!(form, expected);
            let mut room = [0; 100];
            let len = form.write(&elements, &mut room).unwrap();
            assert!(Elements::parse(form.profile(), &room[..len]).unwrap().iter().eq(elements));
        }
    }
}
