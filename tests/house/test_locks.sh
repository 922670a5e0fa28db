#!/bin/sh
# A lock that lucid/lock.c does not know stays taken in a child of fork: no file has one of its own.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# The loader's pool has a mutex for each loader; a child never touches the one that it inherits.
allowed='lucid/lock.c lucid/data/loader_pool.c lucid/data/loader_priv.h'
locks='pthread_mutex|pthread_rwlock|pthread_spin|pthread_atfork|pthread_cond|atomic_flag|\<(mtx|cnd|sem)_'

check() {
    for file in $(room_files); do
        case " $allowed " in *" $file "*) continue ;; esac
        grep -nE "$locks" "$file" | sed "s|^|$file:|"
    done
}

check >"$scratch/found"
expect_empty "locks are in the table of lucid/lock_priv.h" "$scratch/found"

mkdir -p "$scratch/tree/lucid" "$scratch/tree/autograd" "$scratch/tree/nn" "$scratch/tree/backends"
cd "$scratch/tree" || exit 1
echo 'static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;' >nn/own.c
echo 'static pthread_mutex_t lock;' >lucid/lock.c
check >"$scratch/found"
if [ "$(cut -d: -f1 "$scratch/found")" = nn/own.c ]; then
    pass "a lock of a file's own is found"
else
    fail "a lock of a file's own is found" "$scratch/found"
fi
finish
