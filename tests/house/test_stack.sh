#!/bin/sh
# What functions have on the stack: LUC_STACK_RESERVE must hold the largest, and what calls it.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
library=$LUCID_BUILD/liblucid.so
most=49152 # bytes, of 73728 that are reserved

if ! command -v objdump >/dev/null || [ "$(uname -m)" != x86_64 ] ||
    nm -D "$library" | grep -q __asan; then
    skip "no function has a large frame" "needs objdump, x86-64 and no sanitizer"
    finish
    exit
fi

# The library is built with hidden names: a function is named where objdump knows it.
objdump -d --no-show-raw-insn "$library" | awk -v most=$most '
    function number(hex,    i, n) {
        for (i = 1; i <= length(hex); i++)
            n = 16 * n + index("0123456789abcdef", substr(hex, i, 1)) - 1
        return n
    }
    /^[0-9a-f]+ </ { name = $2 }
    / sub +\$0x[0-9a-f]+,%rsp/ || / lea +-0x[0-9a-f]+\(%rsp\),%r11/ || /\tsub +\$0x[0-9a-f]+,%rsp/ {
        match($0, /0x[0-9a-f]+/)
        bytes = number(substr($0, RSTART + 2, RLENGTH - 2))
        if (bytes > most && bytes < 2147483648) print name, bytes " bytes"
    }' | sort -u >"$scratch/large"
expect_empty "no function has a large frame" "$scratch/large"
finish
