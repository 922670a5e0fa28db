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

# A project with folders and headers of lucid's names: nn/nn.h, lucid/core/tensor.h, autograd/ops.h, core/api.h ...
mkdir "$scratch/project"
for header in $(public_headers); do
    for path in "$header" "$(basename "$header")" "lucid/$header" "${header#*/}"; do
        [ "$path" != lucid/lucid.h ] && [ "$path" != lucid/extend.h ] || continue
        mkdir -p "$scratch/project/$(dirname "$path")"
        echo '#error this is a header of the project' >"$scratch/project/$path"
    done
done
mkdir -p "$scratch/project/nn"
echo 'static int own_nn(void) { return 0; }' >"$scratch/project/nn/nn.h"
printf '#include "nn/nn.h"\n#include <lucid/lucid.h>\n#include <lucid/extend.h>\n%s\n' \
    'int main(void) { return own_nn() + lucid_finish(); }' >"$scratch/project/main.c"
for compiler in gcc clang; do
    name="$compiler: a project that has an nn/nn.h itself is built"
    if ! command -v "$compiler" >/dev/null 2>&1; then
        skip "$name" "$compiler is not installed"
        continue
    fi
    # shellcheck disable=SC2086 # lists of options
    "$compiler" -std=c11 $warnings -I"$scratch/project" $flags "$scratch/project/main.c" \
        -o "$scratch/project/main" $libs >"$scratch/errors" 2>&1
    expect_empty "$name" "$scratch/errors"
done

# The version stands in meson.build, in core/version.h and in the name of the library.
version=$(pkg-config --modversion lucid)
: >"$scratch/errors"
grep -q "LUCID_VERSION_STRING \"$version\"" lucid/core/version.h ||
    echo "lucid/core/version.h does not say $version" >"$scratch/errors"
minor=${version%.*}
soname=$(readelf -d "$LUCID_BUILD/liblucid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
[ "$soname" = "liblucid.so.$minor" ] || echo "the soname is $soname, not liblucid.so.$minor" >>"$scratch/errors"
expect_empty "one version everywhere" "$scratch/errors"
finish
