/* A main for the fuzz_*.c programs where there is no libFuzzer: runs the files named on
 * the command line through the entry, each in memory of exactly its size. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        uint8_t *data;
        long size;

        if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
            fprintf(stderr, "%s: cannot read\n", argv[i]);
            return EXIT_FAILURE;
        }
        rewind(f);
        data = malloc((size_t)size + !size);
        if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
            fprintf(stderr, "%s: cannot read\n", argv[i]);
            return EXIT_FAILURE;
        }
        fclose(f);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
    }
    printf("%d files\n", argc - 1);
    return EXIT_SUCCESS;
}
