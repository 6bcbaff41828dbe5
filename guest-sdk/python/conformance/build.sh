#!/bin/sh
# Builds the conformance handler: `./build.sh OUTPUT`, here, with componentize-py on the path.
componentize-py -d ../../../wit -w full-handler componentize -p . -p .. handler -o "$1"
