#!/bin/sh
# A lock that lucid/core/lock.c does not know stays taken in a child of fork: no file has one of its own.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# The loader's pool has a mutex for each loader; a child never touches the one that it inherits.
# The mutexes of lucid/core/platform_posix.c are made anew in a child.
allowed='lucid/core/lock.c lucid/core/platform_posix.c lucid/data/loader_pool.c lucid/data/loader_priv.h'
locks='pthread_mutex|pthread_rwlock|pthread_spin|pthread_atfork|pthread_cond|atomic_flag|\<(mtx|cnd|sem)_'

check() {
    for file in $(library_files); do
        case " $allowed " in *" $file "*) continue ;; esac
        grep -nE "$locks" "$file" | sed "s|^|$file:|"
    done
}

check >"$scratch/found"
expect_empty "locks are in the table of lucid/core/lock_priv.h" "$scratch/found"

mkdir -p "$scratch/tree/lucid/core" "$scratch/tree/autograd" "$scratch/tree/nn" "$scratch/tree/backends"
cd "$scratch/tree" || exit 1
echo 'static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;' >nn/own.c
echo 'static pthread_mutex_t lock;' >lucid/core/lock.c
check >"$scratch/found"
if [ "$(cut -d: -f1 "$scratch/found")" = nn/own.c ]; then
    pass "a lock of a file's own is found"
else
    fail "a lock of a file's own is found" "$scratch/found"
fi
# What differs between operating systems is in one file for each (lucid/core/platform_priv.h).
cd "$LUCID_SOURCE" || exit 1
system='linux/futex|SYS_futex|syscall\(|sched_(yield|getaffinity|setaffinity)|sched\.h|"[^"]*/(proc|sys)/'
for file in $(library_files); do
    case $file in lucid/core/platform_*.c) continue ;; esac
    grep -nE "$system" "$file" | sed "s|^|$file:|"
done >"$scratch/found"
expect_empty "only lucid/core/platform_*.c calls the operating system about threads and CPUs" \
    "$scratch/found"
finish
