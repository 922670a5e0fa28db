/* A hostile header takes no more memory than a small multiple of its size. */
#include "tests/lucid/io/files.h"

#include "lucid/lucid.h"

#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(safetensors_memory, .init = files_begin, .fini = files_end);

enum { HEADER = 8 << 20 };

/* AddressSanitizer needs much memory for each small block, so three times the limit is allowed
 * there. */
#if defined(__SANITIZE_ADDRESS__)
enum { SLACK = 3 };
#else
enum { SLACK = 1 };
#endif

/* A file whose header is `begin`, then `unit` until HEADER bytes are full, then `end`. A # in the
 * unit becomes a number of its own. */
static const char *make(const char *begin, const char *unit, const char *end)
{
    const char *path = files_path("h");
    FILE *f = fopen(path, "wb");
    cr_assert(f);
    uint64_t size = HEADER;
    fwrite(&size, 8, 1, f);
    size_t done = (size_t)fprintf(f, "%s", begin), last = strlen(end);
    for (int i = 0; done + strlen(unit) + 20 + last < HEADER; i++)
        for (const char *u = unit; *u; u++)
            done += *u == '#' ? (size_t)fprintf(f, "%d", i) : (size_t)(fputc(*u, f) != EOF);
    done += (size_t)fprintf(f, "%s", end);
    for (; done < HEADER; done++) fputc(' ', f);
    cr_assert(fclose(f) == 0);
    return path;
}

static bool opens(const char *path)
{
    return lucid_safetensors_open(path) != NULL;
}

static bool loads(const char *path)
{
    return lucid_state_dict_load(path) != NULL;
}

/* Reads the file in a process: by how many MB that grows, and whether reading worked. */
static long growth(bool (*reads)(const char *), const char *path, bool *opened)
{
    int ends[2];
    cr_assert(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        struct rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        bool done = reads(path);
        getrusage(RUSAGE_SELF, &after);
        long told[2] = {(after.ru_maxrss - before.ru_maxrss) / 1024, done};
        _exit(write(ends[1], told, sizeof told) != sizeof told);
    }
    long told[2] = {1 << 20, 0};
    close(ends[1]);
    cr_expect(read(ends[0], told, sizeof told) == sizeof told, "the reader died");
    close(ends[0]);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    *opened = told[1];
    return told[0];
}

/* A state dict has a small object for each name and each text, which takes more than the shortest
 * of them take in the header. */
static void expect_small(const char *begin, const char *unit, const char *end, bool right)
{
    const char *path = make(begin, unit, end);
    bool done;
    long mb = growth(opens, path, &done);
    cr_expect(mb <= SLACK * 6 * (HEADER >> 20), "a header of %d MB of '%s' took %ld MB",
              HEADER >> 20, unit, mb);
    cr_expect(done == right, "'%s': opened: %d", unit, done);
    mb = growth(loads, path, &done);
    cr_expect(mb <= SLACK * 16 * (HEADER >> 20), "a state with %d MB of '%s' took %ld MB",
              HEADER >> 20, unit, mb);
    cr_expect(done == right, "'%s': loaded: %d", unit, done);
}

#define U8 "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"

Test(safetensors_memory, nonsense)
{
    expect_small("{\"a\":[", "{},", "0]}", false);
    expect_small("{\"a\":[", "[],", "0]}", false);
    expect_small("{\"a\":[", "\"\",", "0]}", false);
    expect_small("{\"a\":[", "1.5,", "0]}", false);
    expect_small("{", "\"#\":{},", "\"a\":0}", false);
    expect_small("{", "\"#\":0,", "\"a\":0}", false);
    expect_small("{\"a\":{", "\"#\":0,", "\"a\":0}}", false);
    expect_small("{\"", "\\u00e4", "\":0}", false);
}

Test(safetensors_memory, headers_that_are_right)
{
    expect_small("{\"a\":{\"dtype\":\"F32\",\"shape\":[", "0,", "0],\"data_offsets\":[0,0]}}",
                 true);
    expect_small("{\"__metadata__\":{", "\"#\":\"\",", "\"a\":\"\"}}", true);
    expect_small("{", "\"tensor.#\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]},",
                 "\"a\":" U8 "}", true);
    /* The versions of modules are a text of JSON of their own. */
    expect_small("{\"__metadata__\":{\"_metadata\":\"{", "\\\"#\\\":{},", "\\\"a\\\":{}}\"}}",
                 true);
    expect_small("{\"__metadata__\":{\"_metadata\":\"[", "[],", "0]\"}}", true);
}

static bool loads_optimizer(const char *path)
{
    lucid_optimizer *opt = optim_SGD(nn_Linear(2, 2), .lr = 0.1);
    return lucid_optimizer_load(opt, path);
}

Test(safetensors_memory, options_of_an_optimizer)
{
    static const char *const units[] = {"{},", "[],", "0,", "{\\\"lr\\\":[]},"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        bool done;
        const char *begin = "{\"__metadata__\":{\"optimizer\":\"SGD\",\"param_groups\":\"[";
        long mb = growth(loads_optimizer, make(begin, units[i], "0]\"}}"), &done);
        cr_expect(mb <= SLACK * 6 * (HEADER >> 20), "'%s' took %ld MB", units[i], mb);
        cr_expect(!done);
    }
}
