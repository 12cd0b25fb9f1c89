//! What a run leaves in a file: the whole file or none of it.

use super::Failure;
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that will hold the rows, or what came of a call. It is made beside its place before anything runs, so that a wrong path is known at once, and
/// moved into its place when it is whole.
#[derive(Debug)]
pub(crate) struct WholeFile {
    place: PathBuf,
    beside: PathBuf,
    file: Option<File>,
}

impl WholeFile {
    pub(crate) fn create(place: &Path) -> Result<WholeFile, Failure> {
        let special = fs::metadata(place).is_ok_and(|metadata| !metadata.is_file());
        let mut name = place.file_name().ok_or_else(|| fails(place, "it names no file"))?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        // A device is written as it is: nothing can be moved over it.
        let beside = if special { place.to_owned() } else { place.with_file_name(name) };
        let file = if special { File::options().write(true).open(&beside) } else { File::create(&beside) };
        Ok(WholeFile { place: place.to_owned(), file: Some(file.map_err(|error| fails(place, error))?), beside })
    }

    pub(crate) fn write_json(self, what: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(what).map_err(|error| fails(&self.place, error))?;
        text.push(b'\n');
        self.write(&text)
    }

    pub(crate) fn write(mut self, text: &[u8]) -> Result<(), Failure> {
        let place = self.place.clone();
        if let Some(mut file) = self.file.take() {
            let special = self.beside == self.place;
            let synced = |file: &File| if special { Ok(()) } else { file.sync_all() };
            let written = file.write_all(text).and_then(|()| file.flush()).and_then(|()| synced(&file));
            if let Err(error) = written {
                self.discard();
                return Err(fails(&place, error));
            }
            if !special && let Err(error) = fs::rename(&self.beside, &self.place) {
                self.discard();
                return Err(fails(&place, error));
            }
        }
        Ok(())
    }

    fn discard(&mut self) {
        if self.beside != self.place {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.discard();
        }
    }
}

fn fails(place: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::System(format!("{} was not written: {why}", place.display()))
}
