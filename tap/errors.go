package tap

import "fmt"

// A frameError is an ErrFrame that says why, and what to count it as.
type frameError struct {
	cause cause
	why   string
}

func badFrame(c cause, format string, args ...any) *frameError {
	return &frameError{cause: c, why: fmt.Sprintf(format, args...)}
}

func (e *frameError) Error() string { return ErrFrame.Error() + ": " + e.why }
func (e *frameError) Unwrap() error { return ErrFrame }

// opError wraps err, once, with the device it is about.
func opError(device, op string, err error) error {
	return fmt.Errorf("%s: %s: %w", device, op, err)
}
