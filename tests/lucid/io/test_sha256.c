/* SHA-256: the examples of FIPS 180-4, in pieces of any size. */
#include "tests/testing.h"

#include "lucid/io/sha256_priv.h"

static void expect_sum(const char *data, size_t size, size_t piece, const char *expected)
{
    luc_sha256 sum;
    char text[LUC_SHA256_TEXT];
    luc_sha256_begin(&sum);
    for (size_t at = 0; at < size; at += piece)
        luc_sha256_add(&sum, data + at, size - at < piece ? size - at : piece);
    luc_sha256_end(&sum, text);
    cr_expect_str_eq(text, expected, "pieces of %zu: got %s", piece, text);
}

Test(sha256, the_standards_examples)
{
    const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    const size_t pieces[] = {1, 3, 55, 56, 63, 64, 65, 1000, 1000000};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        expect_sum("", 0, pieces[i],
                   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        expect_sum("abc", 3, pieces[i],
                   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        expect_sum(two_blocks, sizeof two_blocks - 1, pieces[i],
                   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        expect_sum(million, 1000000, pieces[i],
                   "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    free(million);
}
