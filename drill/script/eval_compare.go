package script

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// compare evaluates a chain as far as it holds.
func (ev evaluator) compare(x *Compare) (any, error) {
	a, err := ev.eval(x.Operands[0])
	if err != nil {
		return nil, err
	}
	for i, op := range x.Ops {
		b, err := ev.eval(x.Operands[i+1])
		if err != nil {
			return nil, err
		}
		ok, err := holds(op, a, b)
		if err != nil || !ok {
			return false, err
		}
		a = b
	}
	return true, nil
}

func holds(op string, a, b any) (bool, error) {
	switch op {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in":
		return contains(b, a)
	case "not in":
		in, err := contains(b, a)
		return !in, err
	}
	c, err := order(a, b)
	if err != nil {
		return false, fmt.Errorf("no %s of %s and %s", op, Show(a), Show(b))
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	default:
		return c >= 0, nil
	}
}

var errNoOrder = errors.New("these have no order")

// order compares numbers, or strings. Two integers are compared exactly.
func order(a, b any) (int, error) {
	m, mInt := number(a).(int64)
	n, nInt := number(b).(int64)
	if mInt && nInt {
		return cmp.Compare(m, n), nil
	}
	f, fOK := float(a)
	g, gOK := float(b)
	if fOK && gOK {
		return cmp.Compare(f, g), nil
	}
	s, sOK := a.(string)
	t, tOK := b.(string)
	if sOK && tOK {
		return cmp.Compare(s, t), nil
	}
	return 0, errNoOrder
}

func equal(a, b any) bool {
	if c, err := order(a, b); err == nil {
		return c == 0
	}
	as, aOK := a.([]any)
	bs, bOK := b.([]any)
	if !aOK || !bOK || len(as) != len(bs) {
		return false
	}
	for i := range as {
		if !equal(as[i], bs[i]) {
			return false
		}
	}
	return true
}

// contains reports whether x is in a list, or in a string.
func contains(list, x any) (bool, error) {
	switch list := list.(type) {
	case []any:
		for _, e := range list {
			if equal(e, x) {
				return true, nil
			}
		}
		return false, nil
	case string:
		if s, ok := x.(string); ok {
			return strings.Contains(list, s), nil
		}
	}
	return false, fmt.Errorf("%s cannot be in %s", Show(x), Show(list))
}

// Show writes a value for a message, as Python prints it.
func Show(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".enI") {
			s += ".0"
		}
		return s
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = Show(e)
			if s, ok := e.(string); ok {
				parts[i] = quote(s)
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

// maxWidth bounds what a format can ask for.
const maxWidth = 100

// formatString is Python's format % values, with the verbs d i u x X o s r f e
// g and %%, their widths and the flags - + 0 # and space.
func formatString(format string, values any) (any, error) {
	args, ok := values.([]any)
	if !ok {
		args = []any{values}
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		start := i
		for i++; i < len(format) && strings.IndexByte("-+ #0123456789.", format[i]) >= 0; i++ {
		}
		if i == len(format) {
			return nil, errors.New("this format ends in the middle of a verb")
		}
		flags, verb := format[start:i], format[i]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if len(args) == 0 {
			return nil, errors.New("this format wants more values than there are")
		}
		s, err := formatOne(flags, verb, args[0])
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
		args = args[1:]
	}
	if len(args) > 0 {
		return nil, errors.New("this format wants fewer values than there are")
	}
	return b.String(), nil
}

func formatOne(flags string, verb byte, v any) (string, error) {
	for _, n := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
		if w, err := strconv.Atoi(n); err != nil || w > maxWidth {
			return "", fmt.Errorf("a width of %s is too much", clip(n))
		}
	}
	f, isNumber := float(v)
	switch verb {
	case 's', 'r':
		return fmt.Sprintf(flags+"s", Show(v)), nil
	case 'd', 'i', 'u', 'x', 'X', 'o':
		if n, ok := number(v).(int64); ok {
			if verb == 'i' || verb == 'u' {
				verb = 'd'
			}
			return fmt.Sprintf(flags+string(verb), n), nil
		}
		if isNumber && verb != 'x' && verb != 'X' && verb != 'o' {
			return fmt.Sprintf(flags+"d", int64(f)), nil
		}
	case 'f', 'e', 'g':
		if isNumber {
			return fmt.Sprintf(flags+string(verb), f), nil
		}
	default:
		return "", fmt.Errorf("no verb %%%c in formats", verb)
	}
	return "", fmt.Errorf("%%%c cannot write %s", verb, Show(v))
}
