//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "readers: a TAP with offload headers is Linux's, and so is this program")
	os.Exit(1)
}
