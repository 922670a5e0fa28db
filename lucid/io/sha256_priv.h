/* sha256_priv.h: SHA-256 (FIPS 180-4), to check that known data files are unaltered. */
#ifndef LUCID_IO_SHA256_PRIV_H
#define LUCID_IO_SHA256_PRIV_H

#include "lucid/core/api.h"

typedef struct luc_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    unsigned char block[64];
} luc_sha256;

#define LUC_SHA256_TEXT 65 /* 64 hexadecimal digits and the end */

void luc_sha256_begin(luc_sha256 *sum);
void luc_sha256_add(luc_sha256 *sum, const void *data, size_t size);
/* Ends the sum and writes its hexadecimal digits. */
void luc_sha256_end(luc_sha256 *sum, char text[LUC_SHA256_TEXT]);

#endif
