// Package doctor says what this kernel, this machine and this user give to
// tapstack, what of that is active, and what to change.
//
//	gather --> facts --> examine --> Report --> WriteText, JSON
//	asks the system      judges, touches nothing
//
// It finds out by trying: it opens TAPs and looks at what they turn out to be.
// It does so in a private network namespace that is gone when [Run] returns,
// so the caller's own never has an interface more, not even for an instant. An
// ordinary user's private namespace takes a second process, which runs
// [Helper]. Nothing is changed and nothing is left behind.
package doctor

import (
	"context"
	"os/exec"
)

// Status is what a finding means to the reader.
type Status string

// The statuses.
const (
	OK      Status = "ok"      // as it should be, or of no consequence
	Note    Status = "note"    // it works, and costs something or lacks something
	Problem Status = "problem" // it does not work until something is changed
)

// Finding is one thing that was looked at.
type Finding struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	Status Status `json:"status"`
	Value  string `json:"value"`  // what it is, in a word or a number
	Detail string `json:"detail"` // what that means
	Fix    string `json:"fix"`    // what to do about it; empty if nothing
}

// Report is everything that was found.
type Report struct {
	// OK: a TAP can be had here in some way.
	OK       bool      `json:"ok"`
	Findings []Finding `json:"findings"`
	// Verdict is all of it in one sentence.
	Verdict string `json:"-"`
}

// Config says how to look.
type Config struct {
	// Helper makes the command that has Helper write to its standard output.
	// It is run if this process may not make a network namespace itself: only
	// a new process can get a user namespace around it. nil does without.
	Helper func(context.Context) *exec.Cmd
}

// Run looks at the system. What it could not find out is in the report, too;
// it takes well under a second.
func Run(ctx context.Context, cfg Config) *Report {
	f := gather(ctx, cfg)
	return examine(f)
}

// examine judges the facts. It is the whole of the package's opinion.
func examine(f *facts) *Report {
	if f.system != "linux" {
		return elsewhere(f.system)
	}
	r := &Report{}
	for _, judge := range []func(*facts) []Finding{
		judgeUser, judgeDevice, judgeOffloads, judgePrivileges, judgeMachine, judgeSysctls, judgeTAPs,
	} {
		r.Findings = append(r.Findings, judge(f)...)
	}
	r.OK, r.Verdict = verdict(f, r.Findings)
	return r
}

// elsewhere is the report of a system that can not be looked at: a TAP could
// be tried in the system's own network only.
func elsewhere(system string) *Report {
	return &Report{
		Findings: []Finding{{
			Group: "system", Name: "operating system", Status: Problem, Value: system,
			Detail: "offloads, several queues and private namespaces are a matter of Linux, and so is this command",
			Fix:    `run it on Linux; here, "tapstack demo --device pipe" needs no TAP, and package tap has the plain driver`,
		}},
		Verdict: "This is " + system + ": only Linux's TAPs can be examined.",
	}
}
