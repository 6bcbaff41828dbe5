#!/bin/sh
# Builds the conformance handler to $1, as a project is built. On PATH: node, and the `node_modules/.bin`
# that has esbuild 0.28.2 and @bytecodealliance/componentize-js 0.23.0.
set -eu
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
mkdir "$project/sandsock"
echo '{ "type": "module" }' > "$project/package.json"
cp ../*.js ../../../wit/handler.wit "$project/sandsock"
cp conformance.js "$project"
ln -s "$(dirname "$(command -v componentize-js)")/.." "$project/node_modules"
case $1 in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
(cd "$project" && node sandsock/build.js conformance.js "$output")
