#!/bin/sh
# The plug-in's version is a hash of everything that a plug-in and the library must have in common.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# The list in lucid/meson.build, and all that core/attrs.h and core/plugin.h include, to the end.
sed -n '/^plugin_interface = files(/,/^)/s/^ *'\''core.\(.*\)'\'',$/\1/p' lucid/meson.build | sort >"$scratch/listed"
printf '%s\n' attrs.h plugin.h | sort >"$scratch/included"
for _ in 1 2 3 4 5 6 7 8; do
    (cd lucid/core && xargs sed -n 's/^#include "\(.*\)"$/\1/p') <"$scratch/included" |
        cat - "$scratch/included" | sort -u >"$scratch/more"
    mv "$scratch/more" "$scratch/included"
done
diff "$scratch/listed" "$scratch/included" >"$scratch/difference"
expect_empty "plugin_interface names what core/attrs.h and core/plugin.h include, and no more" "$scratch/difference"

# version: of the copies in $scratch/copy
version() {
    (cd "$scratch/copy" && xargs sh "$LUCID_SOURCE/lucid/core/plugin_version.sh" "$scratch/version.h") <"$scratch/listed"
    sed -n 's/^#define LUCID_PLUGIN_VERSION //p' "$scratch/version.h"
}
mkdir "$scratch/copy"
fresh() { (cd lucid/core && xargs -I{} cp {} "$scratch/copy/") <"$scratch/listed"; }
fresh
first=$(version)
: >"$scratch/same"
echo "$first" | grep -Eq '^UINT64_C\(0x[0-9a-f]{16}\)$' || echo "no number: $first" >>"$scratch/same"
[ "$(version)" = "$first" ] || echo "the same files gave another number" >>"$scratch/same"
[ "$(sed -n 's/^#define LUCID_PLUGIN_VERSION //p' "$LUCID_BUILD/lucid/plugin_version.h")" = "$first" ] ||
    echo "the build has another number" >>"$scratch/same"
expect_empty "the number is that of the build" "$scratch/same"

: >"$scratch/unseen"
# change NAME FILE SED-SCRIPT
change() {
    fresh
    sed "$3" "lucid/core/$2" >"$scratch/copy/$2"
    cmp -s "lucid/core/$2" "$scratch/copy/$2" && echo "$1: nothing was changed" >>"$scratch/unseen"
    [ "$(version)" != "$first" ] || echo "$1: the number stays" >>"$scratch/unseen"
}
change "an operator less" ops.def '/^LUC_OP(matmul)/d'
change "a kernel of another name" ops.def 's/^LUC_KERNEL(adam_step)/LUC_KERNEL(adam_steP)/'
change "an attribute of another type" attrs.h 's/double eps/float eps/'
change "another slot of the backend" backend.h 's/set_switch/set_switcH/'
change "another function of the host" plugin.h 's/kept_data/kept_datA/'
expect_empty "any change gives another number" "$scratch/unseen"
finish
