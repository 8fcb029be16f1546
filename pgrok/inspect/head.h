/* The fields of a captured head as JSON: in order, or as Go's maps have them. */
#ifndef PGROK_INSPECT_HEAD_H
#define PGROK_INSPECT_HEAD_H

#include "common/base/text.h"
#include "pgrok/capture/head.h"

/* [["Name","value"], ...] as sent. */
void head_list(struct text *t, const struct capture_head *h, bool trailers);
/*
 * {"Name":["value", ...], ...}: names in Go's canonical form, sorted; without Transfer-Encoding,
 * and without Host if it is a request's.
 */
void head_map(struct text *t, const struct capture_head *h, bool request);

#endif
