#!/bin/sh
# apt.sh PACKAGE...: installs them, if we are root and have apt. Otherwise the
# exit status is 1, and it is the caller's to say what to do.
set -eu
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 1
export DEBIAN_FRONTEND=noninteractive
echo "installing $*" >&2
# Debian starts the service that a package brings; nobody here wants one.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
{
	apt-get -qq update
	apt-get -qq install -y --no-install-recommends "$@"
} >&2
