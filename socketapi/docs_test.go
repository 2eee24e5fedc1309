package socketapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryErrorIsDocumented reads the package's source: every exported name has
// a comment, and what can fail says with which errors, or as what else does.
func TestEveryErrorIsDocumented(t *testing.T) {
	says := regexp.MustCompile(`Errors?\b|\bE[A-Z]{4,}|ErrClosed|json\.Marshaler`)
	names, err := filepath.Glob("*.go")
	check(t, err, nil)
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		check(t, err, nil)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !ofExportedType(f) {
				continue
			}
			n++
			doc := f.Doc.Text()
			if doc == "" {
				t.Errorf("%s: no comment", f.Name)
			} else if fails(f) && !says.MatchString(doc) {
				t.Errorf("%s: nothing about its errors: %s", f.Name, doc)
			}
		}
	}
	if n < 100 {
		t.Fatalf("only %d functions found", n)
	}
}

// ofExportedType reports whether a function is no method, or one that users see.
func ofExportedType(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// fails reports whether a function returns an error.
func fails(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	for _, r := range f.Type.Results.List {
		if id, ok := r.Type.(*ast.Ident); ok && id.Name == "error" {
			return true
		}
	}
	return false
}
