package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tapstack/internal/daemon/life"
	"tapstack/internal/daemon/metrics"
	"tapstack/internal/daemon/privilege"
)

// What the process is: the one of its control socket, and root no longer than
// it takes to set up.
//
//	claim -> TAPs, services, listeners -> drop -> serve ... -> release

// claimTime is how long a daemon that was killed may take to be gone.
const claimTime = 10 * time.Second

// takeClaim makes this the one daemon of its control socket, before anything is
// made that a killed predecessor may have left. Without a control socket there
// is nothing to be the one of.
func (h *instance) takeClaim(ctx context.Context) error {
	path := h.cfg.Control.Path
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	// Only the last part: a missing /run is no mistake to cover up.
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		h.madeDir = dir
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("control socket: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	c, err := life.Take(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	h.claim = c
	if c.Left {
		h.log.Info("taking over from a daemon that was killed", "pid", c.PID)
	}
	return nil
}

// release says that nothing is left behind.
func (h *instance) release() {
	if h.claim == nil {
		return
	}
	if err := h.claim.Release(); err != nil {
		h.log.Warn("ending", "err", err)
	}
}

// dropPrivileges gives up what setting up took, and logs what is in force and
// what is not. Nothing that a client sends has been looked at before, but by
// the services inside the stack.
func (h *instance) dropPrivileges(drop func(privilege.Config) (privilege.Report, error)) error {
	if drop == nil {
		return nil
	}
	cfg := h.limits()
	// The first use of local time reads files that are out of reach later.
	_, _ = time.Now().Zone()
	if err := h.giveDir(cfg); err != nil {
		return err
	}
	r, err := drop(cfg)
	if errors.Is(err, errors.ErrUnsupported) && cfg.Seccomp != privilege.Required && cfg.Landlock != privilege.Required {
		h.log.Warn("privileges: nothing is dropped", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	h.log.Info("privileges dropped", "uid", r.UID, "gid", r.GID, "capabilities", r.Capabilities,
		"no_new_privs", r.NoNewPrivs, "calls", r.Calls, "landlock", r.LandlockABI, "threads", r.Threads)
	for _, note := range r.Notes {
		h.log.Info("privileges: " + note)
	}
	if r.UID == 0 {
		h.log.Warn("privileges: still root, who owns most files: name a user in [process]")
	}
	h.warnOfReload()
	return nil
}

// limits is what is left to the process.
func (h *instance) limits() privilege.Config {
	p := &h.cfg.Process
	cfg := privilege.Config{User: p.User, Group: p.Group, Seccomp: p.Seccomp, Landlock: p.Landlock}
	switch p.User {
	case "root":
		cfg.User = ""
		h.log.Warn("privileges: the user stays who it is, as the configuration says: for debugging only")
	case "":
		var err error
		if cfg.User, err = privilege.Unprivileged(); err != nil {
			h.log.Info("privileges: " + err.Error())
		}
	}
	cfg.Read = append(metrics.Reads(), resolverFiles()...)
	if root := h.cfg.Services.Root; root != "" {
		cfg.Read = append(cfg.Read, root)
	}
	if h.cfg.File != "" {
		// Not the file alone: editors make a new one.
		cfg.Read = append(cfg.Read, filepath.Dir(h.cfg.File))
	}
	if h.cfg.Control.Path != "" {
		cfg.Write = append(cfg.Write, filepath.Dir(h.cfg.Control.Path))
	}
	return cfg
}

// resolverFiles are what package net reads to find names of the host's network.
// A link leads to a file that its owner replaces: the directory is given then.
func resolverFiles() (out []string) {
	for _, path := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"} {
		file, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // not there: package net has defaults
		}
		if dir := filepath.Dir(file); dir != "/etc" {
			file = dir
		}
		out = append(out, file)
	}
	return out
}

// giveDir gives a directory that was made for the control socket to who will
// have to remove it: unless that is nobody, whom others may be, too, and who
// could put a socket of theirs there. Then a dead socket stays, which the next
// start replaces.
func (h *instance) giveDir(cfg privilege.Config) error {
	if h.madeDir == "" || cfg.User == "" || cfg.User == "nobody" {
		return nil
	}
	uid, gid, err := privilege.IDs(cfg)
	if err == nil {
		err = os.Chown(h.madeDir, uid, gid)
	}
	if err != nil {
		return fmt.Errorf("control socket: %s: %w", h.madeDir, err)
	}
	return nil
}

// warnOfReload says now what a reload would say later.
func (h *instance) warnOfReload() {
	if h.cfg.File == "" {
		return
	}
	f, err := os.OpenFile(h.cfg.File, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		h.log.Warn("the configuration can not be read again: a reload will be refused", "err", explainRead(err))
		return
	}
	f.Close()
}

// explainRead says why a file that could be read at the start can not any more.
func explainRead(err error) error {
	if !errors.Is(err, fs.ErrPermission) || !privilege.Dropped() {
		return err
	}
	return fmt.Errorf("%w: it has to be readable, with its directory, by user %d or group %d, whom this process is since it has started", err, os.Getuid(), os.Getgid())
}

// needsRestart is what a change that takes a restart is called: after the drop
// with why nothing else would help.
func needsRestart(what, op, needs string) string {
	var lacks *privilege.NeedsPrivilege
	if errors.As(privilege.Check(op, needs), &lacks) {
		return what + ": " + lacks.Reason() // in the file it is already
	}
	return what
}
