#!/bin/sh
# Programs in the guides are compiled: every block that opens with "```c program" or
# "```cpp program". Other blocks are fragments. What a page links to exists, and so does every file
# of the source tree that it names in backquotes with its path.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# extract FILE: writes its programs to the scratch folder as STEM-LINE.c or .cpp.
extract() {
    stem=$(echo "${1%.md}" | tr '/' '-')
    awk -v stem="$scratch/program-$stem" '
        /^```c program *$/   { out = stem "-" NR ".c"; next }
        /^```cpp program *$/ { out = stem "-" NR ".cpp"; next }
        /^```/ { if (out) close(out); out = "" }
        out { print > out }' "$1"
}

# compile COMPILER STANDARD FILE
compile() {
    name="$1 compiles $(basename "$3")"
    if ! command -v "$1" >/dev/null 2>&1; then
        skip "$name" "$1 is not installed"
        return
    fi
    # shellcheck disable=SC2086 # a list of options
    "$1" -std="$2" $warnings -I. -fsyntax-only "$3" 2>"$scratch/errors"
    expect_empty "$name" "$scratch/errors"
}

find README.md CONTRIBUTING.md docs tests examples -name '*.md' -type f | sort >"$scratch/pages"
# shellcheck disable=SC2016 # backquotes of a page
named='`(lucid|autograd|nn|backends|tests|examples|docs)/[A-Za-z0-9_/]+\.(c|h|cu|def|md|sh|py)`'
while read -r page; do
    {
        grep -o '](\([^)#:]*\)' "$page" | grep -v '](http' | sed "s|](|$(dirname "$page")/|"
        grep -oE "$named" "$page" | tr -d '`'
    } | while read -r target; do
        [ -e "$target" ] || echo "$page: $target"
    done
done <"$scratch/pages" >"$scratch/missing"
expect_empty "files that pages name exist" "$scratch/missing"

for file in README.md docs/*.md; do
    [ ! -f "$file" ] || extract "$file"
done
found=
for program in "$scratch"/program-*; do
    case $program in
    *.c)
        compile gcc c11 "$program"
        compile clang c11 "$program"
        ;;
    *.cpp)
        compile g++ c++17 "$program"
        compile clang++ c++17 "$program"
        ;;
    *) continue ;;
    esac
    found=yes
done
[ -n "$found" ] || skip "programs of the guides" "there are none yet"
finish
