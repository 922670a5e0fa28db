#!/bin/sh
# Who includes whom: the table stands in includes.awk.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
awk_file=$LUCID_SOURCE/tests/house/includes.awk

check() {
    # shellcheck disable=SC2046 # paths without blanks
    set -- $(room_files)
    [ $# -eq 0 ] || awk -f "$awk_file" "$@"
}

check >"$scratch/found"
expect_empty "every include is an arrow of the table" "$scratch/found"

# plant FILE LINE: a tree that holds these violations only.
plant() {
    mkdir -p "$(dirname "$1")"
    printf '/* planted */\n%s\n' "$2" >"$1"
}

mkdir "$scratch/tree"
cd "$scratch/tree" || exit 1
mkdir -p lucid autograd/ops nn backends/cpu
for header in lucid/dtype.h lucid/tensor.h autograd/node.h lucid/tensor_priv.h nn/module.h; do
    plant $header ''
done
plant nn/good.c '#include <autograd/node.h>'
plant lucid/lucid.h '#include "../nn/module.h"'
plant backends/cpu/good.c '#include "lucid/dtype.h"'
plant autograd/good.c '#include "lucid/tensor_priv.h"'
check >"$scratch/found"
expect_empty "allowed arrows are allowed" "$scratch/found"

plant lucid/up.c '#include "autograd/node.h"'
plant lucid/far_up.c '#  include <nn/module.h>'
plant autograd/ops/up.c '#include <nn/module.h>'
plant autograd/side.c '#include "../nn/module.h"'
plant backends/cpu/up.c '#include "lucid/tensor.h"'
plant nn/missing.c '#include "nowhere.h"'
plant nn/open.h '#include "../lucid/tensor_priv.h"'
plant nn/shadowed.h '#include "lucid/tensor.h"'
check | sed 's/:.*//' | sort >"$scratch/found"
find . -name '*up.c' -o -name side.c -o -name missing.c -o -name open.h -o -name shadowed.h |
    sed 's|^\./||' | sort >"$scratch/planted"
diff "$scratch/planted" "$scratch/found" >"$scratch/difference"
expect_empty "every planted violation is found, and nothing else" "$scratch/difference"
finish
