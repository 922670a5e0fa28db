#!/bin/sh
# plugin_version.sh OUTPUT FILE...: writes a header with a number that stands for the text of these
# files. The build calls it with all that a plug-in and the library must agree on.
set -eu
output=$1
shift
sum=$(cat "$@" | LC_ALL=C cksum) # "CRC BYTES"
# shellcheck disable=SC2086 # two words
set -- $sum
printf '%s\n' \
    '/* plugin_version.h: which lucid this is, for plug-ins: see plugin.h. The build has made it. */' \
    '#ifndef LUCID_PLUGIN_VERSION' \
    "$(printf '#define LUCID_PLUGIN_VERSION UINT64_C(0x%08x%08x)' "$1" "$2")" \
    '#endif' >"$output"
