#!/bin/sh
# The harness itself: ./run test over programs that pass, fail, crash, stop early and hang.
# shellcheck disable=SC2016 # what is written to scripts expands there
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# A project of Meson that needs no compiler: its tests are scripts.
fake=$scratch/project
mkdir -p "$fake/tests"
cp run "$fake/run"
cp tests/summary.awk "$fake/tests/"
cd "$fake" || exit 1
cat >meson_options.txt <<'END'
option('tests', type: 'feature')
option('cuda', type: 'feature')
option('nvcc_archs', type: 'array', value: [])
END

begin() {
    rm -rf build
    echo "project('fake')" >meson.build
}
begin

# program NAME PROTOCOL [SUITE]: its body comes from stdin.
program() {
    { echo '#!/bin/sh' && cat; } >"$1.sh"
    chmod +x "$1.sh"
    printf "test('%s', find_program('./%s.sh'), protocol: '%s', suite: '%s')\n" \
        "$1" "$1" "$2" "${3:-scripts}" >>meson.build
}

# expect NAME STATUS CLOSING-LINE TEXT [PATTERN]: runs the tests, and begins a new project.
expect() {
    TEST_TIMEOUT=${limit:-600} ./run test ${5:+"$5"} >"$scratch/out" 2>&1
    status=$?
    {
        [ $status = "$2" ] || echo "exit status $status, expected $2"
        [ "$(tail -n 1 "$scratch/out")" = "$3" ] || echo "the last line is not: $3"
        grep -qF "$4" "$scratch/out" || echo "nothing says: $4"
    } >"$scratch/complaints"
    [ ! -s "$scratch/complaints" ] || sed 's/^/> /' "$scratch/out" >>"$scratch/complaints"
    expect_empty "$1" "$scratch/complaints"
    begin
}

program good tap <<'E1'
printf '1..2\nok - a::b  (0.1s)\nok - a::c\n'
E1
program bad tap <<'E1'
printf '1..3\nok - a::b\nnot ok - a::d (0.0s)\n  ---\n  ok - not a result\n  ...\nok - a::s # SKIP no "GPU"\n'
echo 'expected 3, got 4' >&2
exit 1
E1
program plain exitcode <<'E1'
exit 0
E1
expect "passing and failing tests are counted, and what a failing one said is shown" 1 \
    "4 passed, 1 failed, 1 skipped" "expected 3, got 4"

program skips tap <<'E1'
printf '1..2\nok - a::s # SKIP no "GPU"\nok - a::t\n'
E1
expect "skipped tests are shown with the reason" 0 "1 passed, 0 failed, 1 skipped" \
    'skips: a::s: no "GPU"'

program skips tap <<'E1'
printf '1..1\nok - a::s # SKIP no GPU\n'
E1
expect "a run that only skips is not a success" 1 "0 passed, 0 failed, 1 skipped" "no test ran"

expect "a run without tests is not a success" 1 "0 passed, 0 failed" "no test ran"

program crash tap <<'E1'
kill -SEGV $$
E1
program early tap <<'E1'
printf '1..5\nok - a::b\n'
E1
program late tap <<'E1'
printf '1..1\nok - a::b\n'
exit 3
E1
program plain_bad exitcode <<'E1'
exit 7
E1
expect "programs that crash, stop early or end with a status are failures" 1 \
    "2 passed, 4 failed" "FAIL  plain_bad: failed as a whole, with status 7"

program hangs exitcode <<'E1'
exec sleep 60
E1
limit=1
expect "a program that hangs is a failure" 1 "0 passed, 1 failed" \
    "FAIL  hangs: stopped after its time limit"
limit=

program filtered tap criterion <<'E1'
[ "$*" = '--filter=*a/b*' ] || exit 9
printf '1..2\nok - a::b\nok - a::c # SKIP test was skipped\n'
E1
program other exitcode <<'E1'
exit 1
E1
expect "a pattern picks tests by name" 0 "1 passed, 0 failed" "filtered" a::b

program wanted exitcode <<'E1'
exit 0
E1
program other exitcode <<'E1'
exit 1
E1
expect "a pattern picks programs by name" 0 "1 passed, 0 failed" "wanted" want
finish
