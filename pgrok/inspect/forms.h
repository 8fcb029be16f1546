/* The forms in which the API shows things; assets/inspect/API.md describes them. */
#ifndef PGROK_INSPECT_FORMS_H
#define PGROK_INSPECT_FORMS_H

#include "pgrok/capture/capture.h"
#include "pgrok/inspect/head.h"
#include "common/base/text.h"

/* A row of the list. */
void form_entry(struct text *t, const struct capture_txn *x);
/* A transaction in ngrok's form, with ours in it. raw: with the bytes in base64. */
void form_request(struct text *t, const struct capture_txn *x, bool raw);
void form_frame(struct text *t, const struct capture_frame *f);
/* A transaction as pgrok's /_ws has it. */
void form_compat(struct text *t, const struct capture_txn *x);
/* An entry of a HAR's log. In inspect_har.c. */
void form_har(struct text *t, const struct capture_txn *x);
/* {"error_code":..., "status_code":..., "msg":..., "details":{"err":...}} */
void form_error(struct text *t, int status, const char *msg);

/* The host that a request asks for: its Host field's. */
struct head_part form_host(const struct capture_txn *x);
struct head_part form_target(const struct capture_txn *x);
struct head_part form_method(const struct capture_txn *x);
/* The words behind the answer's status; empty: none. */
struct head_part form_reason(const struct capture_txn *x);

#endif
