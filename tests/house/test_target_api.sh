#!/bin/sh
# The programs of tests/target_api compile without a warning as any user would compile them.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# compile COMPILER STANDARD FILE
compile() {
    name="$1 -std=$2 compiles $3 without a warning"
    if ! command -v "$1" >/dev/null 2>&1; then
        skip "$name" "$1 is not installed"
    else
        # shellcheck disable=SC2086 # a list of options
        "$1" -std="$2" -O1 $warnings -I. -c "$3" -o "$scratch/object" 2>"$scratch/errors"
        expect_empty "$name" "$scratch/errors"
    fi
}

for program in tests/target_api/*.c; do
    for compiler in gcc clang; do
        compile $compiler c11 "$program"
        compile $compiler gnu17 "$program"
    done
done
for program in tests/target_api/*.cpp; do
    [ -f "$program" ] || continue
    compile g++ c++17 "$program"
    compile clang++ c++17 "$program"
done
finish
