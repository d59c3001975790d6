#!/bin/sh
# Verifies all that is here. See README.txt
cd -- "$(dirname -- "$0")" &&
sha256sum --quiet --strict -c SHA256SUMS &&
sh steps.sh "$@" &&
sha256sum --quiet --strict -c SHA256SUMS
