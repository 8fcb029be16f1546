/* This project's own version, as CHANGELOG.md counts; what the wire calls version is in msg.h. */
#ifndef COMMON_BASE_VERSION_H
#define COMMON_BASE_VERSION_H

#define OWN_VERSION "0.1.0"

#endif
