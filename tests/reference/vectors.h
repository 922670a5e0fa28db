/* vectors.h: reads what tests/reference holds (see its README.md): manifests, blocks of lines and
 * the tensors of a safetensors file. Every failure to read ends the test. */
#ifndef TESTS_REFERENCE_VECTORS_H
#define TESTS_REFERENCE_VECTORS_H

#include "lucid/core/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vectors vectors;
typedef struct vectors_case vectors_case;

/* Opens AREA.safetensors and AREA.txt, whichever there are. */
vectors *vectors_open(const char *area);
void vectors_close(vectors *v);

/* The next line of the manifest that is a case, NULL at the end. It lives until the next call. */
const vectors_case *vectors_next(vectors *v);
/* The next line below a case, unchanged, without its newline: for the areas made of blocks. */
const char *vectors_line(vectors *v);

/* A field's value, NULL where the case has none. */
const char *vectors_get(const vectors_case *c, const char *key);
/* The same with a meaning. A field that is absent gives `otherwise`; one that reads badly ends the
 * test. */
const char *vectors_name(const vectors_case *c);
double vectors_double(const vectors_case *c, const char *key, double otherwise);
int64_t vectors_int(const vectors_case *c, const char *key, int64_t otherwise);
bool vectors_bool(const vectors_case *c, const char *key, bool otherwise);
/* A list of integers ("2,1", "empty") into a shape; false where the field is absent or none. */
bool vectors_list(const vectors_case *c, const char *key, lucid_shape *list);
lucid_dtype vectors_dtype(const char *text);

/* Is there a tensor of that name ("CASE/ROLE")? */
bool vectors_has(const vectors *v, const char *name);
/* The tensor of that name, contiguous on the CPU, in the current scope. */
lucid_tensor *vectors_tensor(const vectors *v, const char *name);

#endif
