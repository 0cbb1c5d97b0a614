#!/bin/sh
# Writes what the binary is built from: every crate with version, licence and checksum, in CycloneDX JSON. The same for the packages and
# for `docker build`; cargo-cyclonedx has to be on the PATH.
#
#     sbom.sh TARGET_TRIPLE FILE
set -eu

triple=$1 file=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
name=esp-connector.cdx

cargo cyclonedx --quiet --manifest-path "$top/connector/Cargo.toml" --format json --spec-version 1.5 --target "$triple" \
    --override-filename "$name"
mkdir -p "$(dirname "$file")"
# Crates of this repository are named by the place they were built in, which is nobody's business.
sed "s|$top/||g; s|$top||g" "$top/connector/$name.json" >"$file.new"
# One was written beside each manifest of the workspace.
find "$top" -path "$top/target" -prune -o -name "$name.json" -exec rm -f {} +
mv "$file.new" "$file"
