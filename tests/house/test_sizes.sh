#!/bin/sh
# Files under 800 lines; functions of the library and the examples under 60.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

{
    find lucid autograd nn backends examples tests -type f \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.sh' -o -name '*.def' -o -name '*.cpp' -o -name meson.build \)
    echo run
} | while read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -lt 800 ] || echo "$file: $lines lines"
done >"$scratch/long_files"
expect_empty "files are under 800 lines" "$scratch/long_files"

# clang-format puts the braces of a function, and of nothing else, alone in the first column
# (other blocks close with "};" or "} name;").
find lucid autograd nn backends examples -name '*.c' -type f | while read -r file; do
    awk -v file="$file" '
        /^\{$/ { start = NR }
        /^}$/ && start {
            if (NR - start > 60) print file ":" start ": " NR - start - 1 " lines"
            start = 0
        }' "$file"
done >"$scratch/long_functions"
expect_empty "functions are under 60 lines" "$scratch/long_functions"
finish
