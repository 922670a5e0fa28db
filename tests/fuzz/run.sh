#!/bin/sh
# run.sh idx|safetensors|image|numpy|pth|drawing SECONDS|FILE, run.sh api CALLS [SEED]: builds lucid for fuzzing in build/fuzz
# and runs one target.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=$1
length=$2
[ ! -f "$length" ] || length=$(realpath "$length")
build=$root/build/fuzz
corpus=$build/corpus-$target
dictionary=
[ -f "$root/tests/fuzz/fuzz_$target.c" ] || { echo "run.sh: no target called $target" >&2; exit 1; }

jpeg=$(pkg-config --libs libjpeg 2>/dev/null || true)
checks=-fsanitize=address,undefined
[ -f "$build/build.ninja" ] || CC=clang meson setup "$build" "$root" --buildtype=debugoptimized \
    -Dtests=disabled -Dexamples=false -Db_sanitize=address,undefined -Db_lundef=false \
    "-Dc_args=-O1 -fno-sanitize-recover=all -fno-omit-frame-pointer -fsanitize=fuzzer-no-link"
ninja -C "$build" -j 2 liblucid.a
if [ "$target" = api ]; then
    mkdir -p "$build/api"
    sh "$root/tests/fuzz/api_calls.sh" >"$build/api/api_calls.h"
    # shellcheck disable=SC2046 # a list of options
    clang -g -O1 -std=c11 $checks -fsanitize=fuzzer-no-link -fno-sanitize-recover=all -I"$build/api" -I"$root" \
        "$root/tests/fuzz/fuzz_api.c" "$build/liblucid.a" -o "$build/fuzz_api" \
        $(pkg-config --libs libpng zlib) $jpeg -lm -ldl -lpthread
    cd "$build/api"
    "$build/fuzz_api" null
    exec "$build/fuzz_api" "$length" "${3:-1}"
fi
# shellcheck disable=SC2046 # a list of options
clang -g -O1 -D_GNU_SOURCE $checks -fsanitize=fuzzer -fno-sanitize-recover=all -I"$root" \
    "$root/tests/fuzz/fuzz_$target.c" "$build/liblucid.a" -o "$build/fuzz_$target" \
    $(pkg-config --libs libpng zlib) $jpeg -lm -ldl -lpthread

mkdir -p "$corpus"
case $target in
idx)
    printf '\0\0\10\2\0\0\0\2\0\0\0\3\1\2\3\375\376\377' >"$corpus/bytes"
    printf '\0\0\14\1\0\0\0\2\377\377\377\376\22\64\0\1' >"$corpus/words"
    gzip -c "$corpus/bytes" >"$corpus/packed"
    cat "$corpus/packed" "$corpus/packed" >"$corpus/members"
    ;;
numpy)
    text="{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    { printf '\223NUMPY\1\0\073\0%s' "$text" && printf '1234%.0s' 1 2 3 4 5 6; } >"$corpus/array"
    printf '1,2.5\n-3e2,nan\n' >"$corpus/table"
    if command -v python3 >/dev/null 2>&1; then # an archive without NumPy: the same format
        python3 -c 'import sys, zipfile
for n, method in (("stored", 0), ("deflated", 8)):
    with zipfile.ZipFile(sys.argv[1] + "/" + n, "w", method) as z:
        z.write(sys.argv[1] + "/array", "a.npy")' "$corpus"
    fi
    ;;
pth)
    if command -v python3 >/dev/null 2>&1; then # files of the reference vectors
        python3 -c 'import json, sys
data = open(sys.argv[1], "rb").read()
length = int.from_bytes(data[:8], "little")
for name, tensor in json.loads(data[8 : 8 + length]).items():
    if name.endswith("/bytes"):
        begin, end = tensor["data_offsets"]
        with open(sys.argv[2] + "/" + name.split("/")[0], "wb") as f:
            f.write(data[8 + length + begin : 8 + length + end])' "$root/tests/reference/pth.safetensors" "$corpus"
    fi
    for word in 'ctorch._utils\x0a_rebuild_tensor_v2\x0a' 'ctorch\x0aFloatStorage\x0a' \
        'ccollections\x0aOrderedDict\x0a' '\x8a\x08' '\x85' '\x86' '\x87' 'tQ' 'tR' ')R' '\x93' '\x94' \
        'X\x07\x00\x00\x00storage' 'X\x0a\x00\x00\x00state_dict'; do
        printf '"%s"\n' "$word"
    done >"$build/words-pth"
    dictionary=-dict=$build/words-pth
    ;;
drawing)
    printf '\1\377\4' >"$corpus/plot"
    printf '\2\50\50\0\1\2\3\4\5\6\7\10\3\1\1\2\1' >"$corpus/shapes"
    ;;
safetensors)
    text='{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    text=$text'"b":{"dtype":"BOOL","shape":[1,2],"data_offsets":[8,10]}}'
    { printf '\12%s' "$text" && printf '\0\0\0\0\0\0\0\0\1\0'; } >"$corpus/two"
    printf '\377\2\0\0\0\0\0\0\0{}' >"$corpus/none"
    for word in '"dtype"' '"shape"' '"data_offsets"' '"__metadata__"' '"F32"' '"F64"' '"BF16"' '"I8"' \
        '"F4"' '"BOOL"' '[0,0]' '9223372036854775807' '4611686018427387904' '\u0000' '\ud83d\udd25' '"F8_NEW"' '"q":{},' '[[[[[[[[' '\\' '1e400' 'null' 'true'; do
        printf '"%s"\n' "$(printf %s "$word" | sed 's/\\/\\\\/g; s/"/\\"/g')"
    done >"$build/words"
    dictionary=-dict=$build/words
    ;;
esac

cd "$build"
export ASAN_OPTIONS=allocator_may_return_null=1
if [ -f "$length" ]; then exec "./fuzz_$target" "$length"; fi
exec "./fuzz_$target" -max_total_time="$length" -max_len=4096 -rss_limit_mb=4096 ${dictionary:+"$dictionary"} "$corpus"
