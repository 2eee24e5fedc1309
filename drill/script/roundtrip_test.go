package script_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tapstack/drill/script"
)

// parse parses or fails the test with the message that a user would see.
func parse(t testing.TB, file, src string) *script.Script {
	t.Helper()
	s, err := script.Parse(file, src, nil)
	if err != nil {
		t.Fatal(detail(err))
	}
	return s
}

func detail(err error) string {
	var e *script.Error
	if errors.As(err, &e) {
		return e.Detail()
	}
	return "not a *script.Error: " + err.Error()
}

// placeless takes the places and the source out of a script that nobody else
// uses.
func placeless(s *script.Script) *script.Script {
	c := &script.Script{
		Options: s.Options, Params: s.Params, Hosts: s.Hosts, Links: s.Links, Conns: s.Conns, Events: s.Events,
	}
	clearPos(reflect.ValueOf(c).Elem())
	return c
}

func clearPos(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			clearPos(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			clearPos(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[script.Pos]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				clearPos(v.Field(i))
			}
		}
	default:
	}
}

// checkRoundTrip prints a script, parses that, and compares.
func checkRoundTrip(t testing.TB, s *script.Script) {
	t.Helper()
	printed := script.Print(s)
	again, err := script.Parse(s.File+" printed", printed, nil)
	if err != nil {
		t.Fatalf("what Print wrote cannot be parsed: %s\n%s", detail(err), printed)
	}
	if twice := script.Print(again); twice != printed {
		t.Fatalf("printed:\n%s\nprinted again:\n%s", printed, twice)
	}
	a, b := placeless(s), placeless(again)
	for i, e := range a.Events {
		if !reflect.DeepEqual(e, b.Events[i]) {
			t.Errorf("not the same event when parsed again: %s", script.Format(e))
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("not the same script when parsed again:\n%s", printed)
	}
}

// ownScripts reads the scripts of this package's testdata.
func ownScripts(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.pkt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in testdata", err)
	}
	texts := make(map[string]string)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(b)
	}
	return texts
}

func TestOwnScripts(t *testing.T) {
	for file, src := range ownScripts(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			checkRoundTrip(t, parse(t, file, src))
		})
	}
}

// evalAll evaluates what can be, for the sake of a panic.
func evalAll(s *script.Script) {
	n := int64(-1)
	lookup := func(script.Expr, []any) (any, error) {
		n++
		return []any{int64(0), int64(7), .5, "%d", true, int64(math.MinInt64)}[n%6], nil
	}
	s.Inspect(func(n script.Node) bool {
		if x, ok := n.(script.Expr); ok {
			if v, err := script.Eval(x, lookup); err == nil {
				_ = script.Show(v)
			}
			return false
		}
		return true
	})
}

// FuzzParse: whatever the text, Parse returns; what it accepts survives being
// printed and parsed again, and can be evaluated; what it does not accept has
// a place in the text.
func FuzzParse(f *testing.F) {
	for _, src := range ownScripts(f) {
		f.Add(src)
		for line := range strings.Lines(src) { // a mistake ends the parse: more is reached from short texts
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := script.Parse("fuzz.pkt", src, nil)
		if err == nil {
			checkRoundTrip(t, s)
			evalAll(s)
			return
		}
		var e *script.Error
		if !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if e.Line < 1 || e.Col < 1 || e.Msg == "" || e.Detail() == "" {
			t.Fatalf("an error without a place: %#v", e)
		}
	})
}
