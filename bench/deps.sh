#!/bin/sh
# What the benchmark needs from the distribution: its load tools, and the tunnels to compare with.
#
#   deps.sh    installs what is missing with apt, or prints what this system must install
#
# Packages that bring a daemon do not get to start it, now or at boot: the benchmark runs its own copies.
set -u
PATH=$PATH:/usr/sbin:/sbin

# program, Debian package, the package's service ("-": none)
NEEDS='cc gcc -
openssl openssl -
wrk wrk -
iperf3 iperf3 iperf3
nginx nginx-light nginx
haproxy haproxy haproxy
ssh openssh-client -
sshd openssh-server ssh
ip iproute2 -
valgrind valgrind -
strace strace -'

packages= services=
while read -r program package service; do
	command -v "$program" >/dev/null 2>&1 && continue
	packages="$packages $package"
	[ "$service" = - ] || services="$services $service"
done <<EOF
$NEEDS
EOF
if [ -z "$packages" ]; then
	echo 'bench: all peers and tools of the distribution are there'
	exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
	echo "Install with this system's package manager (names as in Debian):$packages" >&2
	exit 1
fi
as=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "As root: apt-get install$packages" >&2
		exit 1
	fi
	as=sudo
fi

# Debian's own switch: while this file says 101, installing a package starts nothing.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$as rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as tee "$policy" >/dev/null
	$as chmod 755 "$policy"
fi
echo "Installing with apt:$packages"
apt="$as env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"
# shellcheck disable=SC2086
$apt install -y --no-install-recommends $packages >/dev/null ||
	{ $apt update && $apt install -y --no-install-recommends $packages >/dev/null; } || exit 1

# What was here before keeps its settings; what came just now must not start at boot either.
if command -v systemctl >/dev/null 2>&1; then
	for service in $services; do
		$as systemctl disable "$service" >/dev/null 2>&1
	done
fi
echo 'bench: installed'
