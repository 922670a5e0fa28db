#!/bin/sh
# What the shared library exports, and what the headers promise.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
library=$LUCID_BUILD/liblucid.so

nm -D --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort >"$scratch/exported"
# Symbols of the linker and of the sanitizers are not ours.
grep -vE '^(lucid_|_init$|_fini$|_edata$|_end$|__bss_start$|__(odr_)?asan)' "$scratch/exported" \
    >"$scratch/foreign"
expect_empty "every exported symbol begins with lucid_" "$scratch/foreign"

# shellcheck disable=SC2002,SC2046 # paths without blanks, often several
{ cat $(public_headers) && plain_calls; } | tr '\n' ' ' | grep -oE 'LUCID_API [^;{]*[;{]' |
    grep -oE 'lucid_[A-Za-z0-9_]*(\(|;|\[)' | tr -d '(;[' | sort -u >"$scratch/named"
comm -23 "$scratch/named" "$scratch/exported" >"$scratch/missing"
expect_empty "every LUCID_API declaration is defined" "$scratch/missing"
finish
