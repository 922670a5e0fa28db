/* shapes.h: made-up pictures of discs, squares and crosses, for trying examples without data. */
#ifndef EXAMPLES_SHAPES_H
#define EXAMPLES_SHAPES_H

#include <lucid/lucid.h>

#define SHAPES_KINDS 3 /* disc, square, cross */

/* Picture `index`, of the kind index % SHAPES_KINDS, at a place and in colours that its number
 * decides: uint8 [3,size,size], and where the shape is, 0 or 1 [size,size] (NULL: not wanted). */
void shapes_draw(int64_t index, int size, uint8_t *rgb, uint8_t *mask);
/* A data set of n of them: x uint8 [3,size,size], y the kind. */
lucid_dataset *shapes_dataset(int64_t n, int size);
/* Makes a new temporary folder with n of them as PNG and JPEG files, one sub-folder a kind. Writes
 * its path to folder. False after an error, which is raised. */
bool shapes_folder(char folder[4096], int64_t n, int size);
/* Removes that folder, and the files in it. */
void shapes_folder_remove(const char *folder);

#endif
