#!/bin/sh
# Calls that must not compile, each with the message that must come (cases.txt), and their neighbours that
# must (good.c). All calls are functions of one file, so that a compiler runs once.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/../house/tap.sh"
here=tests/compile_fail

# program LANGUAGE: the cases as functions; diagnostics name "case" and the line of cases.txt.
program() {
    awk -v language="$1" '
        BEGIN { print "#include <lucid/lucid.h>" }
        /^#/ || /^ *$/ { next }
        language == "c++" && /^C:/ { next }
        {
            call = $0
            sub(/ *## .*/, "", call)
            sub(/^C: */, "", call)
            print "void case_" NR "(lucid_tensor *x, lucid_tensor *w, lucid_tensor *y, lucid_module *net,"
            print "    lucid_optimizer *opt, lucid_loader *loader, lucid_dataset *ds, lucid_device dev, int n,"
            print "    double *a, uint16_t *half, lucid_tensor **list)"
            print "{"
            print "#line " NR " \"case\""
            print call ";"
            print "}"
        }' "$here/cases.txt"
}

# Each case has an error on its line that matches its expression. Arguments: compiler, field, messages.
check() {
    awk -v compiler="$1" -v field="$2" -v messages="$3" '
        BEGIN {
            while ((getline line < messages) > 0)
                if (line ~ /^case:[0-9]+:[0-9:]* (fatal )?error: /) {
                    split(line, part, ":")
                    errors[part[2]] = errors[part[2]] " | " line
                }
        }
        /^#/ || /^ *$/ { next }
        field == 0 && /^C:/ { next }
        {
            n = split($0, part, " *## *")
            call = part[1]
            expected = field == 0 ? "." : field == 2 && n > 2 ? part[3] : part[2]
            sub(/ *$/, "", expected)
            if (errors[NR] == "") print "not ok\t" compiler ": " call "\tit compiles"
            else if (errors[NR] !~ expected)
                print "not ok\t" compiler ": " call "\texpected \"" expected "\", got" errors[NR]
            else print "ok\t" compiler ": " call
        }' "$here/cases.txt"
}

# forbidden COMPILER LANGUAGE STANDARD FIELD [OPTION]
forbidden() {
    if ! command -v "$1" >/dev/null 2>&1; then
        skip "$1: forbidden calls" "$1 is not installed"
        return
    fi
    program "$2" >"$scratch/cases.$1"
    # shellcheck disable=SC2086 # an option or nothing
    LC_ALL=C "$1" -x "$2" -std="$3" $5 -I. -fsyntax-only "$scratch/cases.$1" 2>"$scratch/messages.$1"
    check "$1" "$4" "$scratch/messages.$1" >"$scratch/results.$1"
    while IFS='	' read -r result name details; do
        if [ "$result" = ok ]; then
            pass "$name"
        elif [ "$result" = "not ok" ]; then
            echo "$details" >"$scratch/details"
            fail "$name" "$scratch/details"
        fi
    done <"$scratch/results.$1"
}

# allowed COMPILER LANGUAGE STANDARD
allowed() {
    name="$1 -std=$3: good.c compiles without a warning"
    if ! command -v "$1" >/dev/null 2>&1; then
        skip "$name" "$1 is not installed"
        return
    fi
    # shellcheck disable=SC2086 # a list of options
    "$1" -x "$2" -std="$3" $warnings -I. -fsyntax-only "$here/good.c" 2>"$scratch/errors"
    expect_empty "$name" "$scratch/errors"
}

# gcc gives the place of an error in a macro as the call's with this option, as clang does.
forbidden gcc c c11 1 -ftrack-macro-expansion=0
forbidden clang c c11 2 -ferror-limit=0
forbidden g++ c++ c++17 0 -ftrack-macro-expansion=0
forbidden clang++ c++ c++17 0 -ferror-limit=0
allowed gcc c c11
allowed clang c c11
allowed g++ c++ c++17
allowed clang++ c++ c++17
allowed g++ c++ c++20
finish
