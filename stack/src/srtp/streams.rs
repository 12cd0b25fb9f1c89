//! The streams of a session: what is remembered of each SSRC.

use super::SrtpError;
use sim::collections::HashMap;

/// Streams by SSRC, up to a limit. Nothing is forgotten unless it is removed.
pub(super) struct Streams<T> {
    /// Where in `all` a stream is.
    places: HashMap<u32, usize>,
    all: Vec<(u32, T)>,
    /// Most packets are of the stream that the last one was of.
    last: usize,
    limit: usize,
}

impl<T> Streams<T> {
    pub(super) fn new(limit: usize) -> Self {
        Streams { places: HashMap::default(), all: Vec::new(), last: 0, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(super) fn get(&self, ssrc: u32) -> Option<&T> {
        match self.all.get(self.last) {
            Some((last, stream)) if *last == ssrc => Some(stream),
            _ => self.places.get(&ssrc).map(|place| &self.all[*place].1),
        }
    }

    /// Whether there is room for this stream, or it is there.
    #[inline]
    pub(super) fn expect_room(&self, ssrc: u32) -> Result<(), SrtpError> {
        match self.all.len() < self.limit || self.get(ssrc).is_some() {
            true => Ok(()),
            false => Err(SrtpError::StreamLimit { ssrc, limit: self.limit }),
        }
    }

    /// The stream, made if it is new: [`Streams::expect_room`] has allowed it.
    #[inline]
    pub(super) fn get_or_make(&mut self, ssrc: u32, make: impl FnOnce() -> T) -> &mut T {
        if self.all.get(self.last).is_none_or(|(last, _)| *last != ssrc) {
            self.last = *self.places.entry(ssrc).or_insert_with(|| {
                self.all.push((ssrc, make()));
                self.all.len() - 1
            });
        }
        &mut self.all[self.last].1
    }

    /// Forgets a stream. False if there is none.
    pub(super) fn remove(&mut self, ssrc: u32) -> bool {
        let Some(place) = self.places.remove(&ssrc) else { return false };
        self.all.swap_remove(place);
        // The last one stands in its place now, unless it was the last one itself.
        if let Some((moved, _)) = self.all.get(place) {
            self.places.insert(*moved, place);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    proptest::proptest! {
        /// Each byte makes a stream or removes one: what is there is what a map says.
        #[test]
        fn streams_are_found_by_ssrc_whatever_was_removed(bytes in proptest::collection::vec(0u8..=255, 0..200)) {
            let (mut streams, mut model) = (Streams::new(6), BTreeMap::new());
            for byte in bytes {
                let ssrc = u32::from(byte % 9);
                if byte >= 200 {
                    assert_eq!(streams.remove(ssrc), model.remove(&ssrc).is_some());
                } else if streams.expect_room(ssrc).is_ok() {
                    let made = *streams.get_or_make(ssrc, || byte);
                    assert_eq!(made, *model.entry(ssrc).or_insert(byte));
                } else {
                    assert!(model.len() == 6 && !model.contains_key(&ssrc));
                }
                assert!(model.len() == streams.len() && (0..9).all(|ssrc| streams.get(ssrc) == model.get(&ssrc)));
            }
        }
    }
}
