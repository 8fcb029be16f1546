/* The terminal: descriptor, modes, restoration. */
#include "pgrok/show/term_tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "common/base/text.h"

#define RESTORE_MS 300         /* for what is still to be written when the screen is left */
#define FAULT_STACK (16 << 10) /* bytes; a stack overflow leaves none */

struct term_tty {
	struct loop *loop;
	int fd;
	struct termios before;
	bool taken;
	struct text queue;
	struct event *writable;
	struct loop_tick gone; /* tells that the terminal is no more, outside of whoever wrote */
};

/* ---- the last resort: what a handler needs, and nothing that it may not call ---- */

static const int fatal_signals[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGSYS,
				    SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU, SIGXFSZ};
#define FATAL_SIGNALS (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

static struct {
	atomic_bool armed;
	int fd;
	struct termios modes;
	const char *leave;
	size_t leave_len;
	struct sigaction before[FATAL_SIGNALS];
} rescue;

static bool in_foreground(int fd)
{
	return tcgetpgrp(fd) == getpgrp();
}

/* Async-signal-safe. Once: a fault in here must not come back. */
static void rescue_now(void)
{
	int saved = errno;

	if (atomic_exchange(&rescue.armed, false) && in_foreground(rescue.fd)) {
		if (write(rescue.fd, rescue.leave, rescue.leave_len) < 0)
			errno = 0;
		tcsetattr(rescue.fd, TCSANOW, &rescue.modes);
	}
	errno = saved;
}

static void on_fatal(int sig, siginfo_t *info, void *context)
{
	bool fault = sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;

	rescue_now();
	for (size_t i = 0; i < FATAL_SIGNALS; i++) {
		if (fatal_signals[i] == sig)
			sigaction(sig, &rescue.before[i], NULL);
	}
	/* A fault happens again as soon as this returns, with all that a debugger wants to see. */
	if (!fault || info->si_code <= 0)
		raise(sig);
}

static void rescue_arm(int fd, const struct termios *modes, const char *leave)
{
	static char stack[FAULT_STACK];
	static bool with_exit;
	struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)}, now;

	/* A sanitizer brings its own. */
	if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE))
		(void)sigaltstack(&own, NULL);
	rescue.fd = fd;
	rescue.modes = *modes;
	rescue.leave = leave;
	rescue.leave_len = strlen(leave);
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &sa, &rescue.before[i]);
	atomic_store(&rescue.armed, true);
	if (!with_exit)
		(void)atexit(rescue_now);
	with_exit = true;
}

static void rescue_disarm(void)
{
	atomic_store(&rescue.armed, false);
	for (size_t i = 0; i < FATAL_SIGNALS; i++)
		sigaction(fatal_signals[i], &rescue.before[i], NULL);
}

/* ---- open ---- */

/*
 * The same terminal by an open file description of our own: O_NONBLOCK on stdout's would be seen by
 * every process that shares it, the shell first of all.
 */
static int open_own(void)
{
	static const int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	char name[256];
	int fd = -1;

	if (isatty(STDOUT_FILENO) && ttyname_r(STDOUT_FILENO, name, sizeof(name)) == 0)
		fd = open(name, flags);
	/* After su its device may be another user's. */
	return fd < 0 && isatty(STDOUT_FILENO) ? open("/dev/tty", flags) : fd;
}

struct term_tty *term_tty_open(struct loop *l, void (*on_gone)(void *arg), void *arg)
{
	struct termios modes;
	int fd = open_own();

	if (fd < 0)
		return NULL;
	if (tcgetattr(fd, &modes) != 0 || !in_foreground(fd)) {
		close(fd);
		return NULL;
	}
	struct term_tty *t = xcalloc(1, sizeof(*t));
	t->loop = l;
	t->fd = fd;
	t->before = modes;
	t->gone = (struct loop_tick){.fn = on_gone, .arg = arg};
	return t;
}

int term_tty_fd(const struct term_tty *t)
{
	return t->fd;
}

bool term_tty_size(const struct term_tty *t, int *width, int *height)
{
	struct winsize w;

	if (ioctl(t->fd, TIOCGWINSZ, &w) != 0 || !w.ws_col || !w.ws_row)
		return false;
	*width = w.ws_col;
	*height = w.ws_row;
	return true;
}

bool term_tty_foreground(const struct term_tty *t)
{
	return in_foreground(t->fd);
}

/* ---- modes ---- */

void term_tty_take(struct term_tty *t, const char *leave)
{
	struct termios raw;

	if (tcgetattr(t->fd, &t->before) != 0)
		return;
	raw = t->before;
	/* Ctrl+C stays a signal. No Ctrl+S: what could stop the screen for good helps nobody. */
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | IEXTEN);
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	rescue_arm(t->fd, &t->before, leave);
	t->taken = true;
	tcsetattr(t->fd, TCSANOW, &raw);
}

/* What is queued, as far as the terminal takes it within ms. */
static void write_out(struct term_tty *t, int ms)
{
	struct pollfd p = {.fd = t->fd, .events = POLLOUT};

	while (t->queue.len && poll(&p, 1, ms) == 1) {
		ssize_t n = write(t->fd, t->queue.p, t->queue.len);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
		if (n > 0)
			text_drop(&t->queue, (size_t)n);
	}
	text_free(&t->queue);
}

void term_tty_restore(struct term_tty *t)
{
	if (!t->taken)
		return;
	if (in_foreground(t->fd)) {
		write_out(t, RESTORE_MS);
		tcsetattr(t->fd, TCSANOW, &t->before);
	}
	if (t->writable)
		event_del(t->writable);
	text_free(&t->queue);
	t->taken = false;
	rescue_disarm();
}

/* ---- writing ---- */

static void write_some(struct term_tty *t)
{
	while (t->queue.len) {
		ssize_t n = write(t->fd, t->queue.p, t->queue.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			loop_next_tick(t->loop, &t->gone);
			text_free(&t->queue);
			break;
		}
		text_drop(&t->queue, (size_t)n);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct term_tty *t = arg;

	write_some(t);
	if (!t->queue.len)
		event_del(t->writable);
}

void term_tty_write(struct term_tty *t, const void *data, size_t len)
{
	text_add(&t->queue, data, len);
	write_some(t);
	if (!t->queue.len)
		return;
	if (!t->writable)
		t->writable =
			event_new(loop_base(t->loop), t->fd, EV_WRITE | EV_PERSIST, on_writable, t);
	event_add(t->writable, NULL);
}

bool term_tty_busy(const struct term_tty *t)
{
	return t->queue.len > 0;
}

void term_tty_close(struct term_tty *t)
{
	if (!t)
		return;
	term_tty_restore(t);
	loop_tick_cancel(t->loop, &t->gone);
	if (t->writable)
		event_free(t->writable);
	close(t->fd);
	text_free(&t->queue);
	free(t);
}
