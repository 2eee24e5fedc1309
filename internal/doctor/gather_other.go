//go:build !linux

package doctor

import (
	"context"
	"runtime"
)

// gather has nothing to ask: see elsewhere.
func gather(context.Context, Config) *facts { return &facts{system: runtime.GOOS} }
