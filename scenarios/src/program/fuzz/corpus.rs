//! The targets' corpora on disk.

use crate::program::Failure;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders in which corpora and what was found are kept.
#[derive(Clone, Debug)]
pub(super) struct Corpora {
    dir: PathBuf,
    fuzz_dir: PathBuf,
}

/// A corpus that is being minimised, and the one that it is to replace, beside it.
const MINIMISED: &str = "minimised";
const BEFORE: &str = "before";

impl Corpora {
    /// Opens them, and puts in order what a run that was killed left behind.
    pub(super) fn open(dir: &Path, fuzz_dir: &Path) -> Result<Corpora, Failure> {
        let corpora = Corpora { dir: dir.to_owned(), fuzz_dir: fuzz_dir.to_owned() };
        corpora.recover().map_err(|error| Failure::System(format!("{} cannot be used: {error}", dir.display())))?;
        Ok(corpora)
    }

    /// What libFuzzer keeps.
    pub(super) fn kept(&self, target: &str) -> PathBuf {
        self.dir.join("corpus").join(target)
    }

    /// What is committed for it to begin with.
    pub(super) fn seeds(&self, target: &str) -> PathBuf {
        self.fuzz_dir.join("corpus").join(target)
    }

    /// What it found.
    pub(super) fn artifacts(&self, target: &str) -> PathBuf {
        self.dir.join("artifacts").join(target)
    }

    /// Makes the folders of a target, and puts what it begins with into an empty corpus.
    pub(super) fn prepare(&self, target: &str, first_inputs: &[Vec<u8>]) -> Result<(), Failure> {
        let (kept, artifacts) = (self.kept(target), self.artifacts(target));
        let prepare = || -> std::io::Result<()> {
            fs::create_dir_all(&artifacts)?;
            fs::create_dir_all(&kept)?;
            if self.entries(target) == 0 {
                for (number, input) in first_inputs.iter().enumerate() {
                    fs::write(kept.join(format!("first-{number}")), input)?;
                }
            }
            Ok(())
        };
        prepare().map_err(|error| Failure::System(format!("{} cannot be used: {error}", kept.display())))
    }

    /// How many entries are kept.
    pub(super) fn entries(&self, target: &str) -> usize {
        fs::read_dir(self.kept(target)).map_or(0, Iterator::count)
    }

    /// What was found, by name.
    pub(super) fn found(&self, target: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.artifacts(target)).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
        files
    }

    /// An empty folder for the minimised corpus.
    pub(super) fn minimised(&self, target: &str) -> std::io::Result<PathBuf> {
        let folder = self.beside(target, MINIMISED);
        remove(&folder)?;
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Puts the minimised corpus, which reaches all that the kept one does, into its place. At no moment is neither there.
    pub(super) fn replace(&self, target: &str) -> std::io::Result<()> {
        let (kept, minimised, before) = (self.kept(target), self.beside(target, MINIMISED), self.beside(target, BEFORE));
        for entry in fs::read_dir(&minimised)? {
            fs::File::open(entry?.path())?.sync_all()?;
        }
        fs::rename(&kept, &before)?;
        fs::rename(&minimised, &kept)?;
        remove(&before)
    }

    fn beside(&self, target: &str, what: &str) -> PathBuf {
        self.dir.join(what).join(target)
    }

    fn recover(&self) -> std::io::Result<()> {
        for folder in ["corpus", "artifacts", BEFORE, MINIMISED] {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        for entry in fs::read_dir(self.dir.join(BEFORE))? {
            let before = entry?.path();
            let Some(target) = before.file_name().and_then(|name| name.to_str()) else { continue };
            let kept = self.kept(target);
            match kept.exists() {
                // The other had its place already.
                true => remove(&before)?,
                false => fs::rename(&before, &kept)?,
            }
        }
        remove(&self.dir.join(MINIMISED))?;
        fs::create_dir_all(self.dir.join(MINIMISED))
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpora(name: &str) -> Corpora {
        let dir = std::env::temp_dir().join(format!("glare-corpora-{name}-{}", std::process::id()));
        remove(&dir).unwrap();
        let corpora = Corpora::open(&dir, Path::new("fuzz")).unwrap();
        corpora.prepare("target", &[]).unwrap();
        corpora
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The steps of [`Corpora::replace`], of which a kill lets the first few happen.
    #[test]
    fn whenever_it_is_killed_a_whole_corpus_is_there_afterwards() {
        for steps in 0..=3 {
            let corpora = corpora(&format!("killed-{steps}"));
            let kept = corpora.kept("target");
            ["a", "b", "c"].iter().for_each(|name| fs::write(kept.join(name), name).unwrap());
            let minimised = corpora.minimised("target").unwrap();
            fs::write(minimised.join("b"), "b").unwrap();
            let before = corpora.beside("target", BEFORE);
            if steps > 0 {
                fs::rename(&kept, &before).unwrap();
            }
            if steps > 1 {
                fs::rename(&minimised, &kept).unwrap();
            }
            if steps > 2 {
                remove(&before).unwrap();
            }
            let again = Corpora::open(&corpora.dir, Path::new("fuzz")).unwrap();
            let wanted: &[&str] = if steps > 1 { &["b"] } else { &["a", "b", "c"] };
            assert_eq!(names(&again.kept("target")), wanted, "after {steps} steps");
            assert!(names(&corpora.dir.join(BEFORE)).is_empty() && names(&corpora.dir.join(MINIMISED)).is_empty());
            remove(&corpora.dir).unwrap();
        }
    }

    #[test]
    fn only_an_empty_corpus_is_given_something_to_begin_with() {
        let corpora = corpora("begins");
        corpora.prepare("target", &[vec![1], vec![2]]).unwrap();
        assert_eq!(names(&corpora.kept("target")), ["first-0", "first-1"]);
        fs::remove_file(corpora.kept("target").join("first-1")).unwrap();
        corpora.prepare("target", &[vec![1], vec![2]]).unwrap();
        assert_eq!(names(&corpora.kept("target")), ["first-0"]);
        remove(&corpora.dir).unwrap();
    }

    #[test]
    fn a_minimised_corpus_takes_the_place_of_the_one_before() {
        let corpora = corpora("replaced");
        fs::write(corpora.kept("target").join("a"), "a").unwrap();
        fs::write(corpora.minimised("target").unwrap().join("b"), "b").unwrap();
        corpora.replace("target").unwrap();
        assert_eq!((names(&corpora.kept("target")), corpora.entries("target")), (vec!["b".to_owned()], 1));
        remove(&corpora.dir).unwrap();
    }
}
