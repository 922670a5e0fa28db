#!/bin/sh
# The examples: each learns with --quick, explains itself with --help, names a mistake, and is in the
# table of the guide. test_mnist.sh and test_cifar10.sh have more about those two.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
if [ ! -x "$LUCID_BUILD/examples/folder" ]; then
    skip "the examples" "they are not built"
    finish
    exit
fi

# learns NAME PERCENT: the last loss of --quick is at most that part of the first.
learns() {
    TMPDIR=$scratch timeout 300 "$LUCID_BUILD/examples/$1" --quick >"$scratch/said" 2>&1 ||
        echo "exit status $?"
    sed -n 's/^epoch [0-9]*: loss \([^ ,;]*\).*/\1/p' "$scratch/said" | awk -v most="$2" '
        NR == 1 { first = $1 }
        { last = $1 }
        END {
            if (NR < 2) print "there are no two losses"
            else if (!(100 * last <= most * first)) print "the loss went from " first " to " last
        }'
    [ -z "$(ls -d "$scratch"/shapes-* 2>/dev/null)" ] || echo "a temporary folder is left"
}

said() { grep -qF -- "$1" "$scratch/said" || echo "it does not say: $1"; }

run_one() {
    name=$1
    {
        learns "$name" "$2"
        [ -z "${3:-}" ] || said "$3"
    } >"$scratch/complaints"
    [ ! -s "$scratch/complaints" ] || cat "$scratch/said" >>"$scratch/complaints"
    expect_empty "$name --quick learns" "$scratch/complaints"
}

run_one crnn 70
run_one custom_module 85 'SEBlock('
run_one custom_op 10 'derivatives are right: yes'
run_one dcgan 85
run_one ecg 50 'F1'
run_one embed 60
run_one finetune 75
run_one folder 60 ', best'
run_one precision 80 'scale 4096'
run_one segment 85 'IoU'
run_one style 80
run_one vae 95

{
    TMPDIR=$scratch "$LUCID_BUILD/examples/infer" --quick >"$scratch/said" 2>&1 || echo "exit status $?"
    [ "$(grep -c '%), .* ms$' "$scratch/said")" = 6 ] || cat "$scratch/said"
} >"$scratch/complaints"
expect_empty "infer --quick classifies six pictures" "$scratch/complaints"

for source in examples/*.c; do
    name=$(basename "$source" .c)
    program=$LUCID_BUILD/examples/$name
    grep -q "examples/$name\.c" docs/examples.md || echo "$name is not in docs/examples.md"
    "$program" --help >"$scratch/said" 2>&1 || echo "$name --help: exit status $?"
    grep -q -e '--epochs\|--quick' "$scratch/said" || echo "$name --help names no options"
    "$program" --no-such-option >"$scratch/said" 2>&1 && echo "$name takes --no-such-option"
    grep -q -e '--help' "$scratch/said" || echo "$name does not point to --help"
    [ "$name" = mnist ] || [ "$(wc -l <"$source")" -le 160 ] || echo "$source has over 160 lines"
done >"$scratch/complaints"
expect_empty "each example has --help, names mistakes, is in the guide and is short" "$scratch/complaints"

{
    "$LUCID_BUILD/examples/folder" >"$scratch/said" 2>&1 && echo "no data: exit status 0"
    said 'folder: --data: needed without --quick'
    "$LUCID_BUILD/examples/folder" --epochs 0 --quick >"$scratch/said" 2>&1 && echo "--epochs 0: exit status 0"
    said 'folder: 0: expected a number from 1 on'
    "$LUCID_BUILD/examples/folder" --quick --epochs >"$scratch/said" 2>&1 && echo "--epochs: exit status 0"
    said 'folder: --epochs: a value is missing'
} >"$scratch/complaints"
expect_empty "what is missing is named" "$scratch/complaints"
finish
