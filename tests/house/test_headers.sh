#!/bin/sh
# Every public header compiles alone, as C11 and as C++17.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# alone COMPILER LANGUAGE STANDARD
alone() {
    name="$1 -std=$3: every public header compiles alone"
    if ! command -v "$1" >/dev/null 2>&1; then
        skip "$name" "$1 is not installed"
        return
    fi
    : >"$scratch/errors"
    for header in $(public_headers); do
        # Twice, to see the include guard.
        # shellcheck disable=SC2086 # a list of options
        printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
            "$1" -x "$2" -std="$3" $warnings -I. -fsyntax-only - 2>>"$scratch/errors" ||
            echo "^ $header" >>"$scratch/errors"
    done
    expect_empty "$name" "$scratch/errors"
}

alone gcc c c11
alone clang c c11
alone g++ c++ c++17
alone clang++ c++ c++17

finish
