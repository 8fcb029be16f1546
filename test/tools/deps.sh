#!/bin/sh
# What building, testing and checking need from the distribution: looks for it, installs it.
#
#   deps.sh check GROUP...    status 0 if everything of these groups is there; silent
#   deps.sh install GROUP...  installs it with apt, or prints the command for this system
#
# Groups: build (compiler, libraries), test (build and what the tests use), front (proxies that stand in
# front of pgrokd; tests that want one are skipped without it), lint, fuzz, memcheck, browser, png (what
# makes the screenshots small).
set -u

LIBS='libevent libevent_openssl openssl jansson yaml-0.1 zlib ncursesw'

apt_names() {
	case $1 in
	build) echo build-essential pkg-config libevent-dev libssl-dev libjansson-dev libyaml-dev libncurses-dev zlib1g-dev libbrotli-dev libzstd-dev libqrencode-dev \
		libwslay-dev uthash-dev python3 ;;
	test) apt_names build; echo libcmocka-dev python3-pytest python3-pytest-xdist openssl curl iproute2 tmux ;;
	front) echo nginx-light libnginx-mod-stream haproxy caddy ;;
	lint) echo clang-format-14 clang-tidy-14 python3 ;;
	fuzz) echo clang-14 libclang-rt-14-dev ;;
	memcheck) echo valgrind libc6-dbg ;;
	browser) have_chromium || echo chromium; have node || echo nodejs; have npm || echo npm ;;
	png) echo pngquant ;;
	esac
}

fedora_names() {
	case $1 in
	build) echo gcc make pkgconf-pkg-config libevent-devel openssl-devel jansson-devel \
		libyaml-devel ncurses-devel zlib-devel brotli-devel libzstd-devel qrencode-devel wslay-devel uthash-devel python3 ;;
	test) fedora_names build; echo libcmocka-devel python3-pytest python3-pytest-xdist openssl curl iproute tmux ;;
	front) echo nginx nginx-mod-stream haproxy caddy ;;
	lint) echo clang-tools-extra python3 ;;
	fuzz) echo clang compiler-rt ;;
	memcheck) echo valgrind ;;
	browser) echo chromium nodejs npm ;;
	png) echo pngquant ;;
	esac
}

arch_names() {
	case $1 in
	build) echo base-devel libevent openssl jansson libyaml ncurses zlib brotli zstd qrencode wslay uthash python ;;
	test) arch_names build; echo cmocka python-pytest python-pytest-xdist curl iproute2 tmux ;;
	front) echo nginx-mainline haproxy caddy ;;
	lint) echo clang python ;;
	fuzz) echo clang compiler-rt ;;
	memcheck) echo valgrind ;;
	browser) echo chromium nodejs npm ;;
	png) echo pngquant ;;
	esac
}

alpine_names() {
	case $1 in
	build) echo build-base pkgconf linux-headers libevent-dev openssl-dev jansson-dev yaml-dev ncurses-dev zlib-dev brotli-dev zstd-dev libqrencode-dev \
		wslay-dev uthash-dev python3 ;;
	test) alpine_names build; echo cmocka-dev py3-pytest py3-pytest-xdist openssl curl iproute2 tmux ;;
	front) echo nginx nginx-mod-stream haproxy caddy ;;
	lint) echo clang-extra-tools python3 ;;
	fuzz) echo clang compiler-rt ;;
	memcheck) echo valgrind ;;
	browser) echo chromium nodejs npm ;;
	png) echo pngquant ;;
	esac
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# A header of a library that has no pkg-config file.
have_header() {
	echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1
}

have_chromium() {
	for name in "${CHROMIUM-}" chromium chromium-browser google-chrome-stable; do
		[ -n "$name" ] && have "$name" && return 0
	done
	return 1
}

have_pytest() {
	for py in python3 /usr/bin/python3; do
		"$py" -c 'import pytest, xdist' 2>/dev/null && return 0
	done
	return 1
}

there() {
	case $1 in
	build) have cc && have make && have python3 && have pkg-config &&
		pkg-config --exists $LIBS && have_header uthash.h &&
		have_header wslay/wslay.h ;;
	test) there build && pkg-config --exists cmocka && have openssl && have curl && have tmux &&
		have_pytest ;;
	front) have nginx && have haproxy && have caddy ;;
	lint) have clang-tidy-14 || have clang-tidy && { have clang-format-14 || have clang-format; } &&
		have python3 ;;
	browser) have_chromium && have node && have npm ;;
	fuzz) have clang-14 || have clang ;;
	memcheck) have valgrind ;;
	png) have pngquant ;;
	*) echo "deps.sh: no group $1" >&2; exit 2 ;;
	esac
}

all_there() {
	for g; do
		there "$g" || return 1
	done
}

# Names of the groups in "$@", each once, for the package manager $pm.
names() {
	pm=$1
	shift
	for g; do
		"${pm}_names" "$g"
	done | tr ' ' '\n' | sort -u | tr '\n' ' '
}

apt_install() {
	pkgs=$1
	as=
	[ "$(id -u)" -eq 0 ] || as='sudo'
	apt="$as env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"
	echo "Installing with apt: $pkgs"
	# A new machine has no package lists, an old one stale ones.
	if ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
		$apt install -y --no-install-recommends $pkgs >/dev/null && return
	fi
	$apt update && $apt install -y --no-install-recommends $pkgs >/dev/null
}

print_command() {
	echo 'Something is missing that this system must install first. As root:' >&2
	ids=
	[ -r /etc/os-release ] && ids=" $(. /etc/os-release; echo "${ID-} ${ID_LIKE-}") "
	apt="apt-get install $(names apt "$@")"
	fedora="dnf install $(names fedora "$@")"
	arch="pacman -S --needed $(names arch "$@")"
	alpine="apk add $(names alpine "$@")"
	case $ids in
	*' debian '* | *' ubuntu '*) echo "  $apt" ;;
	*' fedora '* | *' rhel '*) echo "  $fedora" ;;
	*' arch '*) echo "  $arch" ;;
	*' alpine '*) echo "  $alpine" ;;
	*) printf '  Fedora:  %s\n  Arch:    %s\n  Alpine:  %s\n' "$fedora" "$arch" "$alpine" ;;
	esac
	case " $* " in
	*' browser '*) echo 'Chromium may also be named (CHROMIUM=PATH), or its tests left out (make test BROWSER=no).' ;;
	esac
}

mode=${1-}
shift
case $mode in
check) all_there "$@" ;;
install)
	all_there "$@" && exit 0
	if have apt-get && { [ "$(id -u)" -eq 0 ] || have sudo; }; then
		apt_install "$(names apt "$@")" && all_there "$@" && exit 0
	fi
	print_command "$@"
	exit 1
	;;
*) echo 'usage: deps.sh check|install GROUP...' >&2; exit 2 ;;
esac
