#!/bin/sh
# Runs what ./run gpu-bundle packed on a machine with an NVIDIA GPU: tests, MNIST, benchmarks.
#
#     sh run.sh                everything, with a table at the end
#     sh run.sh env            what there is: GPU, driver, libraries, PyTorch
#     sh run.sh test [pattern] the tests; a pattern chooses programs
#     sh run.sh sanitize       compute-sanitizer (memcheck, racecheck) over the operators' tests
#     sh run.sh mnist          three seeds, three epochs each, and the same seed twice: same bits
#     sh run.sh bench [args]   lucid and PyTorch side by side (bench-compare's arguments: a pattern
#                              chooses rows; TORCH_MODES=eager,graph leaves out torch.compile)
#
# Everything may take over half an hour, most of it torch.compile. Where a command may take only
# ten minutes: test, mnist, sanitize, then bench by pieces: 'train m', 'train n', 'train o', 'train
# resnet18 b', 'train resnet50', 'infer', 'conv', and so on, each with --quick.
#
# It needs the driver, and uses cuBLASLt and cuDNN where it finds them: in CUDA's own folder or in
# PyTorch's wheels. Results go to the folder $OUT, or to ./out.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
out=${OUT:-$PWD/out}
mkdir -p "$out" || exit 1

# ---- where the libraries are ------------------------------------------------

wheel_folders() {
    command -v python3 >/dev/null 2>&1 || return 0
    python3 - <<'END' 2>/dev/null
import glob, importlib.util, os
spec = importlib.util.find_spec("nvidia")
for root in (spec.submodule_search_locations if spec else []):
    for path in sorted(glob.glob(os.path.join(root, "*", "lib"))):
        print(path)
END
}

export TORCH_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" # what PyTorch is started with
paths=$here/lib
for folder in $(wheel_folders) /usr/local/cuda/lib64 /usr/local/nvidia/lib64; do
    [ ! -d "$folder" ] || paths=$paths:$folder
done
export LD_LIBRARY_PATH="$paths${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LUCID_CUDA_PLUGIN="$here/lib/liblucid_cuda.so"

show_env() {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1
    for name in libcublasLt.so libcudnn.so; do
        found=
        for folder in $(echo "$paths" | tr : ' '); do
            for file in "$folder/$name".*; do
                [ -n "$found" ] || [ ! -e "$file" ] || found=$file
            done
        done
        echo "$name: ${found:-not found: own kernels are used}"
    done
    LD_LIBRARY_PATH=$TORCH_LIBRARY_PATH python3 -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.is_available())' 2>&1 | tail -n 1
}

# ---- tests -------------------------------------------------------------------

run_tests() {
    passed=0 failed=0 skipped=0
    export LUCID_SOURCE="$here"
    for program in "$here"/tests/cuda-*; do
        name=$(basename "$program")
        case $name in *"${1:-}"*) ;; *) continue ;; esac
        tap=$out/$name.tap
        : >"$tap"
        # Criterion starts a process a test, and each is a context on the GPU: few at once.
        timeout -k 10 300 "$program" --jobs 4 --tap="$tap" >"$out/$name.log" 2>&1 </dev/null
        status=$?
        p=$(grep -c '^ok' "$tap") f=$(grep -c '^not ok' "$tap") s=$(grep -c '^ok .*# SKIP' "$tap")
        passed=$((passed + p - s)) failed=$((failed + f)) skipped=$((skipped + s))
        if [ "$status" != 0 ] && [ "$f" = 0 ]; then
            failed=$((failed + 1))
            echo "FAIL  $name: exit status $status"
        elif [ "$f" != 0 ]; then
            echo "FAIL  $name: $((p - s)) passed, $f failed"
            grep '^not ok' "$tap" | sed 's/^/    /'
            grep -v '^\[====\]' "$out/$name.log" | head -n 40 | sed 's/^/    | /'
        else
            echo "ok    $name: $((p - s)) passed${s:+, $s skipped}"
        fi
    done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ] && [ $passed != 0 ]
}

sanitize() {
    checker=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
    status=0
    for tool in memcheck racecheck; do
        echo "== compute-sanitizer $tool"
        LUCID_CUDA_CACHE=0 timeout -k 10 280 "$checker" --tool $tool --target-processes all \
            --error-exitcode 9 "$here/tests/cuda-test_ops" --filter 'ops/float32' --jobs 1 --timeout 1000 \
            >"$out/$tool.log" 2>&1
        code=$?
        [ $code = 0 ] || status=1
        echo "exit status $code; $(grep -c 'ERROR SUMMARY: 0 errors' "$out/$tool.log") clean summaries"
        grep -v 'ERROR SUMMARY: 0' "$out/$tool.log" | grep -E '=========' | head -n 30
    done
    return $status
}

# ---- MNIST -------------------------------------------------------------------

mnist() {
    "$here/bin/mnist" --data "$here/data" --device cuda "$@"
}

run_mnist() {
    for seed in 1 2 3; do
        mnist --seed $seed --quiet --out "$out/mnist-$seed" || return 1
        grep -h seconds "$out/mnist-$seed/metrics.jsonl"
    done
    mnist --seed 1 --quiet --out "$out/mnist-again" >/dev/null || return 1
    if cmp -s "$out/mnist-1/mnist.safetensors" "$out/mnist-again/mnist.safetensors"; then
        echo "two runs of seed 1: the same bits"
    else
        echo "FAIL  two runs of seed 1 differ"
        return 1
    fi
}

# ---- benchmarks --------------------------------------------------------------

run_bench() {
    "$here/bin/bench-compare" --device cuda --json "$out/bench.json" "$@"
}

command=${1:-all}
[ $# -eq 0 ] || shift
case $command in
env) show_env ;;
test) run_tests "$@" ;;
sanitize) sanitize ;;
mnist) run_mnist ;;
bench) run_bench "$@" ;;
all)
    show_env
    status=0
    echo "== tests" && run_tests || status=1
    echo "== MNIST" && run_mnist || status=1
    echo "== benchmarks" && run_bench --quick || status=1
    exit $status
    ;;
*)
    echo "run.sh: unknown command $command (env, test, sanitize, mnist, bench, all)" >&2
    exit 2
    ;;
esac
