#!/bin/sh
# The page for those who come from PyTorch tells the truth: each lucid name in its tables is a
# function or a macro of a public header, each constructor of the headers is in a table, and the
# counts are those of the tables.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"
page=docs/from_pytorch.md

# declared FILE...: the functions and macros that these headers declare, one a line. A macro whose
# text says what to write instead (lucid_isnan_is_...) only refuses its name.
declared() {
    awk '
        /^#define (lucid|nn|optim|data|LUCID)_/ {
            name = $2
            sub(/\(.*/, "", name)
            if (!index($0, " " name "_is_")) print name
        }' "$@"
    { cat "$@" && plain_calls; } | tr '\n' ' ' | grep -oE 'LUCID_API [^;{]*[;{]' |
        grep -oE 'lucid_[A-Za-z0-9_]+\(' | tr -d '('
}

# shellcheck disable=SC2046 # paths without blanks
declared $(public_headers) | sort -u >"$scratch/names"
awk -f tests/house/from_pytorch.awk "$scratch/names" "$page" >"$scratch/wrong"
expect_empty "the tables of $page agree with the headers" "$scratch/wrong"

# The test finds what it looks for: a name that does not exist, a macro that only refuses its name,
# a constructor that no table has, a row without an answer, a name twice, a wrong count.
cat >"$scratch/header.h" <<'EOF'
#define nn_Known(x) lucid_nn_known(x)
#define nn_Forgotten() lucid_nn_forgotten()
#define lucid_isnan(x) lucid_isnan_is_lucid_nan_mask
LUCID_API lucid_tensor *lucid_plain(lucid_tensor *x,
                                    int dim);
EOF
# shellcheck disable=SC2016 # backquotes of a page
printf '%s\n' '## How much is there' '| torch.nn: modules | 3 of 4 | |' '## Names' \
    '### torch.nn: modules' '| PyTorch | lucid | notes |' '| --- | --- | --- |' \
    '| `Known` | `nn_Known` | `lucid_plain`, `lucid_add` |' '| `A` | `nn_Absent` | |' \
    '| `isnan` | `lucid_isnan` | |' '| `B` | soon | |' '| `B` | not yet | |' >"$scratch/page.md"
declared "$scratch/header.h" | sort -u >"$scratch/names"
awk -f tests/house/from_pytorch.awk "$scratch/names" "$scratch/page.md" |
    sed 's|^.*page.md:* *||' | sort >"$scratch/found"
cat >"$scratch/planted" <<'EOF'
10: neither a lucid name nor "not yet" nor "not there, because"
11: `B` stands twice under torch.nn: modules
2: torch.nn: modules: 3 of 4, but the table has 3 of 5
8: no header declares nn_Absent
9: no header declares lucid_isnan
no table has nn_Forgotten
EOF
sort "$scratch/planted" | diff - "$scratch/found" >"$scratch/wrong"
expect_empty "wrong names, rows and counts are found" "$scratch/wrong"
finish
