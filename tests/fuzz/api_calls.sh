#!/bin/sh
# api_calls.sh: prints the calls of every exported function, for fuzz_api.c; see api.awk.
set -eu
cd "$(dirname "$0")/../.."
specials=$(grep -oE 'special_lucid_[a-z_0-9]+|FREES\(lucid_[a-z_0-9]+' tests/fuzz/fuzz_api.c |
    sed 's/special_//; s/FREES(//' | sort -u)
find lucid autograd nn -name '*.h' ! -name '*_priv.h' -type f | sort | sed 's/.*/#include <&>/' |
    ${CC:-cc} -x c -E -P -I. - | awk -v specials="$specials" -f tests/fuzz/api.awk
