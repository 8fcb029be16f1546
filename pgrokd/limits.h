/* Every limit and time-out of the server, in one place. Times in milliseconds. */
#ifndef PGROKD_LIMITS_H
#define PGROKD_LIMITS_H

/* Lobby: connections whose first bytes have not decided yet what they are. */
#define LIMIT_FIRST_MS 10000       /* handshake and first message (tunnel port) or first byte */
#define LIMIT_HEAD_MS 10000        /* any request head, from its first byte */
#define LIMIT_HALF_OPEN 4096       /* of all workers; above it the oldest one goes */
#define LIMIT_SILENT_MS 1000       /* rather one that has sent nothing for so long */
#define LIMIT_HALF_OPEN_PER_IP 256 /* not for loopback; a Go client opens 50 at once */

#define LIMIT_MOST 1000000 /* what may be asked for of any of the limits of the file */

/* Of the process's descriptors the last are for clients' connections alone: one in 8, at most. */
#define LIMIT_SPARE 256

/* Visitors. */
#define LIMIT_GUESSES 10     /* wrong passwords at one tunnel from one address... */
#define LIMIT_GUESS_MS 60000 /* ...within that time: 429 until it is over */
#define LIMIT_WAIT_MS 10000  /* for a proxy connection, then 504 */
#define LIMIT_HEAR_MS 10000  /* for the client to take notice of a visitor, then 504 */
#define LIMIT_ASK_MS 5000    /* after which it is asked whether it has */
#define LIMIT_LOOK_MS 1000   /* how often that is looked at */
#define LIMIT_GONE_MS 60000  /* how often it is seen whether who ended its direction has gone */
#define LIMIT_WAITING 1024   /* waiting visitors per client, then 503 */
#define LIMIT_WAITING_PART 4 /* one in so many once the first has waited for LIMIT_ASKED_MS */
#define LIMIT_WAITING_LONG (LIMIT_WAITING / LIMIT_WAITING_PART)
#define LIMIT_BULK (4u << 20)  /* bytes to a visitor... */
#define LIMIT_BULK_MS 250      /* ...within that time: it reads fast, */
#define LIMIT_BULK_VISITORS 16 /* and so many of those may have the kernel's whole queue */
#define LIMIT_OWED_MS 30000    /* for answers owed after a refused request */
#define LIMIT_REPLY_MS 10000   /* for a page to go out */
#define LIMIT_KEPT_MS 60000    /* after a page, for the next request on the connection */
#define LIMIT_SKIPPED 65536    /* bytes of a body that are dropped for that */
#define LIMIT_NAME_MS 10000    /* for the name of its tunnel to come back, then 502 */
#define LIMIT_NAME_LOOK_MS 100 /* how often that is looked at */

/* What a service is asked that decides about requests (-forwardAuth). */
#define LIMIT_ASK_FORWARD_MS 5000  /* for its answer, then 502 */
#define LIMIT_ASK_IDLE_MS 30000    /* a connection to it is kept so long for the next question */
#define LIMIT_ASK_LINKS 32         /* such connections of a worker */
#define LIMIT_ASK_WAITING 1024     /* questions of a worker that wait for one, then 502 */
#define LIMIT_ASK_BODY (64u << 10) /* bytes of an answer's body, else 502 */

/* Controls. */
#define LIMIT_PING_MS 30000 /* silence after which a control is dropped */
#define LIMIT_REAP_MS 10000 /* how often that is looked at */
#define LIMIT_DOUBT_MS 200  /* what waits to be read is read before a control is dropped */
#define LIMIT_PONG_MS 5     /* a Pong to a Go client, which can be too early for it */
#define LIMIT_TUNNELS 256   /* per control */
#define LIMIT_CLIENT_ID 64  /* characters */
#define LIMIT_REVOKED_FILE (1u << 20) /* bytes of revoked.txt */
#define LIMIT_TOKENS 1024             /* of a server */
#define LIMIT_WRONG_MS 250 /* each further wrong token from an address is answered later by it */
#define LIMIT_OWNER 64     /* characters of the name of a token */
#define LIMIT_AUTH 1024    /* characters of user:password */
#define LIMIT_NAME 253     /* characters of a public name */
#define LIMIT_MESSAGES 64  /* handled per wake-up, so that no control starves the others */
#define LIMIT_CONTROL_QUEUE (64 << 10)  /* bytes that wait for one to read them */
#define LIMIT_CONTROL_SOCKET (64 << 10) /* and so many in its socket, about */
#define LIMIT_CONTROL_WRITE_MS 10000    /* is how long they may wait */
#define LIMIT_TAKEOVER_MS 5000          /* for the owner of a wanted name to show that it lives */

/* The pool of proxy connections of one control. */
#define LIMIT_POOL 10       /* as the Go server */
#define LIMIT_POOL_MAX 64   /* with that many visitors waiting at once */
#define LIMIT_MUX 4         /* mux sessions */
#define LIMIT_ASKED_MS 3000 /* how long an asked ReqProxy is counted on */
#define LIMIT_ASKED 128     /* asked for at once: they come as half-open connections */

/* Drip clients: what their own server does, where that can be seen. */
#define LIMIT_DRIP_HELLO (64 << 10)    /* bytes of a first frame; longer ones, up to 1 MiB, */
#define LIMIT_DRIP_LONG 16             /* ... may only so many guests of a worker send at once */
#define LIMIT_DRIP_SESSIONS 64         /* of one client */
#define LIMIT_DRIP_STREAMS 256         /* of one session */
#define LIMIT_DRIP_WINDOW (256u << 10) /* bytes on a stream before the first update: yamux's */
#define LIMIT_DRIP_CLOSE_MS 300000     /* for a client to end a stream that is closed here */
#define LIMIT_DRIP_PING_MS 5000        /* between signs of life; */
#define LIMIT_DRIP_MISSES 4            /* without so many in turn a session is lost */

/* Names. */
#define LIMIT_AFFINITY (1u << 20)   /* bytes of remembered names */
#define LIMIT_AFFINITY_CLIENT 512   /* of those, entries of one client */
#define LIMIT_AFFINITY_ADDRESS 1024 /* and of one address; not for loopback */
#define LIMIT_RANDOM_TRIES 5        /* random names tried before giving up */
#define LIMIT_NAME_HELD_MS 90000    /* for its owner, after his connection broke... */
#define LIMIT_NAME_KEPT_MS 86400000 /* ...if he has a token that is checked */
#define LIMIT_NAME_DAYS 30          /* the most that -namesKeep may say */
#define LIMIT_HELD 65536            /* names held at once */
#define LIMIT_HELD_CLIENT 256       /* of one client */
#define LIMIT_HELD_ADDRESS 1024     /* of one address; not for loopback */
#define LIMIT_PORT_TRIES 8          /* ports that are tried to bind before others have their turn */
#define LIMIT_PORT_FAILED_MS 60000  /* a port that could not be bound is not tried again */
#define LIMIT_PORT_MIN 1024         /* lower ones are refused, unless -tcpPorts says so */
#define LIMIT_PORT_RANDOM 10000     /* below it none is given unasked */
#define LIMIT_REFUSALS 100          /* of one control's wishes... */
#define LIMIT_REFUSALS_MS 60000     /* ...within that time: it is closed */
#define LIMIT_CLOSES 256            /* tunnels of leaving clients closed in a turn of a worker */
#define LIMIT_SAVE_MS 1000          /* files are written at most that often */
#define LIMIT_SAVE_SHARE 20         /* and writing takes at most one part in so many of the time */
#define LIMIT_SAVED_NAMES 65536     /* open names in the state file */
#define LIMIT_CACHE_FILE (64u << 20) /* bytes of such a file that are read */
#define LIMIT_WORKERS 64

#endif
