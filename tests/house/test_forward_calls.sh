#!/bin/sh
# Calls of lucid_forward and lucid_forward_into that must not compile, with a part of the message,
# and calls that must compile without a warning, nested ones included.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# program STATEMENT: a function around it, in C or C++.
program() {
    cat <<END
#include <lucid/lucid.h>
void f(lucid_module *m, lucid_tensor *x, lucid_tensor *y, lucid_tensor *z);
void f(lucid_module *m, lucid_tensor *x, lucid_tensor *y, lucid_tensor *z)
{
    $1;
    (void)m, (void)x, (void)y, (void)z;
}
END
}

# compiler LANGUAGE STANDARD COMPILER: reads a program.
compiler() {
    # shellcheck disable=SC2086 # a list of options
    "$3" -x "$1" -std="$2" $warnings -I. -fsyntax-only - 2>"$scratch/errors"
}

# refused MESSAGE STATEMENT
refused() {
    for with in 'c c11 gcc' 'c c11 clang' 'c++ c++17 g++' 'c++ c++17 clang++'; do
        name="$with refuses $2"
        # shellcheck disable=SC2086 # three words
        set -- "$1" "$2" $with
        if ! command -v "$5" >/dev/null 2>&1; then
            skip "$name" "$5 is not installed"
        elif program "$2" | compiler "$3" "$4" "$5"; then
            echo "it compiles" >"$scratch/errors"
            fail "$name" "$scratch/errors"
        elif grep -q "$1" "$scratch/errors"; then
            pass "$name"
        else
            fail "$name" "$scratch/errors"
        fi
    done
}

# taken STATEMENT
taken() {
    for with in 'c c11 gcc' 'c c11 clang' 'c++ c++17 g++' 'c++ c++17 clang++'; do
        name="$with takes $1"
        # shellcheck disable=SC2086 # three words
        set -- "$1" $with
        if ! command -v "$4" >/dev/null 2>&1; then
            skip "$name" "$4 is not installed"
        else
            program "$1" | compiler "$2" "$3" "$4"
            expect_empty "$name" "$scratch/errors"
        fi
    done
}

refused 'at most 8 inputs' 'lucid_forward(m, x, x, x, x, x, x, x, x, x)'
refused 'at most 8 inputs' 'lucid_forward(m, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x)'
refused 'at most 8 inputs' 'lucid_checkpoint(m, x, x, x, x, x, x, x, x, x)'
refused 'at most 8 inputs' 'lucid_forward_into(m, (x, x, x, x, x, x, x, x, x), (&y))'
refused 'at most 8 outputs' 'lucid_forward_into(m, (x), (&y, &y, &y, &y, &y, &y, &y, &y, &y))'
refused 'too few arguments\|no matching function' 'lucid_forward(m)'
refused 'error' 'lucid_forward(m, x, m)'
refused 'error' 'lucid_forward(m, x, 1.5)'
refused 'error' 'lucid_forward_into(m, (x), (y))'
refused 'LIST_IN_PARENTHESES' 'lucid_forward_into(m, x, &y)'

taken 'z = lucid_forward(m, x)'
taken 'z = lucid_forward(m, x, y, NULL)'
taken 'z = lucid_forward(m, x, x, x, x, x, x, x, x)'
taken 'z = lucid_forward(m, lucid_forward(m, lucid_forward(m, x, y), y), lucid_forward(m, x))'
taken 'z = lucid_checkpoint(m, lucid_checkpoint(m, x), lucid_forward(m, x, y))'
taken 'if (!lucid_forward_into(m, (x, lucid_forward(m, x, y)), (&x, &y))) return'
taken '(void)lucid_forward_into(m, (x), (&y))'
taken 'lucid_tensor *(*f2)(lucid_module *, lucid_tensor *) = lucid_forward; z = f2(m, x)'

finish
