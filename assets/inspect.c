/* The inspector's page. */
#define ASSETS_LIST "assets/inspect.inc"
#include "assets/embed.inc"

struct assets inspect_assets = {files, sizeof(files) / sizeof(files[0]), false};
