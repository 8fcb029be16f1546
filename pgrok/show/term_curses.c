/* Curses, drawing into memory. */
#include "pgrok/show/term_curses.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pgrok/show/term_text.h"

/* Last: these define words like "columns" as macros. */
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <term.h>
#undef columns

struct term_curses {
	struct term_tty *tty;
	FILE *ink; /* a file in memory: what curses has written, on its way to the terminal */
	SCREEN *screen;
	locale_t locale; /* of the environment, LC_CTYPE alone; for this thread while it draws */
	bool utf8, colours;
	char leave[256];
};

/* ---- drawing ---- */

static int attribute(const struct term_curses *t, enum term_style style)
{
	static const int plain[STYLES] = {[STYLE_TITLE] = A_BOLD};

	return t->colours ? plain[style] | COLOR_PAIR((int)style) : plain[style];
}

static void paint_cell(const struct term_curses *t, int y, const struct term_cell *c)
{
	wchar_t text[TERM_COLUMNS_MAX + 1];
	int columns = c->columns > TERM_COLUMNS_MAX ? TERM_COLUMNS_MAX : c->columns;

	(void)term_fit(c->text, columns, t->utf8, c->mark, text, TERM_COLUMNS_MAX + 1);
	attrset(attribute(t, c->style));
	mvaddwstr(y, c->column, text);
	attrset(A_NORMAL);
}

static void paint(const struct term_curses *t, const struct term_page *p, int height, size_t offset)
{
	erase();
	for (int y = 0; y < height; y++) {
		size_t at = (size_t)y < p->fixed ? (size_t)y : (size_t)y + offset;
		if (at >= p->n)
			break;
		for (int i = 0; i < p->rows[at].cells_n; i++)
			paint_cell(t, y, &p->rows[at].cells[i]);
	}
}

/* What curses has written goes on to the terminal. */
static void pass_on(struct term_curses *t)
{
	char part[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fileno(t->ink), part, sizeof(part), at)) > 0) {
		term_tty_write(t->tty, part, (size_t)n);
		at += n;
	}
	if (ftruncate(fileno(t->ink), 0) == 0)
		(void)lseek(fileno(t->ink), 0, SEEK_SET);
}

void term_curses_draw(struct term_curses *t, const struct term_page *p, int height, size_t offset)
{
	locale_t before = uselocale(t->locale);

	paint(t, p, height, offset);
	refresh();
	uselocale(before);
	pass_on(t);
}

void term_curses_redraw(struct term_curses *t)
{
	clearok(curscr, TRUE);
}

void term_curses_resize(struct term_curses *t, int width, int height)
{
	locale_t before = uselocale(t->locale);

	resizeterm(height, width);
	clearok(curscr, TRUE);
	uselocale(before);
}

void term_curses_leave(struct term_curses *t)
{
	locale_t before = uselocale(t->locale);

	endwin();
	uselocale(before);
	pass_on(t);
}

const char *term_curses_leave_bytes(const struct term_curses *t)
{
	return t->leave;
}

bool term_curses_utf8(const struct term_curses *t)
{
	return t->utf8;
}

/* ---- start and end ---- */

/* Bytes of a capability without its padding ("$<5>"). */
static void add_capability(char *out, size_t cap, const char *name)
{
	const char *s = tigetstr(name);
	size_t n = strlen(out);

	if (!s || s == (const char *)-1)
		return;
	while (*s && n + 1 < cap) {
		const char *end = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
		if (end)
			s = end + 1;
		else
			out[n++] = *s++;
	}
	out[n] = '\0';
}

static bool has_capability(const char *name)
{
	const char *s = tigetstr(name);

	return s && s != (const char *)-1;
}

static void set_colours(struct term_curses *t)
{
	static const short colours[STYLES] = {
		[STYLE_TITLE] = COLOR_BLUE,  [STYLE_GOOD] = COLOR_GREEN, [STYLE_WAIT] = COLOR_CYAN,
		[STYLE_WARN] = COLOR_YELLOW, [STYLE_BAD] = COLOR_RED,
	};
	const char *no = getenv("NO_COLOR");

	if ((no && *no) || !has_colors() || start_color() == ERR)
		return;
	bool own_background = use_default_colors() != ERR;

	t->colours = true;
	for (int i = 1; i < STYLES; i++)
		init_pair((short)i, colours[i], own_background ? -1 : COLOR_BLACK);
}

/* False: this kind of terminal has no screen. */
static bool screen_start(struct term_curses *t)
{
	const char *kind = getenv("TERM");
	int fd, err;

	if (!kind || !*kind || setupterm(NULL, term_tty_fd(t->tty), &err) != OK)
		return false;
	if (!has_capability("cup") || !has_capability("clear"))
		return false;
	add_capability(t->leave, sizeof(t->leave), "sgr0");
	add_capability(t->leave, sizeof(t->leave), "op");
	add_capability(t->leave, sizeof(t->leave), "cnorm");
	add_capability(t->leave, sizeof(t->leave), "rmcup");
	del_curterm(cur_term);
	fd = memfd_create("screen", MFD_CLOEXEC);
	t->ink = fd < 0 ? NULL : fdopen(fd, "r+");
	if (!t->ink)
		return false;
	/* Curses asks the environment for a size before it can be told. */
	use_env(FALSE);
	t->screen = newterm(NULL, t->ink, t->ink);
	if (!t->screen)
		return false;
	set_term(t->screen);
	typeahead(-1);
	nonl();
	curs_set(0);
	set_colours(t);
	return true;
}

static bool locale_start(struct term_curses *t)
{
	t->locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	if (!t->locale)
		t->locale = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
	if (!t->locale)
		return false;
	t->utf8 = strcmp(nl_langinfo_l(CODESET, t->locale), "UTF-8") == 0;
	return true;
}

void term_curses_free(struct term_curses *t)
{
	if (!t)
		return;
	if (t->screen)
		delscreen(t->screen);
	if (t->ink)
		fclose(t->ink);
	if (t->locale)
		freelocale(t->locale);
	free(t);
}

struct term_curses *term_curses_start(struct term_tty *tty)
{
	struct term_curses *t = xcalloc(1, sizeof(*t));

	t->tty = tty;
	if (locale_start(t)) {
		locale_t before = uselocale(t->locale);
		bool ok = screen_start(t);
		uselocale(before);
		if (ok)
			return t;
	}
	term_curses_free(t);
	return NULL;
}
