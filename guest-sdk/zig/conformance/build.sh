#!/bin/sh
# Builds the conformance handler: ./build.sh OUTPUT.wasm, in this folder. Needs zig on PATH.
set -eu
zig build-exe -target wasm32-wasi -OReleaseSmall -fsingle-threaded -fno-entry -rdynamic --stack 65536 \
    --dep sandsock --dep handler -Mroot=../main.zig \
    --dep sandsock -Mhandler=conformance.zig -Msandsock=../sandsock.zig -femit-bin="$1"
