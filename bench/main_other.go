//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: compares with the kernel in network namespaces, so it runs on Linux only")
	os.Exit(1)
}
