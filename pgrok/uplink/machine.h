/* This machine in Go's words, which the server counts by. */
#ifndef PGROK_UPLINK_MACHINE_H
#define PGROK_UPLINK_MACHINE_H

/* "linux". Static. */
const char *machine_os(void);
/* "amd64". Static. */
const char *machine_arch(void);

#endif
