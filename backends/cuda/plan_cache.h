/* plan_cache.h: remembers what was once found out about a shape. It is a hash table from plain keys
 * to values that never move. */
#ifndef LUC_CUDA_PLAN_CACHE_H
#define LUC_CUDA_PLAN_CACHE_H

#include <mutex>
#include <new>
#include <stdint.h>
#include <string.h>

namespace luc
{

/* K is compared bytewise: clear it with memset before filling it. */
template <class K, class V> struct plan_cache {
    enum { slots = 1024 };
    struct node {
        K key;
        V value;
        node *next;
    };
    std::mutex lock;
    node *first[slots];
};

/* The value of the key. If the key is new, make(&value) makes the value. One thread at a time may
 * call it. NULL when memory is out. */
template <class K, class V, class F> V *find_plan(plan_cache<K, V> *cache, const K &key, F make)
{
    uint64_t h = 1469598103934665603u;
    const unsigned char *bytes = reinterpret_cast<const unsigned char *>(&key);
    for (size_t i = 0; i + 8 <= sizeof key; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    static_assert(sizeof key % 8 == 0, "the key is hashed by words");
    std::lock_guard<std::mutex> guard(cache->lock);
    auto **at = &cache->first[h % plan_cache<K, V>::slots];
    for (auto *n = *at; n; n = n->next)
        if (memcmp(&n->key, &key, sizeof key) == 0) return &n->value;
    auto *n = new (std::nothrow) typename plan_cache<K, V>::node();
    if (!n) return nullptr;
    memcpy(&n->key, &key, sizeof key);
    make(&n->value);
    n->next = *at;
    *at = n;
    return &n->value;
}

} // namespace luc

#endif
