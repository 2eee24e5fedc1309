package script

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Lookup gives names their meaning for [Eval]. It is called for a [*Name], a
// [*Select] and, with its arguments evaluated, an [*Apply]. It returns one of
// int64, float64, bool, string and []any, or an error for what it does not
// know.
type Lookup func(x Expr, args []any) (any, error)

// EvalError is what went wrong in an expression, and where.
type EvalError struct {
	Pos
	Err error
}

// Error returns "line:column: what".
func (e *EvalError) Error() string { return e.String() + ": " + e.Err.Error() }

// Unwrap returns the error without its place, such as Lookup's own.
func (e *EvalError) Unwrap() error { return e.Err }

// ErrNotComputable is wrapped in the error for "...", "*", ranges and structs,
// which have no value of their own: the interpreter compares with them.
var ErrNotComputable = errors.New("this has no value")

// Eval computes an expression as Python does, with integers of 64 bits: what
// goes beyond is an error, and so is a division by zero. The result is of one
// of the types that [Lookup] returns. "and" and "or" look no further than they
// must. An error is an [*EvalError].
func Eval(x Expr, lookup Lookup) (any, error) {
	return evaluator(lookup).eval(x)
}

// EvalInt computes an expression that must give an integer.
func EvalInt(x Expr, lookup Lookup) (int64, error) {
	v, err := Eval(x, lookup)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok {
		return 0, &EvalError{Pos: x.At(), Err: fmt.Errorf("expected an integer, found %s", Show(v))}
	}
	return n, nil
}

// Truth reports whether a value counts as true, as in Python.
func Truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	default:
		return false
	}
}

// Resolve returns the value with what was to be computed computed: [Exact].
func (v Value) Resolve(lookup Lookup) (Value, error) {
	if v.Kind != Computed {
		return v, nil
	}
	n, err := EvalInt(v.Expr.X, lookup)
	if err != nil {
		return Value{}, err
	}
	if n < 0 || n > math.MaxUint32 {
		return Value{}, &EvalError{Pos: v.Expr.Pos, Err: fmt.Errorf("%d does not fit 32 bits", n)}
	}
	return Value{Kind: Exact, Lo: uint32(n)}, nil
}

// Bounds computes a span: from, to and the step, which is not 0. A single
// value is a span from and to itself. There may be nothing in the span.
func (s *Span) Bounds(lookup Lookup) (from, to, step int64, err error) {
	step = 1
	if from, err = EvalInt(s.From, lookup); err != nil {
		return 0, 0, 0, err
	}
	to = from
	if s.To != nil {
		if to, err = EvalInt(s.To, lookup); err != nil {
			return 0, 0, 0, err
		}
	}
	if s.Step != nil {
		if step, err = EvalInt(s.Step, lookup); err != nil {
			return 0, 0, 0, err
		}
		if step == 0 {
			return 0, 0, 0, &EvalError{Pos: s.Step.At(), Err: errors.New("a step of 0 goes nowhere")}
		}
	}
	return from, to, step, nil
}

type evaluator Lookup

// eval evaluates one node and gives errors their place.
func (ev evaluator) eval(x Expr) (v any, err error) {
	defer func() {
		var placed *EvalError
		if err != nil && !errors.As(err, &placed) {
			err = &EvalError{Pos: x.At(), Err: err}
		}
	}()
	switch x := x.(type) {
	case *Number:
		switch {
		case x.IsFloat:
			return x.Float, nil
		case x.Unsigned:
			return nil, errOverflow
		}
		return x.Int, nil
	case *String:
		return x.Value, nil
	case *Name:
		switch x.Name {
		case "True":
			return true, nil
		case "False":
			return false, nil
		}
		return ev(x, nil)
	case *Select:
		return ev(x, nil)
	case *Apply:
		args, err := ev.all(x.Args)
		if err != nil {
			return nil, err
		}
		return ev(x, args)
	case *List:
		return ev.all(x.Elems)
	case *Unary:
		return ev.unary(x)
	case *Binary:
		return ev.binary(x)
	case *Compare:
		return ev.compare(x)
	default:
		return nil, ErrNotComputable
	}
}

func (ev evaluator) all(xs []Expr) ([]any, error) {
	vs := make([]any, 0, len(xs))
	for _, x := range xs {
		v, err := ev.eval(x)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

func (ev evaluator) unary(x *Unary) (any, error) {
	v, err := ev.eval(x.X)
	if err != nil {
		return nil, err
	}
	if x.Op == "not" {
		return !Truth(v), nil
	}
	switch n := number(v).(type) {
	case int64:
		if x.Op == "~" {
			return ^n, nil
		}
		if n == math.MinInt64 {
			return nil, errOverflow
		}
		return -n, nil
	case float64:
		if x.Op == "-" {
			return -n, nil
		}
	}
	return nil, fmt.Errorf("no %s of %s", x.Op, Show(v))
}

func (ev evaluator) binary(x *Binary) (any, error) {
	a, err := ev.eval(x.X)
	if err != nil {
		return nil, err
	}
	if x.Op == "and" && !Truth(a) || x.Op == "or" && Truth(a) {
		return a, nil
	}
	b, err := ev.eval(x.Y)
	if err != nil || x.Op == "and" || x.Op == "or" {
		return b, err
	}
	if format, ok := a.(string); ok && x.Op == "%" {
		return formatString(format, b)
	}
	if s, ok := a.(string); ok && x.Op == "+" {
		if t, ok := b.(string); ok {
			return s + t, nil
		}
	}
	m, mInt := number(a).(int64)
	n, nInt := number(b).(int64)
	if mInt && nInt {
		return integers(x.Op, m, n)
	}
	f, fOK := float(a)
	g, gOK := float(b)
	if fOK && gOK {
		return floats(x.Op, f, g)
	}
	return nil, fmt.Errorf("no %s of %s and %s", x.Op, Show(a), Show(b))
}

var (
	errOverflow = errors.New("number does not fit 64 bits")
	errZero     = errors.New("division by zero")
)

// number returns what v counts as: booleans are 0 and 1.
func number(v any) any {
	if b, ok := v.(bool); ok {
		if b {
			return int64(1)
		}
		return int64(0)
	}
	return v
}

func float(v any) (float64, bool) {
	switch n := number(v).(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// integers computes exactly.
func integers(op string, m, n int64) (any, error) {
	switch op {
	case "|":
		return m | n, nil
	case "^":
		return m ^ n, nil
	case "&":
		return m & n, nil
	case "+":
		if s := m + n; (s > m) == (n > 0) {
			return s, nil
		}
		return nil, errOverflow
	case "-":
		if s := m - n; (s < m) == (n > 0) {
			return s, nil
		}
		return nil, errOverflow
	case "*":
		return multiply(m, n)
	case "<<", ">>":
		return shifted(op, m, n)
	}
	if n == 0 {
		return nil, errZero
	}
	switch op {
	case "/":
		return float64(m) / float64(n), nil
	case "//":
		if m == math.MinInt64 && n == -1 {
			return nil, errOverflow
		}
		q := m / n
		if m%n != 0 && (m < 0) != (n < 0) {
			q-- // towards minus infinity
		}
		return q, nil
	case "%":
		r := m % n
		if r != 0 && (r < 0) != (n < 0) {
			r += n // with the sign of n
		}
		return r, nil
	}
	return nil, fmt.Errorf("no operator %s", op)
}

func multiply(m, n int64) (any, error) {
	hi, lo := bits.Mul64(magnitude(m), magnitude(n))
	negative := (m < 0) != (n < 0)
	switch {
	case hi == 0 && lo <= math.MaxInt64 && negative:
		return -int64(lo), nil
	case hi == 0 && lo <= math.MaxInt64:
		return int64(lo), nil
	case hi == 0 && lo == 1<<63 && negative:
		return int64(math.MinInt64), nil
	}
	return nil, errOverflow
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func shifted(op string, m, n int64) (any, error) {
	switch {
	case n < 0:
		return nil, errors.New("shift by a negative number")
	case op == ">>":
		return m >> min(n, 63), nil
	case m == 0:
		return m, nil
	case n > 63 || m<<n>>n != m:
		return nil, errOverflow
	}
	return m << n, nil
}

func floats(op string, f, g float64) (any, error) {
	switch op {
	case "+":
		return f + g, nil
	case "-":
		return f - g, nil
	case "*":
		return f * g, nil
	case "/", "//", "%":
		if g == 0 {
			return nil, errZero
		}
		switch op {
		case "/":
			return f / g, nil
		case "//":
			return math.Floor(f / g), nil
		}
		r := math.Mod(f, g)
		if r != 0 && (r < 0) != (g < 0) {
			r += g
		}
		return r, nil
	}
	return nil, fmt.Errorf("no %s of numbers that are not integers", op)
}
