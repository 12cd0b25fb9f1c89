//! The committed corpora of the fuzz targets, for the tests that run each body over its own.

/// Runs `body` over each file of the corpus `name`.
///
/// # Panics
/// If there is no such corpus, or nothing in it: that would show nothing.
pub(crate) fn each(name: &str, body: impl Fn(&[u8])) {
    let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        body(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{folder}: an empty corpus shows nothing");
}
