//! The program that libsrtp2 runs in: compiled once per version of its source.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("libsrtp2.c");

/// The compiled program. Its name has the source's hash, so it is compiled once per version of the source.
pub(super) fn program() -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("libsrtp2-peer-{:016x}", hasher.finish()));
    if program.exists() {
        return Ok(program);
    }
    let workspace = own_folder(folder).map_err(|error| format!("no folder to compile in: {error}"))?;
    let compiled = compile(&workspace).and_then(|compiled| {
        // Whole or not at all: tests that begin together compile it twice, and run either.
        fs::rename(&compiled, &program).map_err(|error| format!("{} cannot be named: {error}", compiled.display()))
    });
    let _ = fs::remove_dir_all(&workspace);
    compiled.map(|()| program)
}

/// A folder that nobody else has.
fn own_folder(parent: &Path) -> io::Result<PathBuf> {
    let mut number = 0_u32;
    loop {
        let folder = parent.join(format!("libsrtp2-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            other => return other.map(|()| folder),
        }
    }
}

fn compile(folder: &Path) -> Result<PathBuf, String> {
    let (source, program) = (folder.join("libsrtp2.c"), folder.join("libsrtp2"));
    fs::write(&source, SOURCE).map_err(|error| format!("{} cannot be written: {error}", source.display()))?;
    let flags = match Command::new("pkg-config").args(["--cflags", "--libs", "libsrtp2"]).output() {
        Ok(found) if found.status.success() => String::from_utf8_lossy(&found.stdout).into_owned(),
        // Without pkg-config the library may still be where the compiler looks.
        _ => "-lsrtp2".to_owned(),
    };
    let compiled = Command::new("cc")
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(&program)
        .arg(&source)
        .args(flags.split_whitespace())
        .output()
        .map_err(|error| format!("cc does not start: {error}"))?;
    if compiled.status.success() {
        return Ok(program);
    }
    let said = String::from_utf8_lossy(&compiled.stderr);
    Err(format!(
        "cc does not compile it, is libsrtp2-dev there? {}",
        said.lines().find(|line| line.contains("error")).unwrap_or("")
    ))
}
