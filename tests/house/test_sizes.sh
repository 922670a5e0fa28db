#!/bin/sh
# Files have under 800 lines, functions under 60, and lines at most 100 columns, in comments too.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

sources() {
    find lucid autograd nn backends examples tests -type f \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cpp' -o -name '*.def' \)
}
scripts() {
    find lucid autograd nn backends examples tests -type f \( -name '*.sh' -o -name meson.build \)
    echo run
    echo .ci/run
}

{
    sources
    scripts
} | while read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -lt 800 ] || echo "$file: $lines lines"
done >"$scratch/long_files"
expect_empty "files are under 800 lines" "$scratch/long_files"

# Prints functions that are too long. clang-format puts the braces of a function, and of nothing
# else, alone in the first column (other blocks close with "};" or "} name;"). Lines of the
# preprocessor are not counted: a macro that a function defines for itself is one of its own.
long_functions() {
    awk '
        FNR == 1 { start = 0; directive = 0 }
        /^\{$/ { start = FNR; lines = 0; next }
        /^}$/ && start {
            if (lines >= 60) print FILENAME ":" start ": " lines " lines"
            start = 0
        }
        /^[ \t]*#/ { directive = 1 }
        !directive { lines++ }
        !/\\$/ { directive = 0 }' "$@"
}
# shellcheck disable=SC2046 # paths without blanks
long_functions $(sources) >"$scratch/long_functions"
expect_empty "functions are under 60 lines" "$scratch/long_functions"

# The programs of tests/target_api are quoted from a document and stand as they are there.
long_lines() { awk 'length > 100 { print FILENAME ":" FNR ": " length " columns" }' "$@"; }
# shellcheck disable=SC2046 # paths without blanks
long_lines $(sources | grep -v '^tests/target_api/') >"$scratch/long_lines"
expect_empty "lines have at most 100 columns" "$scratch/long_lines"

{
    printf 'int f(void)\n{\n'
    awk 'BEGIN { for (i = 0; i < 60; i++) print "    f();" }'
    printf '}\n/* %0101d */\n' 0
} >"$scratch/long.h"
long_functions "$scratch/long.h" >"$scratch/found"
long_lines "$scratch/long.h" >>"$scratch/found"
if [ "$(sed 's/.*long.h:\([0-9]*\):.*/\1/' "$scratch/found" | tr '\n' ' ')" = '2 64 ' ]; then
    pass "a long function and a long line of a header are found"
else
    fail "a long function and a long line of a header are found" "$scratch/found"
fi
finish
