#!/bin/sh
# Every public header compiles alone, as C11 and as C++17, and every private one as the library's C.
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

: >"$scratch/errors"
for header in $(find lucid autograd nn -name '*_priv.h' -type f | sort); do
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        ${CC:-cc} -x c -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fsyntax-only - \
            2>>"$scratch/errors" || echo "^ $header" >>"$scratch/errors"
done
expect_empty "every private header compiles alone" "$scratch/errors"

finish
