#!/bin/sh
# Every exported function answers with an error where it is given a NULL or nonsense, and never
# crashes. The calls are written from the public headers, so a new function is covered as it appears.
# A run under sanitizers, and as long as one likes: tests/fuzz/run.sh api.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
fuzz=$LUCID_SOURCE/tests/fuzz

sh "$fuzz/api_calls.sh" >"$scratch/api_calls.h" 2>"$scratch/said" || echo "no calls" >>"$scratch/said"
grep -oE '\{"lucid_[a-z_0-9A-Z]+"' "$scratch/api_calls.h" | tr -d '{"' | sort >"$scratch/covered"
nm -D --defined-only "$LUCID_BUILD/liblucid.so" | awk '$2 == "T" && $3 ~ /^lucid_/ { print $3 }' | sort |
    comm -3 - "$scratch/covered" >>"$scratch/said"
expect_empty "each exported function is in the table, and nothing else" "$scratch/said"

${CC:-cc} -std=c11 -O1 -I"$scratch" -I"$fuzz" -I"$LUCID_SOURCE" "$fuzz/fuzz_api.c" -o "$scratch/fuzz_api" \
    -L"$LUCID_BUILD" -llucid -lm -Wl,-rpath,"$LUCID_BUILD" -Wno-unused-function >"$scratch/said" 2>&1
expect_empty "the calls compile" "$scratch/said"

cd "$scratch" || exit 1
./fuzz_api null >"$scratch/said" 2>&1 && : >"$scratch/said"
expect_empty "no function crashes where one of its pointers is NULL" "$scratch/said"
./fuzz_api 4000 1 >"$scratch/said" 2>&1 && : >"$scratch/said"
expect_empty "no function crashes in 4,000 calls with random arguments" "$scratch/said"
finish
