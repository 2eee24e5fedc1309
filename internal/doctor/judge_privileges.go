package doctor

import "fmt"

// privilegeFacts are what a daemon can give up here.
type privilegeFacts struct {
	landlockABI int    // the kernel's version of Landlock's interface
	landlock    error  // why there is none
	seccomp     error  // why there are no filters
	noNewPrivs  error  // why the bit can not be set
	become      string // the user to become
	whyNot      error  // why there is none
	root        bool   // who asks is
}

// fullLandlock is the version that has all that the daemon asks for.
const fullLandlock = 6

// judgePrivileges is about what "tapstack run" gives up when it has set up.
func judgePrivileges(f *facts) []Finding {
	const group = "privileges that a daemon gives up"
	p := f.privileges
	return []Finding{
		p.judgeUser(group), p.judgeNoNewPrivs(group), p.judgeSeccomp(group), p.judgeLandlock(group),
	}
}

func (p *privilegeFacts) judgeUser(group string) Finding {
	u := Finding{Group: group, Name: "unprivileged user", Status: OK, Value: p.become,
		Detail: "whom a daemon started as root becomes"}
	const add = `make one: "useradd --system --no-create-home --shell /usr/sbin/nologin tapstack"`
	switch {
	case p.become == "nobody":
		u.Status = Note
		u.Detail += ", and other programs may be, too"
		u.Fix = add
	case p.become == "" && p.root:
		u.Status, u.Value, u.Detail, u.Fix = Note, "none", p.whyNot.Error(), add
	case p.become == "":
		u.Value, u.Detail = "not needed", p.whyNot.Error()
	}
	return u
}

func (p *privilegeFacts) judgeNoNewPrivs(group string) Finding {
	n := Finding{Group: group, Name: "no_new_privs", Status: OK, Value: "available",
		Detail: "no program that it might start has more than it has"}
	if p.noNewPrivs != nil {
		n.Status, n.Value, n.Detail = Problem, "not available", "the daemon does not start without: "+p.noNewPrivs.Error()
		n.Fix = "use Linux 3.5 or later"
	}
	return n
}

func (p *privilegeFacts) judgeSeccomp(group string) Finding {
	s := Finding{Group: group, Name: "seccomp", Status: OK, Value: "available",
		Detail: "it makes no system calls but those it was made to make"}
	if p.seccomp != nil {
		s.Status, s.Value, s.Detail = Note, "not available", p.seccomp.Error()
		s.Fix = "use a kernel with CONFIG_SECCOMP_FILTER"
	}
	return s
}

func (p *privilegeFacts) judgeLandlock(group string) Finding {
	l := Finding{Group: group, Name: "Landlock", Status: OK, Value: fmt.Sprintf("ABI %d", p.landlockABI),
		Detail: "it opens no files but its own, and signals nobody"}
	switch {
	case p.landlock != nil:
		l.Status, l.Value, l.Detail = Note, "not available", p.landlock.Error()
		l.Fix = `use Linux 5.13 or later with landlock among the names of its parameter "lsm="`
	case p.landlockABI < fullLandlock:
		l.Status = Note
		l.Detail = fmt.Sprintf("it opens no files but its own; what ABI %d does not know of is left open", p.landlockABI)
		l.Fix = "use Linux 6.12 or later"
	}
	return l
}
