#!/bin/sh
# The harness itself: ./run test over programs that pass, fail, crash, stop early and hang.
# shellcheck disable=SC2016 # what is written to scripts expands there
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# A project whose build is done: stand-ins for meson and ninja, and a list of programs.
fake=$scratch/project
mkdir -p "$fake/bin" "$fake/programs"
cp run "$fake/run"
cd "$fake" || exit 1
cat >bin/meson <<'END'
#!/bin/sh
[ "$1" != --version ] || exec echo 1.0.1
mkdir -p build/test/tests
: >build/test/build.ninja
: >build/test/tests/tests.list
END
printf '#!/bin/sh\nexit 0\n' >bin/ninja
chmod +x bin/meson bin/ninja
PATH=$fake/bin:$PATH ./run test >/dev/null 2>&1

# criterion NAME: its body comes from stdin and finds the TAP file's path in $tap.
criterion() {
    { printf '#!/bin/sh\ntap=${1#--tap=}\n' && cat; } >"programs/$1"
    chmod +x "programs/$1"
    printf 'criterion\t%s\t%s\n' "$1" "$fake/programs/$1" >>build/test/tests/tests.list
}

# expect NAME STATUS CLOSING-LINE TEXT: runs the list, and begins a new one.
expect() {
    PATH=$fake/bin:$PATH TEST_TIMEOUT=1 ./run test ${5:+"$5"} >"$scratch/out" 2>&1
    status=$?
    {
        [ $status = "$2" ] || echo "exit status $status, expected $2"
        [ "$(tail -n 1 "$scratch/out")" = "$3" ] || echo "the last line is not: $3"
        grep -qF "$4" "$scratch/out" || echo "nothing says: $4"
    } >"$scratch/complaints"
    [ ! -s "$scratch/complaints" ] || sed 's/^/> /' "$scratch/out" >>"$scratch/complaints"
    expect_empty "$1" "$scratch/complaints"
    : >build/test/tests/tests.list
}

good='printf "1..2\nok - a::b  (0.1s)\nok - a::c\n" >$tap'

criterion good <<E1
$good
E1
expect "passing tests" 0 "2 passed, 0 failed" "ok    good: 2 passed"

criterion good <<E1
$good
E1
criterion bad <<'E1'
printf '1..3\nok - a::b\nnot ok - a::d (0.0s)\n  ---\n  ok - not a result\n  ...\nok - a::s # SKIP no GPU\n' >$tap
echo 'expected 3, got 4'
exit 1
E1
expect "failing tests are shown with what they said" 1 "3 passed, 1 failed, 1 skipped" \
    "expected 3, got 4"

criterion skips <<'E1'
printf '1..2\nok - a::s # SKIP no GPU\nok - a::t\n' >$tap
E1
expect "skipped tests are shown with the reason" 0 "1 passed, 0 failed, 1 skipped" "a::s: no GPU"

criterion skips <<'E1'
printf '1..1\nok - a::s # SKIP no GPU\n' >$tap
E1
expect "a run that only skips is not a success" 1 "0 passed, 0 failed, 1 skipped" "no test ran"

expect "a run without tests is not a success" 1 "0 passed, 0 failed" "no test ran"

criterion crash <<'E1'
kill -SEGV $$
E1
expect "a program that crashes is a failure" 1 "0 passed, 1 failed" "ended without a result"

criterion early <<'E1'
printf '1..5\nok - a::b\n' >$tap
E1
expect "a program that stops early is a failure" 1 "1 passed, 1 failed" "planned 5 tests, ran 1"

criterion late <<'E1'
printf '1..1\nok - a::b\n' >$tap
exit 3
E1
expect "an exit status without a failing test is a failure" 1 "1 passed, 1 failed" \
    "the exit status was 3"

criterion hangs <<'E1'
exec sleep 20
E1
expect "a program that hangs is a failure" 1 "0 passed, 1 failed" "stopped after 1 s"

printf '#!/bin/sh\nexit 0\n' >programs/plain
printf '#!/bin/sh\nexit 7\n' >programs/plain_bad
chmod +x programs/plain programs/plain_bad
printf '1..1\nok - s\n' | sed 's/.*/echo "&"/' >programs/script.sh
printf '%s\t%s\t%s\n' program plain "$fake/programs/plain" \
    program plain_bad "$fake/programs/plain_bad" \
    script script programs/script.sh skip absent 'no compiler' >build/test/tests/tests.list
expect "plain programs pass by their exit status, scripts by what they print" 1 \
    "2 passed, 1 failed, 1 skipped" "FAIL  plain_bad"

criterion filtered <<'E1'
[ "$2 $3" = '--filter *a/b*' ] || exit 9
printf '1..2\nok - a::b\nok - a::c # SKIP test was skipped\n' >$tap
E1
expect "a pattern picks tests by name" 0 "1 passed, 0 failed" "ok    filtered: 1 passed" a::b
finish
