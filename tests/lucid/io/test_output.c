/* Files that replace others: which files may be replaced, and which files killed processes
 * leave. */
#include "tests/lucid/io/files.h"

#include "lucid/io/leftovers_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/safetensors.h"
#include "lucid/core/memory.h"
#include "tests/lucid/child.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

TestSuite(output, .init = files_begin, .fini = files_end);

static bool write_text(const char *path, const char *text)
{
    luc_output out;
    if (!luc_output_open(&out, path, "test")) return false;
    bool ok = luc_output_write(&out, text, strlen(text)) && luc_output_check(&out);
    return luc_output_close(&out, ok);
}

static void expect_text(const char *path, const char *text)
{
    size_t size;
    char *got = files_read(path, &size);
    cr_expect_str_eq(got, text);
    free(got);
}

static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

Test(output, a_protected_file_is_not_replaced)
{
    const char *path = files_write("a", "old", 3);
    cr_assert(chmod(path, 0444) == 0);
    EXPECT_ERROR(write_text(path, "new"), LUCID_ERR_IO, "a: cannot write: the file is write-prot");
    expect_text(path, "old");
    cr_assert(chmod(path, 0640) == 0);
    cr_expect(write_text(path, "new"), "%s", lucid_error());
    expect_text(path, "new");
    struct stat st;
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
    cr_expect_eq(files_count(), 1);
}

Test(output, links_stay_links)
{
    cr_assert(symlink("made", files_path("dangling")) == 0);
    cr_expect(write_text(files_path("dangling"), "1"), "%s", lucid_error());
    cr_expect(is_link(files_path("dangling")));
    expect_text(files_path("made"), "1");
    /* Through several, relative and absolute. */
    cr_assert(symlink(files_path("dangling"), files_path("second")) == 0);
    cr_assert(symlink("./second", files_path("third")) == 0);
    cr_expect(write_text(files_path("third"), "2"), "%s", lucid_error());
    cr_expect(is_link(files_path("third")) && is_link(files_path("second")));
    expect_text(files_path("made"), "2");
    cr_assert(symlink("here", files_path("there")) == 0 &&
              symlink("there", files_path("here")) == 0);
    EXPECT_ERROR(write_text(files_path("here"), "3"), LUCID_ERR_IO,
                 "here: cannot write: Too many levels of symbolic links");
    cr_assert(symlink("no/such", files_path("nowhere")) == 0);
    EXPECT_ERROR(write_text(files_path("nowhere"), "3"), LUCID_ERR_IO, "No such file");
    cr_expect_eq(files_count(), 7);
}

Test(output, names)
{
    char name[256];
    for (size_t n = 1; n <= 255; n += n < 200 ? 50 : 1) {
        memset(name, 'x', n);
        name[n] = 0;
        cr_expect(write_text(files_path(name), "long"), "%zu: %s", n, lucid_error());
        expect_text(files_path(name), "long");
        unlink(files_path(name));
    }
    EXPECT_ERROR(write_text("", "1"), LUCID_ERR_ARGUMENT, "expected a file name, got an empty one");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/", files_folder);
    EXPECT_ERROR(write_text(folder, "1"), LUCID_ERR_IO, "expected the name of a file");
    cr_expect_eq(files_count(), 0);
}

Test(output, the_current_folder_may_change)
{
    cr_assert(chdir(files_folder) == 0);
    luc_output out;
    cr_assert(luc_output_open(&out, "a", "test"));
    cr_assert(chdir("/") == 0);
    cr_expect(luc_output_write(&out, "1", 1) && luc_output_check(&out));
    cr_expect(luc_output_close(&out, true), "%s", lucid_error());
    expect_text(files_path("a"), "1");
}

/* Damages the file before it is renamed, as a bad disk or another program might. */
Test(output, what_is_not_what_was_written_replaces_nothing)
{
    const char *path = files_write("a", "old", 3);
    luc_output out;
    for (int damage = 0; damage < 3; damage++) {
        cr_assert(luc_output_open(&out, path, "test"));
        char big[300000];
        memset(big, 'x', sizeof big);
        cr_assert(luc_output_write(&out, big, sizeof big));
        if (damage == 0) cr_assert(pwrite(out.fd, "y", 1, 1000) == 1);
        if (damage == 1) cr_assert(ftruncate(out.fd, 1000) == 0);
        if (damage == 2) cr_assert(ftruncate(out.fd, sizeof big + 1) == 0);
        bool right = luc_output_check(&out);
        cr_expect(!right && lucid_error_code() == LUCID_ERR_IO, "%d", damage);
        cr_expect(strstr(lucid_error(), "what was read back is not what was written"));
        lucid_clear_error();
        cr_expect(!luc_output_close(&out, right));
        expect_text(path, "old");
        cr_expect_eq(files_count(), 1);
    }
}

/* ---- leftovers ------------------------------------------------------------------------------- */

static char leaver_path[512];

/* Ends the process in the middle of a save. */
static int die_in_a_save(void)
{
    luc_output out;
    if (!luc_output_open(&out, leaver_path, "test") || !luc_output_write(&out, "half", 4)) return 1;
    raise(SIGKILL);
    return 0;
}

Test(output, a_killed_save_leaves_nothing_for_long)
{
    snprintf(leaver_path, sizeof leaver_path, "%s", files_path("a"));
    cr_assert(write_text(leaver_path, "old"));
    for (int i = 0; i < 3; i++) child_run(die_in_a_save);
    expect_text(leaver_path, "old");
    cr_expect_eq(files_count(), 2); /* the third removed that of the second */
    cr_expect(write_text(files_path("b"), "another file of the folder"));
    cr_expect_eq(files_count(), 2, "%d files", files_count());
    expect_text(leaver_path, "old");
}

/* The name of the only hidden file. */
static const char *leftover(void)
{
    static char name[512];
    DIR *dir = opendir(files_folder);
    name[0] = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, ".lucid-", 7) == 0) snprintf(name, sizeof name, "%s", e->d_name);
    closedir(dir);
    return name;
}

Test(output, a_running_save_is_left_alone)
{
    luc_output out;
    cr_assert(luc_output_open(&out, files_path("a"), "test"));
    cr_assert(luc_output_write(&out, "1", 1));
    cr_expect(write_text(files_path("b"), "2")); /* by this process, and by another */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(!write_text(files_path("c"), "3"));
    int status;
    cr_expect(waitpid(pid, &status, 0) == pid && status == 0);
    cr_expect(luc_output_check(&out) && luc_output_close(&out, true), "%s", lucid_error());
    expect_text(files_path("a"), "1");
    cr_expect_eq(files_count(), 3);
}

Test(output, only_files_that_are_lucids_own_are_removed)
{
    snprintf(leaver_path, sizeof leaver_path, "%s", files_path("a"));
    child_run(die_in_a_save);
    char name[256], other[600];
    snprintf(name, sizeof name, "%.255s", leftover());
    cr_assert(luc_leftover_is_ours(name, true) && luc_leftover_is_ours(name, false), "%s", name);
    static const char *const foreign[] = {".lucid-notes",
                                          ".lucid-0123456789abcdef-1-1.tmp.old",
                                          ".lucid-0123456789abcdef-1.tmp",
                                          ".lucid-0123456789ABCDEF-1-1.tmp",
                                          "a.12-0.tmp",
                                          ".lucid-0123456789abcdef-1-1",
                                          ".lucid-",
                                          ".lucid-0123456789abcdef--1.tmp",
                                          ".lucid-0123456789abcdef0-1-1.tmp"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        cr_expect(!luc_leftover_is_ours(foreign[i], true), "%s", foreign[i]);
        files_write(foreign[i], "x", 1);
    }
    /* The file of another machine, whose locks cannot be seen. */
    cr_expect(luc_leftover_is_ours(".lucid-0123456789abcdef-1-1.tmp", true));
    cr_expect(!luc_leftover_is_ours(".lucid-0123456789abcdef-1-1.tmp", false));
    /* A name as lucid makes them on something that no save has made: a folder, a link, a file with
     * two names. */
    cr_assert(mkdir(files_path(".lucid-0123456789abcdef-1-2.tmp"), 0700) == 0);
    cr_assert(symlink("a", files_path(".lucid-0123456789abcdef-1-3.tmp")) == 0);
    files_write("two", "x", 1);
    cr_assert(link(files_path("two"), files_path(".lucid-0123456789abcdef-1-4.tmp")) == 0);
    int before = files_count();
    cr_expect(write_text(files_path("b"), "1"));
    cr_expect_eq(files_count(), before, "b came, and what the killed process left went: %d, %d",
                 before, files_count());
    snprintf(other, sizeof other, "%s/%s", files_folder, name);
    cr_expect(access(other, F_OK) != 0);
    cr_assert(rmdir(files_path(".lucid-0123456789abcdef-1-2.tmp")) == 0);
}

/* Savers and removers at once: no save may lose its file. */
Test(output, many_processes_save_into_one_folder)
{
    enum { PROCESSES = 4, SAVES = 60 };
    pid_t pids[PROCESSES];
    fflush(NULL);
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        if (pids[p] == 0) {
            char name[8] = {(char)('a' + p)};
            bool ok = true;
            for (int i = 0; ok && i < SAVES; i++) ok = write_text(files_path(name), name);
            if (!ok) fprintf(stderr, "%s\n", lucid_error());
            _exit(!ok);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        cr_expect(waitpid(pids[p], &status, 0) == pids[p] && status == 0);
    }
    cr_expect_eq(files_count(), PROCESSES);
}
