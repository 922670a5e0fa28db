/* main.c: the command `lucid`: what is in files of weights, other forms of them, and what networks
 * are made of and how fast they are. */
#include "nn/command/commands_priv.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "lucid info FILE            tensors of a .safetensors, .pth, .pt, .npz or .npy file\n"
    "lucid convert FROM TO      writes TO in the form that its name ends in: .safetensors, .pth,\n"
    "                           .pt, or .npy of a single tensor\n"
    "lucid summary MODEL [N]    layers, sizes, parameters and multiply-adds for an image of NxN\n"
    "lucid bench MODEL [N]      times of forward and of a training step, images of NxN (224)\n"
    "lucid models               the names of models\n"
    "lucid --version, --help\n";

static const struct command {
    const char *name;
    int least, most; /* arguments after the name */
    int (*run)(int argc, char **argv);
} commands[] = {
    {"info", 1, 1, command_info},       {"convert", 2, 2, command_convert},
    {"summary", 1, 2, command_summary}, {"bench", 1, 2, command_bench},
    {"models", 0, 0, command_models},
};

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    if (!strcmp(name, "--help")) return fputs(help, stdout) < 0;
    if (!strcmp(name, "--version")) return printf("lucid %s\n", lucid_version_string()) < 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        if (strcmp(name, c->name)) continue;
        if (argc - 2 < c->least || argc - 2 > c->most) break;
        const int status = c->run(argc - 2, argv + 2);
        if (lucid_error_code() == LUCID_OK) return fflush(stdout) ? 1 : status;
        fprintf(stderr, "lucid %s: %s\n", name, lucid_error());
        return 1;
    }
    fprintf(stderr, "%s", help);
    return 2;
}
