#!/bin/sh
# Builds the conformance handler: ./build.sh OUTPUT.wasm. Needs asc, of the npm package assemblyscript.
set -eu
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
asc conformance/index.ts --baseDir .. --outFile "$out" -Osize --debug \
  --use abort=globals/abort --use console=globals/console --use seed=globals/seed
