package script

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// isNumber reports whether text has the form of a number. In code an exponent
// is allowed.
func isNumber(text string, code bool) bool {
	if base, digits := splitBase(text); base != 10 {
		if digits == "" {
			return false
		}
		for i := range len(digits) {
			if !isDigitOf(digits[i], base) {
				return false
			}
		}
		return true
	}
	mantissa, exponent, hasExp := text, "", false
	if code {
		mantissa, exponent, hasExp = strings.Cut(strings.ToLower(text), "e")
	}
	exponent = strings.TrimLeft(exponent, "+-")
	if hasExp && (exponent == "" || strings.Trim(exponent, "0123456789") != "") {
		return false
	}
	return strings.Trim(mantissa, "0123456789.") == "" && strings.Count(mantissa, ".") <= 1 && mantissa != "."
}

// splitBase tells a number's base from its prefix: 0x, 0o, 0b or none.
func splitBase(text string) (base int, digits string) {
	if len(text) >= 2 && text[0] == '0' {
		switch text[1] | 0x20 {
		case 'x':
			return 16, text[2:]
		case 'o':
			return 8, text[2:]
		case 'b':
			return 2, text[2:]
		}
	}
	return 10, text
}

func isDigitOf(c byte, base int) bool {
	switch base {
	case 16:
		return isHex(c)
	default:
		return '0' <= c && int(c) < '0'+base
	}
}

// parseNumber makes a literal of a number token's text. As in C, a leading 0
// makes it octal. The position is the caller's.
func parseNumber(text string) (*Number, error) {
	base, digits := splitBase(text)
	if base == 10 && strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, errors.New("number too large")
		}
		return &Number{Float: f, IsFloat: true, Base: 10}, nil
	}
	if base == 10 && len(text) > 1 && text[0] == '0' {
		base, digits = 8, text[1:]
	}
	u, err := strconv.ParseUint(digits, base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return nil, errors.New("number does not fit 64 bits")
	}
	if err != nil {
		return nil, errors.New("this octal number has a digit that is not octal")
	}
	return &Number{Int: int64(u), Unsigned: u > math.MaxInt64, Base: uint8(base)}, nil
}

// parseField reads a number of a packet, decimal or 0x: up to limit.
func parseField(text string, limit uint32) (uint32, error) {
	base, digits := splitBase(text)
	if strings.Contains(text, ".") {
		return 0, errors.New("expected an integer, found " + clip(text))
	}
	u, err := strconv.ParseUint(digits, base, 64)
	if err != nil || u > uint64(limit) {
		return 0, errors.New("number too large: at most " + strconv.FormatUint(uint64(limit), 10) + " goes here")
	}
	return uint32(u), nil
}

var units = map[string]time.Duration{
	"": time.Second, "s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": 1,
	"m": time.Minute, "h": time.Hour,
}

// parseDuration reads a decimal number and its unit, exactly.
func parseDuration(number, unit string) (time.Duration, error) {
	per, ok := units[unit]
	if !ok {
		return 0, errors.New("unknown unit of time " + strconv.Quote(clip(unit)) + ": want ns, us, ms, s, m or h, or none for seconds")
	}
	whole, frac, _ := strings.Cut(number, ".")
	if whole == "" {
		whole = "0"
	}
	w, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || w > uint64(math.MaxInt64/per) {
		return 0, errors.New("time too far away: the end is after 292 years")
	}
	d := time.Duration(w) * per
	for step, i := per, 0; i < len(frac); i++ {
		digit := time.Duration(frac[i] - '0')
		if digit != 0 && (step == 0 || digit*step%10 != 0) {
			return 0, errors.New("time finer than a nanosecond")
		}
		part := digit * step / 10
		if d > math.MaxInt64-part {
			return 0, errors.New("time too far away: the end is after 292 years")
		}
		d += part
		if step%10 != 0 { // what remains is finer
			step = 0
		}
		step /= 10
	}
	return d, nil
}
