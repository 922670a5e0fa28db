#!/bin/sh
# README's program built against an installed lucid in every way that README tells, to the letter:
# by pkg-config, as a static program, with CMake, and with lucid as a Meson subproject. Then it
# runs.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# block LANGUAGE: README's first block of that language.
block() {
    awk -v open="\`\`\`$1" '
        $0 == open { inside = 1; next }
        inside && /^```/ { exit }
        inside' README.md
}
# line PATTERN: README's first command line (four or more blanks before it) that holds the pattern.
line() { sed -n 's/^    *\(cc net\.c .*\)$/\1/p' README.md | grep -- "$1" | head -n 1; }

# A data set of 128 and 64 black images, all of class 0, as big-endian idx files.
mkdir "$scratch/data"
black() { # NAME NUMBER NUMBER-AS-A-BYTE
    {
        printf '\0\0\010\003\0\0\0'"$3"'\0\0\0\034\0\0\0\034'
        head -c $(($2 * 784)) /dev/zero
    } >"$scratch/data/$1-images-idx3-ubyte"
    {
        printf '\0\0\010\001\0\0\0'"$3"
        head -c "$2" /dev/zero
    } >"$scratch/data/$1-labels-idx1-ubyte"
}
black train 128 '\200'
black t10k 64 '\100'

# A copy of the installation in a prefix of its own, as `meson install` makes it there.
meson install -C "$LUCID_BUILD" --no-rebuild --destdir "$scratch/root" >"$scratch/log" 2>&1 ||
    fail "meson install" "$scratch/log"
pc=$(find "$scratch/root" -name lucid.pc)
prefix=$scratch/root$(sed -n 's/^prefix=//p' "$pc")
sed -i "s|^prefix=.*|prefix=$prefix|" "$pc"
export PKG_CONFIG_PATH="${pc%/lucid.pc}"
unset LD_LIBRARY_PATH

# runs NAME FOLDER COMMAND: the command, in a folder with net.c, makes ./net, which then trains.
runs() {
    mkdir -p "$2"
    # These are not MNIST's files, and the program would say so.
    block 'c program' | sed 's/\(data_MNIST([^)]*\))/\1, .verify = false)/g' >"$2/net.c"
    if (cd "$2" && eval "$3") >"$scratch/said" 2>&1 &&
        (cd "$2" && timeout 300 ./net "$scratch/data") >"$scratch/output" 2>"$scratch/said" &&
        grep -q 'epoch 3: .*accuracy 100.00%' "$scratch/output"; then
        pass "$1"
    else
        cat "$scratch/output" >>"$scratch/said" 2>/dev/null
        echo "^ $3" >>"$scratch/said"
        fail "$1" "$scratch/said"
    fi
}

runs "README's command builds a program that runs" "$scratch/shared" "$(line rpath)"
if pkg-config --exists libpng && [ -e "$(pkg-config --variable=libdir libpng)/libpng.a" ]; then
    runs "README's command builds a static program" "$scratch/static" "$(line -static)"
else
    skip "README's command builds a static program" "libpng.a is not installed"
fi

if command -v cmake >/dev/null 2>&1; then
    for target in lucid lucid_static; do
        mkdir "$scratch/$target"
        block cmake | sed "s/lucid::lucid/lucid::$target/" >"$scratch/$target/CMakeLists.txt"
        runs "CMake finds lucid::$target" "$scratch/$target" \
            "cmake -DCMAKE_PREFIX_PATH='$prefix' . && cmake --build ."
    done
    block cmake | sed 's/(lucid REQUIRED)/(lucid 99.0 REQUIRED)/' >"$scratch/shared/CMakeLists.txt"
    if cmake -S "$scratch/shared" -B "$scratch/later" -DCMAKE_PREFIX_PATH="$prefix" \
        >"$scratch/said" 2>&1; then
        fail "CMake refuses a later version" "$scratch/said"
    else
        pass "CMake refuses a later version"
    fi
else
    skip "CMake finds lucid::lucid" "cmake is not installed"
fi

# The library without optimisation: it is only to be linked, and to read 128 images.
unset PKG_CONFIG_PATH
mkdir -p "$scratch/user/subprojects/lucid"
git ls-files -coz --exclude-standard 2>/dev/null |
    grep -zE '^(lucid|autograd|nn|backends|meson)' >"$scratch/files"
[ -s "$scratch/files" ] || find lucid autograd nn backends meson* -type f -print0 >"$scratch/files"
tar -c --null -T "$scratch/files" | tar -x -C "$scratch/user/subprojects/lucid"
block meson >"$scratch/user/meson.build"
runs "with Meson, lucid is a subproject" "$scratch/user" \
    'meson setup --buildtype=plain -Dc_args=-O0 -Dlucid:cpu_levels= build && ninja -C build && ln -s build/net net'
meson introspect --targets "$scratch/user/build" 2>"$scratch/said" | tr '{' '\n' |
    grep -oE '"name": "[^"]*"' | grep -vE '"(lucid|lucid-(cpu-[a-z0-9_]+|openblas)|plugin_version|net)"$' >>"$scratch/said"
expect_empty "the subproject adds its library alone" "$scratch/said"
finish
