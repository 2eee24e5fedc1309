#!/bin/sh
# Prints -race if the race detector can work, which takes a C compiler and its
# headers. Installs them if it may, else says loudly that it does without.
set -eu

cc_works() {
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' |
		$(go env CC) -pthread -x c -o /dev/null - 2>/dev/null
}

if [ "$(go env CGO_ENABLED)" = 0 ] && cc_works; then
	echo "*** CGO_ENABLED=0: THE TESTS RUN WITHOUT THE RACE DETECTOR" >&2
elif cc_works || { .ci/apt.sh gcc libc6-dev && cc_works; }; then
	echo -race
else
	echo "*** NO C COMPILER: THE TESTS RUN WITHOUT THE RACE DETECTOR" >&2
	echo "*** as root: apt install gcc libc6-dev" >&2
fi
