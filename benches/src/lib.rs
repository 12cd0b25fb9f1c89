//! The benchmarks stand in `benches/`; this package is theirs.
