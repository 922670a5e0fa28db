/* kill_saves.c: `kill_saves [N]` kills a process N times (20) while it saves checkpoints,
 * pictures and traces: each file must be whole every time, and the next save must remove all
 * other files. */
#include "lucid/lucid.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%.63s/%.180s", folder, name);
    return path;
}

/* Saving takes so long that many kills come in the middle. Every element is the same number. */
static lucid_tensor *numbers(double value)
{
    return lucid_full((200000), value);
}

static bool save(double value)
{
    LUCID_SCOPE;
    lucid_tensor *t = numbers(value);
    const char *name = "numbers";
    lucid_image *image = lucid_image_new(200, 100, (uint32_t)value);
    bool ok = t && image && lucid_safetensors_write(in_folder("a"), &name, &t, 1, NULL, NULL, 0) &&
              lucid_image_write_png(image, in_folder("a.png")) &&
              lucid_profiler_write_trace(in_folder("a.json"));
    lucid_image_free(image);
    return ok;
}

static void save_for_ever(void)
{
    for (double value = 1;; value++)
        if (!save(value)) _exit(1);
}

/* Whether a file has this text `back` bytes before its end. */
static bool ends_with(const char *path, const char *text, long back)
{
    char got[32] = "";
    FILE *f = fopen(path, "rb");
    bool right = f && fseek(f, -back, SEEK_END) == 0 && fread(got, 1, strlen(text), f) > 0 &&
                 memcmp(got, text, strlen(text)) == 0;
    if (f) fclose(f);
    return right;
}

static bool files_are_whole(void)
{
    LUCID_SCOPE;
    lucid_safetensors *file = lucid_safetensors_open(in_folder("a"));
    lucid_tensor *t = file ? lucid_safetensors_get(file, "numbers") : NULL;
    bool ok = t && lucid_item(lucid_min(t)) == lucid_item(lucid_max(t));
    lucid_safetensors_close(file);
    return ok && ends_with(in_folder("a.png"), "IEND", 8) &&
           ends_with(in_folder("a.json"), "]}", 3);
}

static int count_files(bool remove_them)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        n++;
        if (remove_them) unlink(in_folder(e->d_name));
    }
    if (dir) closedir(dir);
    return n;
}

static bool kill_one(unsigned *seed)
{
    pid_t pid = fork();
    if (pid < 0) return false;
    if (pid == 0) save_for_ever();
    struct timespec wait = {0, 1000000 + rand_r(seed) % 60000000};
    nanosleep(&wait, NULL);
    int status;
    return kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGKILL;
}

int main(int argc, char **argv)
{
    int kills = argc > 1 ? atoi(argv[1]) : 20, bad = 0, most = 0, left = 0;
    unsigned seed = 1;
    snprintf(folder, sizeof folder, "/tmp/lucid-kill-XXXXXX");
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_profiler_start(.trace = true);
    {
        LUCID_SCOPE;
        lucid_sum(numbers(1));
    }
    lucid_profiler_stop();
    if (!mkdtemp(folder) || !save(1)) return fprintf(stderr, "%s\n", lucid_error()), 1;
    for (int i = 0; i < kills; i++) {
        if (!kill_one(&seed)) return fprintf(stderr, "a save ended by itself\n"), 1;
        if (!files_are_whole()) bad++, fprintf(stderr, "kill %d: %s\n", i, lucid_error());
        lucid_clear_error();
        int n = count_files(false);
        left += n > 3;
        most = n > most ? n : most;
    }
    bool saved = save(2);
    int after = count_files(true);
    rmdir(folder);
    printf(
        "%d kills: %d bad files; %d left a temporary file, at most %d at once; after the next save "
        "%d files of 3\n",
        kills, bad, left, most - 3, after);
    lucid_profiler_reset();
    return lucid_finish() != 0 || bad || !saved || after != 3;
}
