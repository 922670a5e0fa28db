#!/bin/sh
# The command `lucid`: what is in files, other forms of them, what networks are made of.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
lucid=$LUCID_BUILD/nn/command/lucid
weights=tests/data/resnet20-cifar10/resnet20.safetensors
if [ ! -x "$lucid" ]; then
    skip "the command" "it is not built"
    finish
    exit
fi

# runs STATUS ARGUMENTS: what it says goes to "$scratch/said".
runs() {
    expected=$1
    shift
    timeout 120 "$lucid" "$@" >"$scratch/said" 2>&1
    status=$?
    [ $status = "$expected" ] || echo "lucid $*: exit status $status, expected $expected"
}
said() { grep -qe "$1" "$scratch/said" || echo "it does not say: $1"; }

{
    runs 0 info "$weights"
    said '^conv1\.weight  *float32  *\[16, 3, 3, 3\]$'
    said '^[0-9]* tensors, [0-9]* elements, [0-9]* bytes$'
    cp "$scratch/said" "$scratch/first"
    runs 0 convert "$weights" "$scratch/a.pth"
    said 'a\.pth: [0-9]* tensors$'
    runs 0 info "$scratch/a.pth"
    cmp -s "$scratch/said" "$scratch/first" || echo "the .pth file has other tensors"
    runs 0 convert "$scratch/a.pth" "$scratch/b.safetensors"
    runs 0 info "$scratch/b.safetensors"
    cmp -s "$scratch/said" "$scratch/first" || echo "the file made of it has other tensors"
    runs 1 convert "$weights" "$scratch/a.npy"
    said 'takes one tensor'
    runs 2 convert "$weights" "$scratch/a.onnx"
    said 'expected a name that ends in'
    [ ! -e "$scratch/a.onnx" ] || echo "there is an a.onnx"
    runs 1 info "$scratch/none.pth"
    said 'lucid info: .*none\.pth'
    echo nothing >"$scratch/bad.npz"
    runs 1 info "$scratch/bad.npz"
} >"$scratch/complaints"
expect_empty "info and convert: safetensors to .pth and back" "$scratch/complaints"

{
    runs 0 models
    said '^resnet18$'
    runs 0 summary lenet5
    said 'Conv2d'
    said '61[,. ]*706'
    runs 1 summary lenet99
    said 'lenet99'
    runs 2 summary lenet5 -3
    said 'expected a size'
    runs 0 bench lenet5
    said '^ *8  *[0-9.]*  *[0-9.]*$'
} >"$scratch/complaints"
[ ! -s "$scratch/complaints" ] || cat "$scratch/said" >>"$scratch/complaints"
expect_empty "models, summary and bench" "$scratch/complaints"

{
    runs 0 --help
    said 'lucid info FILE'
    runs 0 --version
    said '^lucid [0-9]'
    runs 2
    runs 2 info
    said 'lucid info FILE'
    runs 2 fly
} >"$scratch/complaints"
expect_empty "--help, and mistakes" "$scratch/complaints"
finish
