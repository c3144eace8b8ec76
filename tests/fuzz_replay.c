/* A main for the fuzz_*.c programs where there is no libFuzzer: runs inputs through the entry, each in
 * memory of exactly its size. Inputs are the files named on the command line; without any, the program,
 * whose name is check_fuzz_NAME, takes those of fixtures/fuzz/NAME.pack (oracle/fuzz_pack.py). */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size);

    if (!copy) {
        fprintf(stderr, "no memory\n");
        exit(EXIT_FAILURE);
    }
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Released with free. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    long end = -1;

    if (f && fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) >= 0) {
        rewind(f);
        data = malloc((size_t)end + 1);
    }
    if (!data || fread(data, 1, (size_t)end, f) != (size_t)end) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(EXIT_FAILURE);
    }
    fclose(f);
    *size = (size_t)end;
    return data;
}

static int run_pack(const char *name)
{
    const char *top = getenv("srcdir");
    char path[1024];
    size_t size, at = 0;
    uint8_t *data;
    int n = 0;

    snprintf(path, sizeof path, "%s/tests/fixtures/fuzz/%s.pack", top ? top : ".", name);
    data = read_file(path, &size);
    while (at < size) {
        size_t rest = size - at, length;

        length = rest < 4 ? 0
                          : data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16 |
                                (size_t)data[at + 3] << 24;
        if (rest < 4 || length > rest - 4) {
            fprintf(stderr, "%s: ends within an input\n", path);
            exit(EXIT_FAILURE);
        }
        run(data + at + 4, length);
        at += 4 + length;
        n++;
    }
    free(data);
    return n;
}

int main(int argc, char **argv)
{
    static const char prefix[] = "check_fuzz_";
    const char *name = strstr(argv[0], prefix);
    int n = argc - 1;

    for (int i = 1; i < argc; i++) {
        size_t size;
        uint8_t *data = read_file(argv[i], &size);

        run(data, size);
        free(data);
    }
    if (argc == 1 && name)
        n = run_pack(name + sizeof prefix - 1);
    printf("# total %d passed 0 failed\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
