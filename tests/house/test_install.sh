#!/bin/sh
# What `meson install` installs is whole: every public header compiles from there, and a program
# is built with nothing but pkg-config.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

meson install -C "$LUCID_BUILD" --no-rebuild --destdir "$scratch/root" >"$scratch/log" 2>&1 ||
    fail "meson install" "$scratch/log"

pc=$(find "$scratch/root" -name lucid.pc)
export PKG_CONFIG_SYSROOT_DIR="$scratch/root" PKG_CONFIG_PATH="${pc%/lucid.pc}"
flags=$(pkg-config --cflags lucid)
libs=$(pkg-config --libs lucid)

for header in $(public_headers); do
    # shellcheck disable=SC2086 # lists of options
    printf '#include <%s>\n' "$header" | cc -x c -std=c11 $warnings $flags -fsyntax-only - \
        2>>"$scratch/errors" || echo "^ $header" >>"$scratch/errors"
done
expect_empty "every public header is installed with all that it includes" "$scratch/errors"

find "$scratch/root" -name '*_priv.h' | sed "s|$scratch/root||" >"$scratch/private"
expect_empty "no private header is installed" "$scratch/private"

printf '#include <lucid/lucid.h>\nint main(void) { return lucid_finish(); }\n' >"$scratch/user.c"
# shellcheck disable=SC2086 # lists of options
cc -std=c11 $flags "$scratch/user.c" -o "$scratch/user" $libs >"$scratch/errors" 2>&1 &&
    LD_LIBRARY_PATH=$(dirname "${pc%/pkgconfig/lucid.pc}/.") "$scratch/user" >"$scratch/errors" 2>&1 ||
    echo "exit status $?" >>"$scratch/errors"
expect_empty "a program is built by pkg-config and runs" "$scratch/errors"
finish
