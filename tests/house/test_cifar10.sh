#!/bin/sh
# The example cifar10: it learns from made-up pictures, tests known weights on real ones, and says
# what is wrong with its options.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
cifar10=$LUCID_BUILD/examples/cifar10
data=tests/data/resnet20-cifar10
if [ ! -x "$cifar10" ]; then
    skip "the example" "it is not built"
    finish
    exit
fi

# said TEXT: the last output holds it.
said() { grep -qF -- "$1" "$scratch/said" || echo "it does not say: $1"; }

{
    timeout 300 "$cifar10" --quick >"$scratch/said" 2>&1 || echo "exit status $?"
    said 'epoch 2: loss'
    accuracy=$(sed -n 's/^test accuracy \([0-9]*\).*/\1/p' "$scratch/said")
    [ "${accuracy:-0}" -ge 50 ] || echo "test accuracy: expected 50 % or more"
} >"$scratch/complaints"
[ ! -s "$scratch/complaints" ] || cat "$scratch/said" >>"$scratch/complaints"
expect_empty "--quick learns to tell made-up pictures apart" "$scratch/complaints"

{
    "$cifar10" --data $data/cifar10_test_first256.bin.gz --load $data/resnet20.safetensors --epochs 0 \
        >"$scratch/said" 2>&1 || echo "exit status $?"
    said 'test accuracy 91.02 %' # 233 of 256
} >"$scratch/complaints"
[ ! -s "$scratch/complaints" ] || cat "$scratch/said" >>"$scratch/complaints"
expect_empty "known weights have their accuracy on the first test images" "$scratch/complaints"

{
    "$cifar10" --help >"$scratch/said" 2>&1 || echo "--help: exit status $?"
    said '--data DIR'
    "$cifar10" >"$scratch/said" 2>&1 && echo "no data: exit status 0"
    said '--data DIR is needed'
    "$cifar10" --epochs many --quick >"$scratch/said" 2>&1 && echo "--epochs many: exit status 0"
    "$cifar10" --data "$scratch" --epochs 0 >"$scratch/said" 2>&1 && echo "no files: exit status 0"
    said 'no file test_batch.bin in'
} >"$scratch/complaints"
expect_empty "--help helps, and mistakes are named" "$scratch/complaints"
finish
