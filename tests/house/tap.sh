# Sourced by the scripts of this folder: results in TAP, and a folder that goes away at the end.
# shellcheck shell=sh
set -u
LUCID_SOURCE=${LUCID_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
LUCID_BUILD=${LUCID_BUILD:-$LUCID_SOURCE/build/test}
cd "$LUCID_SOURCE" || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
count=0

# pass NAME | skip NAME REASON | fail NAME FILE-WITH-THE-DETAILS
pass() {
    count=$((count + 1))
    echo "ok $count - $1"
}
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}
fail() {
    count=$((count + 1))
    echo "not ok $count - $1"
    sed 's/^/# /' "$2"
    echo "$1:" >&2
    sed 's/^/    /' "$2" >&2
}

# expect_empty NAME FILE: passes when the file holds nothing.
expect_empty() {
    if [ -s "$2" ]; then fail "$1" "$2"; else pass "$1"; fi
}

finish() { echo "1..$count"; }

# The library's C files; public headers are those that do not end in _priv.h.
library_files() { find lucid autograd nn backends -name '*.[ch]' -type f | sort; }
public_headers() {
    find lucid autograd nn -name '*.h' ! -name '*_priv.h' -type f | sort
}

# shellcheck disable=SC2034 # for those who source this
warnings='-Wall -Wextra -Wpedantic -Wshadow -Werror'

# The declarations that elementwise.h makes of the lines of core/ops.def.
plain_calls() {
    sed -n -e 's/^LUC_UNARY(\([a-z0-9_]*\),.* CALL).*/LUCID_API lucid_tensor *lucid_\1(lucid_tensor *x);/p' \
        -e 's/^LUC_BINARY(\([a-z0-9_]*\),.* CALL).*/LUCID_API lucid_tensor *lucid_\1(lucid_tensor *a, lucid_tensor *b);/p' \
        "$LUCID_SOURCE/lucid/core/ops.def"
}
