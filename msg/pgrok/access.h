/*
 * Rules for visitors as they are sent (struct msg_access): what they may be, for the client that
 * reads them from its file and for the server, which believes no client.
 */
#ifndef MSG_PGROK_ACCESS_H
#define MSG_PGROK_ACCESS_H

#include "msg/pgrok/msg.h"

#define ACCESS_TEXT 10000 /* bytes of all of them together, without mtls_ca */
#define ACCESS_ENTRY 1024 /* of one entry */
#define ACCESS_PASSWORD 256
#define ACCESS_METHOD 32

/* "allow_ips": the key in the client's file. */
const char *access_key(enum access_list which);
/* How many entries it may have. */
int access_most(enum access_list which);
/* Can this be an entry? False: err says why not, without what may be a secret. */
bool access_entry_valid(enum access_list which, const char *text, struct err *err) MUSTCHECK;
bool access_password_valid(const char *text, struct err *err) MUSTCHECK;
/*
 * Everything, as it came: entries, their numbers, the size of all. False: err says why not, the key
 * in front.
 */
bool access_valid(const struct msg_access *a, struct err *err) MUSTCHECK;
/* Is there any rule? The key of the first one; NULL: there is none. */
const char *access_any(const struct msg_access *a);
/* The same of those that need a request, or TLS, so that a tcp tunnel can't have them. */
const char *access_any_http(const struct msg_access *a);

/* The next entry of a list: its length, *entry moves to it; at first it is NULL. 0: no more. */
size_t access_next(const char *list, const char **entry);

#endif
