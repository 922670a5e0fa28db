/* image_no_jpeg.c: instead of image_jpeg.c where lucid is built without libjpeg. */
#include "lucid/core/error_priv.h"
#include "lucid/io/pixels_priv.h"

bool lucid_image_has_jpeg(void)
{
    return false;
}

bool luc_jpeg_is(const unsigned char *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

static bool is_missing(const char *op, const char *path)
{
    return luc_raise(LUCID_ERR_UNSUPPORTED, op,
                     "%s: is a JPEG, and this lucid was built without libjpeg (-Djpeg=enabled)",
                     path);
}

lucid_tensor *luc_jpeg_decode(luc_image_source *source)
{
    is_missing(source->op, source->path);
    return NULL;
}

bool luc_jpeg_write(const luc_pixels *pixels, const char *path, const char *op, int quality)
{
    (void)pixels;
    (void)quality;
    return is_missing(op, path);
}
