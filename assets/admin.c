/* The operator's page. */
#define ASSETS_LIST "assets/admin.inc"
#include "assets/embed.inc"

struct assets admin_assets = {files, sizeof(files) / sizeof(files[0]), false};
