#!/bin/sh
# Builds the conformance handler: ./build.sh OUTPUT.wasm, in this folder. Needs zig on PATH.
set -eu
zig cc -target wasm32-wasi -mexec-model=reactor -std=c11 -Wall -Wextra -Os -UNDEBUG \
    -Wl,-z,stack-size=65536 -Wl,--strip-debug -o "$1" conformance.c
