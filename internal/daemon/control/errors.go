package control

import (
	"errors"
	"net/http"
	"syscall"

	"tapstack/internal/daemon/api"
)

// errnos are those that have a status of their own, with their names, which
// package syscall does not tell.
var errnos = map[syscall.Errno]struct {
	name   string
	status int
}{
	syscall.EEXIST:        {"EEXIST", http.StatusConflict},
	syscall.EADDRINUSE:    {"EADDRINUSE", http.StatusConflict},
	syscall.EBUSY:         {"EBUSY", http.StatusConflict},
	syscall.ENOENT:        {"ENOENT", http.StatusNotFound},
	syscall.ENODEV:        {"ENODEV", http.StatusNotFound},
	syscall.ESRCH:         {"ESRCH", http.StatusNotFound},
	syscall.EADDRNOTAVAIL: {"EADDRNOTAVAIL", http.StatusNotFound},
	syscall.EINVAL:        {"EINVAL", http.StatusBadRequest},
	syscall.EPERM:         {"EPERM", http.StatusForbidden},
	syscall.EACCES:        {"EACCES", http.StatusForbidden},
	syscall.EOPNOTSUPP:    {"EOPNOTSUPP", http.StatusNotImplemented},
	syscall.ENETUNREACH:   {"ENETUNREACH", http.StatusBadGateway},
	syscall.EHOSTUNREACH:  {"EHOSTUNREACH", http.StatusBadGateway},
	syscall.ECONNREFUSED:  {"ECONNREFUSED", http.StatusBadGateway},
	syscall.ECONNRESET:    {"ECONNRESET", http.StatusBadGateway},
	syscall.ETIMEDOUT:     {"ETIMEDOUT", http.StatusGatewayTimeout},
}

// errorOf is err as the API has it.
func errorOf(err error) *api.Error {
	var e *api.Error
	if errors.As(err, &e) && e.Status != 0 {
		return e
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return api.Errorf(http.StatusRequestEntityTooLarge, "a body of more than %d bytes", tooLarge.Limit)
	}
	out := &api.Error{Status: http.StatusInternalServerError, Message: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if known, ok := errnos[errno]; ok {
			out.Code, out.Status = known.name, known.status
		}
	}
	return out
}

// ErrorOf is err as frames and streams tell it: with the errno's name.
func ErrorOf(err error) *api.Error { return errorOf(err) }
