/* folder.h: a folder of images, one sub-folder a class.
 *
 *     pets/cat/001.jpg   pets/cat/2023/007.png   pets/dog/anything.JPEG
 *
 *     lucid_dataset *pets = data_ImageFolder("pets");
 *     lucid_transform *t = data_Compose(data_Resize(256), data_CenterCrop(224), data_ToFloat());
 *     lucid_loader *loader = data_Loader(data_Map(pets, t), .batch_size = 32); */
#ifndef LUCID_DATA_FOLDER_H
#define LUCID_DATA_FOLDER_H

#include "../core/api.h"
#include "../io/image.h"
#include "../core/options.h"
#include "dataset.h"

LUCID_BEGIN_DECLS

typedef struct lucid_image_folder_options {
    LUCID_OPTIONS_SIZE(lucid_image_folder_options);
    lucid_image_mode mode LUCID_DEFAULT(LUCID_IMAGE_RGB); /* not LUCID_IMAGE_UNCHANGED */
    bool orient LUCID_DEFAULT(false);                     /* as the EXIF data say */
    /* The ends of names that are taken, in small letters, with commas between; capital letters of a
     * file's name count as small ones. Other files are not looked at. NULL: ".jpg,.jpeg,.png". */
    const char *extensions LUCID_DEFAULT(NULL);
    bool allow_empty LUCID_DEFAULT(false); /* classes without an image; else they are an error */
    int64_t max_pixels LUCID_DEFAULT(134217728); /* of an image, as for lucid_image_read */
} lucid_image_folder_options;
LUCID_DEFAULTS(lucid_image_folder, .mode = LUCID_IMAGE_RGB, .orient = false, .extensions = NULL,
               .allow_empty = false, .max_pixels = 134217728);

/* The images below the sub-folders of `root`. Classes are the sub-folders, in the order of the
 * bytes of their names; the samples of a class are the files below it at any depth, in the order of
 * the bytes of their paths. Names that begin with a dot are left out; symbolic links are followed.
 * A sample of x is uint8 [C,H,W] of the file's own sizes, so x.shape is [C,-1,-1] and a transform
 * has to come between it and a loader; y is int64, the class. Files are read when their sample is
 * asked for, and an image that is damaged is an error then. options may be NULL: the defaults. NULL
 * after an error: LUCID_ERR_IO where a folder cannot be read, LUCID_ERR_FORMAT where there is no
 * class or a class without an image. */
LUCID_API lucid_dataset *lucid_data_image_folder(const char *root,
                                                 const lucid_image_folder_options *options);
/* The path of sample `index`; it lives as long as the data set. NULL, with an error, for another
 * data set than one of lucid_data_image_folder, or an index out of range. */
LUCID_API const char *lucid_data_image_folder_path(const lucid_dataset *dataset, int64_t index);

/* data_ImageFolder("pets", .mode = LUCID_IMAGE_GRAY) */
#define data_ImageFolder(...) \
    LUCID_CALL1(lucid_data_image_folder, lucid_image_folder, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
