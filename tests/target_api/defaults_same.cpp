// The default member initialisers of C++ say what the constants of C say.
#include "defaults.h"

#include <cstdio>
#include <cstring>

namespace
{

bool same(const char *name, const void *cpp, size_t cpp_size, size_t &i)
{
    size_t size = 0;
    const void *c = c_defaults(i++, &size);
    if (c && size == cpp_size && std::memcmp(c, cpp, size) == 0) return true;
    std::fprintf(stderr, "%s_options: C and C++ have different defaults\n", name);
    return false;
}

} // namespace

int main()
{
    size_t i = 0;
    bool ok = true;
#define DEFAULTS(name) ok &= same(#name, &name##_defaults, sizeof(name##_options), i);
    ALL_DEFAULTS
#undef DEFAULTS
    return ok ? lucid_finish() : 1;
}
