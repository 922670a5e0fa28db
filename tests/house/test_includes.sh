#!/bin/sh
# Who includes whom: the table stands in includes.awk.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
awk_file=$LUCID_SOURCE/tests/house/includes.awk

check() {
    # shellcheck disable=SC2046 # paths without blanks
    set -- $(library_files)
    [ $# -eq 0 ] || awk -f "$awk_file" "$@"
}

check >"$scratch/found"
expect_empty "every include is an arrow of the table" "$scratch/found"

# A header that includes itself by way of others is in a circle; so are two files of which each
# includes the other's header.
circles() {
    # shellcheck disable=SC2046 # paths without blanks
    awk '/^[ \t]*#[ \t]*include[ \t]*"/ {
        target = $0
        sub(/^[^"]*"/, "", target)
        sub(/".*/, "", target)
        here = FILENAME
        sub(/[^\/]*$/, "", here)
        if ((getline line < (here target)) >= 0) { close(here target); target = here target }
        while (sub(/[^\/.]+\/\.\.\//, "", target)) continue
        print FILENAME, target
    }' $(library_files | grep '\.h$') | tsort 2>&1 >/dev/null | sed 's/^tsort: //'
}
circles >"$scratch/found"
expect_empty "headers include one another without a circle" "$scratch/found"

# plant FILE LINE: a tree that holds these violations only.
plant() {
    mkdir -p "$(dirname "$1")"
    printf '/* planted */\n%s\n' "$2" >"$1"
}

mkdir "$scratch/tree"
cd "$scratch/tree" || exit 1
mkdir -p lucid autograd/graph autograd/dispatch autograd/ops autograd/engine nn backends/cpu
for header in autograd/dispatch/dispatch_priv.h autograd/ops/ops_priv.h autograd/engine/engine_priv.h \
    lucid/core/dtype.h lucid/dtype_priv.h lucid/core/tensor.h autograd/node.h lucid/core/tensor_priv.h nn/module.h; do
    plant $header ''
done
plant nn/good.c '#include <autograd/node.h>'
plant lucid/lucid.h '#include "../nn/module.h"'
plant backends/cpu/good.c '#include "lucid/core/dtype.h"'
plant autograd/good.c '#include "lucid/core/tensor_priv.h"'
check >"$scratch/found"
expect_empty "allowed arrows are allowed" "$scratch/found"

plant lucid/up.c '#include "autograd/node.h"'
plant lucid/far_up.c '#  include <nn/module.h>'
plant autograd/ops/up.c '#include <nn/module.h>'
plant autograd/side.c '#include "../nn/module.h"'
plant backends/cpu/up.c '#include "lucid/core/tensor.h"'
plant autograd/graph/up.c '#include "autograd/dispatch/dispatch_priv.h"'
plant autograd/dispatch/up.c '#include "autograd/ops/ops_priv.h"'
plant autograd/ops/far_up.c '#include "autograd/engine/engine_priv.h"'
plant nn/missing.c '#include "nowhere.h"'
plant nn/open.h '#include "../lucid/tensor_priv.h"'
plant backends/cpu/prefix_up.c '#include "lucid/dtype_priv.h"'
plant nn/shadowed.h '#include "lucid/core/tensor.h"'
check | sed 's/:.*//' | sort >"$scratch/found"
find . -name '*up.c' -o -name side.c -o -name missing.c -o -name open.h -o -name shadowed.h |
    sed 's|^\./||' | sort >"$scratch/planted"
diff "$scratch/planted" "$scratch/found" >"$scratch/difference"
expect_empty "every planted violation is found, and nothing else" "$scratch/difference"

plant lucid/one.h '#include "two.h"'
plant lucid/two.h '#include "../lucid/one.h"'
circles | grep -c 'lucid/one.h' | grep -v '^1$' >"$scratch/found"
expect_empty "a planted circle is found" "$scratch/found"

# ---- what headers declare: see declarations.awk ----
cd "$LUCID_SOURCE" || exit 1
declarations=$LUCID_SOURCE/tests/house/declarations.awk

# shellcheck disable=SC2046 # paths without blanks
awk -f "$declarations" $(library_files) >"$scratch/found"
expect_empty "names are declared once, and what declares them is included" "$scratch/found"

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
