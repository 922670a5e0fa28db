#!/bin/sh
# Every exported function refuses a tensor that has ended, and says with which scope.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
name='every function refuses tensors that have ended'

# shellcheck disable=SC2002,SC2046 # paths without blanks, often several
{
    cat $(public_headers) | sed '/##name/d'
    plain_calls
} | sed 's|/\*.*\*/||; s|//.*||' | tr '\n' ' ' | sed 's/  */ /g' |
    awk -f tests/house/dangling.awk >"$scratch/uses.h"
${CC:-cc} -g -I. -I"$scratch" tests/house/dangling.c -o "$scratch/dangling" \
    -L"$LUCID_BUILD" -llucid "-Wl,-rpath,$LUCID_BUILD" >"$scratch/said" 2>&1 &&
    LUCID_DEBUG_TENSORS=1 "$scratch/dangling" "$scratch/tensors" >>"$scratch/said" 2>&1 ||
    echo "ended with $?" >>"$scratch/said"
expect_empty "$name" "$scratch/said"

LUCID_DEBUG_TENSORS=maybe "$scratch/dangling" "$scratch/tensors" 2>&1 >/dev/null | head -n 1 |
    grep -vxF 'lucid: LUCID_DEBUG_TENSORS: expected 0 or 1, got "maybe"' >"$scratch/said"
expect_empty 'an unknown value of LUCID_DEBUG_TENSORS is reported' "$scratch/said"
finish
