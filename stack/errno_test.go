package stack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// TestErrnoHasARowForEveryError reads gVisor's own source: an error that an
// upgrade adds must get its row before it reaches a user as EPROTO.
func TestErrnoHasARowForEveryError(t *testing.T) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "gvisor.dev/gvisor/pkg/tcpip").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if ts, ok := n.(*ast.TypeSpec); ok && strings.HasPrefix(ts.Name.Name, "Err") && ts.Name.Name != "Error" {
			types[ts.Name.Name] = true
		}
		return true
	})
	if len(types) < 30 {
		t.Fatalf("found %d error types: has gVisor moved them?", len(types))
	}
	for name := range types {
		if errnos[name] == 0 {
			t.Errorf("no errno for tcpip.%s", name)
		}
	}
	for name := range errnos {
		if !types[name] {
			t.Errorf("a row for tcpip.%s, which gVisor does not have", name)
		}
	}
}

func TestErrno(t *testing.T) {
	if got := Errno(&tcpip.ErrConnectionRefused{}); got != syscall.ECONNREFUSED {
		t.Errorf("got %v", got)
	}
	if got := Errno(nil); got != 0 {
		t.Errorf("nil is %v", got)
	}
}
