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
for header in lucid/dtype.h lucid/dtype_priv.h lucid/tensor.h autograd/node.h lucid/tensor_priv.h nn/module.h; do
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
plant backends/cpu/prefix_up.c '#include "lucid/dtype_priv.h"'
plant nn/shadowed.h '#include "lucid/tensor.h"'
check | sed 's/:.*//' | sort >"$scratch/found"
find . -name '*up.c' -o -name side.c -o -name missing.c -o -name open.h -o -name shadowed.h |
    sed 's|^\./||' | sort >"$scratch/planted"
diff "$scratch/planted" "$scratch/found" >"$scratch/difference"
expect_empty "every planted violation is found, and nothing else" "$scratch/difference"

# ---- what headers declare: see declarations.awk ----
cd "$LUCID_SOURCE" || exit 1
declarations=$LUCID_SOURCE/tests/house/declarations.awk

# shellcheck disable=SC2046 # paths without blanks
awk -f "$declarations" $(room_files) >"$scratch/found"
# autograd and backends have not been gone through yet.
grep -E ': declares |^(lucid|nn)/' "$scratch/found" >"$scratch/complaints"
expect_empty "names are declared once, and what declares them is included" "$scratch/complaints"

mkdir "$scratch/declared"
cd "$scratch/declared" || exit 1
cat >a_priv.h <<'END'
/* int luc_in_a_comment(void); */
#define luc_macro(x) luc_late(x)
int luc_once(void);
extern const int luc_numbers[2];
static inline int luc_inline(void)
{
    return luc_once();
}
int luc_late(
    int x);
END
cat >b.h <<'END'
int luc_late(int x);
int luc_in_a_comment(void);
static inline int luc_inline(void) { return 1; }
extern const int luc_numbers[2];
END
printf '%s\n' '#include "a_priv.h"' >c.h
printf '%s\n' '#include "c.h"' 'int f(void) { return luc_once(); }' >c.c
printf '%s\n' '#include "c.h"' '/* luc_late */' 'int g(void) { return luc_once(); }' >d.c
awk -f "$declarations" a_priv.h b.h c.h c.c d.c | LC_ALL=C sort >"$scratch/found"
diff - "$scratch/found" >"$scratch/difference" <<'END'
b.h: declares luc_late, as a_priv.h does
b.h: declares luc_numbers, as a_priv.h does
b.h:1: uses luc_late without including a_priv.h
b.h:4: uses luc_numbers without including a_priv.h
d.c:3: uses luc_once without including a_priv.h
END
expect_empty "planted declarations and uses are found, and nothing else" "$scratch/difference"
finish
