/* Feeds a corpus to a fuzzer without libFuzzer: each file whole, and each prefix of small ones. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIXES_UP_TO 2048 /* bytes of a file whose prefixes are tried too */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An own allocation of the exact size: a sanitizer then sees a read past the end. */
static void feed(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void feed_file(const char *path)
{
	static uint8_t data[4u << 20];
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f) {
		perror(path);
		exit(1);
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	feed(data, size);
	if (size > PREFIXES_UP_TO)
		return;
	for (size_t i = 0; i < size; i++)
		feed(data, i);
}

int main(int argc, char **argv)
{
	int files = 0;
	struct dirent *e;
	DIR *d;

	if (argc != 2 || !(d = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER (an existing one)\n", argv[0]);
		return 2;
	}
	while ((e = readdir(d))) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		feed_file(path);
		files++;
	}
	closedir(d);
	printf("  PASS   %s: %d files\n", argv[0], files);
	return files > 0 ? 0 : 1; /* a fuzzer without a corpus proves nothing */
}
