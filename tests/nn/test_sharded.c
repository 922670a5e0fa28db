/* Weights in several safetensors files, which an index names. */
#include "tests/lucid/io/files.h"

#include "lucid/lucid.h"

TestSuite(sharded, .init = files_begin, .fini = files_end);

/* Writes a net's weights into two files, and this index. */
static lucid_module *make(const char *index)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Linear(3, 2);
    const char *names[] = {"weight", "bias"};
    lucid_tensor *t[] = {lucid_get_parameter(net, "weight"), lucid_get_parameter(net, "bias")};
    cr_assert(lucid_safetensors_write(files_path("a.safetensors"), names, t, 1, NULL, NULL, 0));
    cr_assert(
        lucid_safetensors_write(files_path("b.safetensors"), names + 1, t + 1, 1, NULL, NULL, 0));
    files_write("model.safetensors.index.json", index, strlen(index));
    return net;
}

Test(sharded, read)
{
    LUCID_SCOPE;
    lucid_module *net = make("{\"metadata\": {\"total_size\": 32},\n \"weight_map\": {"
                             "\"weight\": \"a.safetensors\", \"bias\": \"b.safetensors\"}}");
    lucid_module *other = nn_Linear(3, 2);
    const char *path = files_path("model.safetensors.index.json");
    cr_assert(lucid_load(other, path), "%s", lucid_error());
    cr_expect(
        lucid_equal(lucid_get_parameter(net, "weight"), lucid_get_parameter(other, "weight")));
    cr_expect(lucid_equal(lucid_get_parameter(net, "bias"), lucid_get_parameter(other, "bias")));
    lucid_module_free(net);
    lucid_module_free(other);
    cr_expect_eq(lucid_live().other, 0);
}

Test(sharded, refused)
{
    static const struct {
        const char *index, *why;
        lucid_code code;
    } bad[] = {
        {"{\"metadata\": {}, \"other\": 1}", "it has no \"weight_map\"", LUCID_ERR_FORMAT},
        {"{\"weight_map\": {\"weight\": 3}}", "damaged index", LUCID_ERR_FORMAT},
        {"{\"weight_map\": {\"weight\": \"a.safetensors\"", "damaged index", LUCID_ERR_FORMAT},
        {"{\"weight_map\": [\"a.safetensors\"]}", "damaged index", LUCID_ERR_FORMAT},
        {"{\"weight_map\": {\"weight\": \"../a.safetensors\"}}", "is not in its folder",
         LUCID_ERR_FORMAT},
        {"{\"weight_map\": {\"weight\": \"b.safetensors\"}}", "\"weight\" is not in b.safetensors",
         LUCID_ERR_FORMAT},
        {"{\"weight_map\": {\"weight\": \"c.safetensors\"}}", "cannot open", LUCID_ERR_IO},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lucid_module *net = make(bad[i].index);
        EXPECT_ERROR(lucid_load(net, files_path("model.safetensors.index.json")), bad[i].code,
                     bad[i].why);
        lucid_module_free(net);
        cr_expect_eq(lucid_live().other, 0);
    }
}

Test(sharded, every_allocation_may_fail)
{
    LUCID_SCOPE;
    lucid_module *net = make("{\"weight_map\": {\"weight\": \"a.safetensors\", \"bias\": "
                             "\"b.safetensors\"}}");
    char path[512];
    snprintf(path, sizeof path, "%s", files_path("model.safetensors.index.json"));
    for (uint64_t n = 1;; n++) {
        lucid_memory_fail_nth(n);
        const bool ok = lucid_load(net, path), reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert_eq(ok, !reached, "%d: %s", (int)n, lucid_error());
        lucid_clear_error();
        if (!reached) break;
    }
    lucid_module_free(net);
    cr_expect_eq(lucid_live().other, 0);
}
