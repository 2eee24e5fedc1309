//go:build !linux

package life

import "io/fs"

// streamOf is nothing: there is no journal.
func streamOf(fs.FileInfo) string { return "" }
