//go:build !unix

package control

import "os"

// lockPath keeps the file open, which is as much as can be done here.
func lockPath(path string) (*os.File, error) {
	return os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
}
