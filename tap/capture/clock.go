package capture

import (
	"math/bits"
	"time"
)

// clock is how one interface of a pcapng file counts time: if_tsresol and
// if_tsoffset (4.2). pcapgo 1.7.7 scales by whole numbers, so it reads units of
// a power of two wrongly, up to half a second in a second, and lets time run
// backwards; and it takes units of a second for microseconds.
type clock struct {
	resolution uint8
	offset     int64 // seconds
}

// microseconds is the clock of an interface that does not say.
var microseconds = clock{resolution: 6}

const binaryUnit = 0x80 // of a resolution: a power of two, not of ten

// time is when ts units have passed since the epoch, to the nanosecond.
func (c clock) time(ts uint64) time.Time {
	exponent := int(c.resolution &^ binaryUnit)
	var sec, nsec uint64
	switch {
	case c.resolution&binaryUnit == 0:
		sec, nsec = decimal(ts, exponent)
	case exponent < 64:
		sec = ts >> exponent
		hi, lo := bits.Mul64(ts&(1<<exponent-1), 1e9)
		nsec = hi<<(64-exponent) | lo>>exponent
	default: // all of it is less than a second
		hi, _ := bits.Mul64(ts, 1e9)
		nsec = hi >> (exponent - 64)
	}
	return time.Unix(int64(sec)+c.offset, int64(nsec)).UTC()
}

// decimal is ts units of 10^-exponent seconds.
func decimal(ts uint64, exponent int) (sec, nsec uint64) {
	const most = 19 // 10^20 is more than ts can be
	if exponent <= most {
		unit := pow10(exponent)
		sec, ts = ts/unit, ts%unit
	}
	switch {
	case exponent <= 9:
		nsec = ts * pow10(9-exponent)
	case exponent-9 <= most:
		nsec = ts / pow10(exponent-9)
	}
	return sec, nsec
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
