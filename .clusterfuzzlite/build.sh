#!/usr/bin/env bash
# Builds every fuzz target into $OUT, each with the corpus that is committed for it: what ClusterFuzzLite runs in its image, and what
# runs as well on a laptop, as `OUT=folder .clusterfuzzlite/build.sh` in the repository. TARGETS names some of the targets for a shorter look.
set -euo pipefail
: "${OUT:?expected OUT, the folder that the targets go to}"
OUT=$(mkdir -p "$OUT" && cd "$OUT" && pwd)
# In the image this script lies beside the repository.
if [ -n "${SRC:-}" ]; then cd "$SRC/glare"; else cd "$(dirname "$0")/.."; fi
host=$(rustc -vV | sed -n 's/^host: //p')
if ! rustc --version | grep -q nightly; then
  # A sanitizer is an unstable option of the compiler.
  export RUSTC_BOOTSTRAP=1
fi
count=0
for file in fuzz/fuzz_targets/*.rs; do
  target=$(basename "$file" .rs)
  if [ -n "${TARGETS:-}" ] && ! grep -qw -- "$target" <<<"$TARGETS"; then
    continue
  fi
  if grep -q 'glare_fuzz::schedules!' "$file"; then
    # AddressSanitizer warns of coroutines, which schedules are made of. What is C in them is built without it too.
    env -u CFLAGS -u CXXFLAGS cargo fuzz build --sanitizer none --target-dir fuzz/target/none "$target"
    built=fuzz/target/none
  else
    cargo fuzz build --sanitizer address --target-dir fuzz/target/address "$target"
    built=fuzz/target/address
  fi
  cp "$built/$host/release/$target" "$OUT/"
  # Stored as they are: they are small, and any unzip reads it.
  (cd "fuzz/corpus/$target" && python3 -m zipfile -c "$OUT/${target}_seed_corpus.zip" ./*)
  count=$((count + 1))
done
echo "$count targets in $OUT"
