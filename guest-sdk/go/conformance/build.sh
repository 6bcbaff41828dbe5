#!/bin/sh
# Builds the conformance handler: ./build.sh OUTPUT.wasm. Needs go.
set -eu
GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -o "$1" .
