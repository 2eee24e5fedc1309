#!/bin/sh
# Makes sure of a Go as new as go.mod asks for; says what to do where it can
# not.
#
# From 1.21 on, the go command fetches the right toolchain by itself. An older
# one (Debian 12 has 1.19) can not, but it can fetch modules, and the toolchain
# is one: bin/.go becomes a link to it, which the Makefile puts first in PATH.
# The dot keeps it out of ./... patterns.
set -eu
cd "$(dirname "$0")/.."
need=$(sed -n 's/^go //p' go.mod)

die() {
	printf '%s\n' "$@" >&2
	exit 1
}

# at_least VERSION: the go command, as it acts in this module, is that new.
at_least() {
	have=$(go env GOVERSION 2>&1) && printf '%s\n' "go$1" "$have" | sort -CV
}

command -v go >/dev/null || .ci/apt.sh golang-go ca-certificates ||
	die "There is no go command. Install Go, any version from 1.19 on:" \
		"  apt install golang-go, or https://go.dev/dl"
at_least "$need" && exit 0
at_least 1.19 && ! at_least 1.21 ||
	die "Go $need is needed, and this one does not fetch it (GOTOOLCHAIN=$(go env GOTOOLCHAIN)):" "  $have"

echo "Go $need is needed, this is $have: fetching it through the module proxy" >&2
v=v0.0.1-go$need.$(go env GOHOSTOS)-$(go env GOHOSTARCH)
(cd / && GO111MODULE=on go mod download "golang.org/toolchain@$v") ||
	die "It could not be fetched. Install Go 1.21 or later: https://go.dev/dl"
sdk=$(go env GOMODCACHE)/golang.org/toolchain@$v
# What a newer go command does after the download: a module's zip can hold
# neither exec bits nor another module's go.mod.
chmod +x "$sdk"/bin/* "$sdk"/pkg/tool/*/*
chmod u+w "$sdk/src"
cp "$sdk/src/_go.mod" "$sdk/src/go.mod"
mkdir -p bin
ln -sfn "$sdk" bin/.go
