/* Where libevent's smallest blocks are. loop.c's own. */
#ifndef COMMON_BASE_LOOP_CELLS_H
#define COMMON_BASE_LOOP_CELLS_H

/*
 * Before the first call of libevent: for each descriptor that was ever watched it keeps some 20
 * bytes for good. After a peak each of these would stand alone in a page that can't go back to the
 * system; so they get a place of their own.
 */
void loop_cells_use(void);

#endif
