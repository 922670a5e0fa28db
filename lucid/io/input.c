#include "lucid/io/input_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_SIZE = 1 << 16, PIECE = 1 << 20 };

/* zlib's memory is taken from lucid's allocator, as all memory is. */
static void *z_alloc(void *user, unsigned count, unsigned size)
{
    return luc_calloc(count, size, user);
}

static void z_free(void *user, void *p)
{
    (void)user;
    luc_free(p);
}

bool luc_input_open(luc_input *in, const char *path, const char *op, luc_sha256 *sum)
{
    *in = (luc_input){.op = op, .path = path, .fd = -1, .sum = sum};
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    in->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang the program */
    if (in->fd < 0)
        return luc_raise(LUCID_ERR_IO, op, "%s: cannot open: %s", path, strerror(errno));
    struct stat st;
    if (fstat(in->fd, &st) != 0)
        return luc_raise(LUCID_ERR_IO, op, "%s: cannot read: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return luc_raise(LUCID_ERR_IO, op, "%s: is not a regular file", path);
    in->file_size = st.st_size;

    unsigned char magic[2];
    in->gz = pread(in->fd, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    if (!in->gz) return true;
    in->buffer = luc_alloc(BUFFER_SIZE, op);
    if (!in->buffer) return false;
    in->z.zalloc = z_alloc;
    in->z.zfree = z_free;
    in->z.opaque = (void *)(uintptr_t)op;
    int result = inflateInit2(&in->z, 15 + 16);
    if (result == Z_OK) return true;
    in->z.state = NULL;
    return luc_raise(result == Z_MEM_ERROR ? LUCID_ERR_MEMORY : LUCID_ERR_INTERNAL, op,
                     "%s: zlib cannot be started: %s", path, zError(result));
}

/* Returns -1, with an error raised, if the system refuses. */
static ssize_t read_some(luc_input *in, void *data, size_t size)
{
    for (;;) {
        ssize_t got = read(in->fd, data, size);
        if (got >= 0) return got;
        if (errno == EINTR) continue;
        luc_raise(LUCID_ERR_IO, in->op, "%s: cannot read: %s", in->path, strerror(errno));
        return -1;
    }
}

static ssize_t read_plain(luc_input *in, unsigned char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read_some(in, data + done, size - done);
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Raises an error for the file. Returns false. */
static bool inflate_failed(luc_input *in, int result)
{
    if (result == Z_MEM_ERROR)
        return luc_raise(LUCID_ERR_MEMORY, in->op, "%s: zlib is out of memory", in->path);
    const char *why = in->z.msg ? in->z.msg : "bad compressed data";
    return luc_raise(LUCID_ERR_FORMAT, in->op, "%s: the gzip data is damaged: %s", in->path, why);
}

/* Fills the buffer with compressed bytes if it is empty. Returns false after an error. */
static bool refill(luc_input *in)
{
    if (in->z.avail_in) return true;
    ssize_t got = read_some(in, in->buffer, BUFFER_SIZE);
    if (got < 0) return false;
    in->z.next_in = in->buffer;
    in->z.avail_in = (unsigned)got;
    return true;
}

/* What may follow a gzip member: zeros, up to the end or to another member (tapes and archives are
 * padded with them), or that member at once. False after an error; *more: a member begins. */
static bool begin_next_member(luc_input *in, bool *more)
{
    for (;;) {
        if (!refill(in)) return false;
        *more = in->z.avail_in != 0;
        if (!*more || *in->z.next_in) break;
        in->z.next_in++;
        in->z.avail_in--;
    }
    if (!*more) return true;
    if (*in->z.next_in != 0x1f)
        return luc_raise(LUCID_ERR_FORMAT, in->op,
                         "%s: the gzip data is damaged: something else follows its end", in->path);
    int result = inflateReset(&in->z);
    if (result != Z_OK) return inflate_failed(in, result);
    in->member_ended = false;
    return true;
}

static ssize_t read_gz(luc_input *in, unsigned char *data, size_t size)
{
    in->z.next_out = data;
    in->z.avail_out = (unsigned)size;
    while (in->z.avail_out) {
        bool more = true;
        if (in->member_ended && !begin_next_member(in, &more)) return -1;
        if (!more) break;
        if (!refill(in)) return -1;
        if (!in->z.avail_in) {
            luc_raise(LUCID_ERR_FORMAT, in->op, "%s: the gzip data ends early: the file is cut off",
                      in->path);
            return -1;
        }
        int result = inflate(&in->z, Z_NO_FLUSH);
        if (result == Z_STREAM_END)
            in->member_ended = true;
        else if (result != Z_OK) {
            inflate_failed(in, result);
            return -1;
        }
    }
    return (ssize_t)(size - in->z.avail_out);
}

bool luc_input_read(luc_input *in, void *data, size_t size, size_t *got)
{
    unsigned char *p = data;
    *got = 0;
    while (*got < size) {
        /* The content is read in pieces, so that the checksum finds them in the cache. */
        size_t piece = size - *got < PIECE ? size - *got : PIECE;
        ssize_t done = in->gz ? read_gz(in, p + *got, piece) : read_plain(in, p + *got, piece);
        if (done < 0) return false;
        if (in->sum) luc_sha256_add(in->sum, p + *got, (size_t)done);
        *got += (size_t)done;
        if ((size_t)done < piece) break;
    }
    return true;
}

uint64_t luc_input_bound(const luc_input *in)
{
    /* Deflate expands one byte to 1032 at most. */
    return (uint64_t)in->file_size * (in->gz ? 1032 : 1);
}

void luc_input_close(luc_input *in)
{
    if (in->z.state) inflateEnd(&in->z);
    luc_free(in->buffer);
    if (in->fd >= 0) close(in->fd);
    in->z.state = NULL;
    in->buffer = NULL;
    in->fd = -1;
}
