#!/bin/sh
# The example where it does not run through: SIGTERM saves what was reached and says so, and testing
# leaves the files of the training alone.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
mnist=$LUCID_BUILD/examples/mnist
if [ ! -x "$mnist" ]; then
    skip "the example" "it is not built"
    finish
    exit
fi
out=$scratch/out

for signal in TERM INT; do
    # A shell gives its background jobs a SIGINT that is ignored: `env` takes that back.
    env --default-signal=INT "$mnist" --seed 7 --threads 1 --epochs 1 --out "$out" \
        >"$scratch/said" 2>&1 &
    child=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ ! -s "$out/metrics.jsonl" ] || break
        sleep 0.5
    done
    sleep 1
    kill -"$signal" $child
    wait $child
    status=$?
    expected=143
    [ $signal = TERM ] || expected=130
    {
        [ $status = $expected ] || echo "exit status $status, expected $expected"
        [ -s "$out/mnist.safetensors" ] || echo "no weights were saved"
        grep -q '^{"seed": 7, "lr": 0.05, ' "$out/metrics.jsonl" || echo "metrics hold no options"
        grep -q '"interrupted": true}$' "$out/metrics.jsonl" || echo "the epoch is not marked"
        grep -q '1 thread$' "$scratch/said" || echo "it does not say: 1 thread"
        grep -q 'interrupted after' "$scratch/said" || echo "it does not say: interrupted"
    } >"$scratch/complaints"
    if [ -s "$scratch/complaints" ]; then
        cat "$scratch/said" "$out/metrics.jsonl" >>"$scratch/complaints"
    fi
    expect_empty "SIG$signal saves weights and metrics, and ends the program" "$scratch/complaints"
    cp "$out/mnist.safetensors" "$scratch/weights" 2>/dev/null
    rm -rf "$out"
done

mkdir "$out"
: >"$out/wrong.png"
{
    "$mnist" --eval-only --load "$scratch/weights" --out "$out" 2>&1 |
        grep -q 'test accuracy' || echo "it tested nothing"
    [ ! -s "$out/wrong.png" ] || echo "wrong.png was overwritten"
    [ -s "$out/wrong-eval.png" ] || echo "there is no wrong-eval.png"
    [ ! -e "$out/metrics.jsonl" ] || echo "there is a metrics.jsonl"
} >"$scratch/complaints"
expect_empty "--eval-only leaves the pictures of the training alone" "$scratch/complaints"
finish
