package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tapstack/internal/netns"
	"tapstack/tap"
)

// private is what a private namespace gave. It crosses a pipe if a helper had
// to make it.
type private struct {
	// Refused is why there is no such namespace, Remedy what to do about it.
	Refused, Remedy string
	// UserNS names the user namespace around it.
	UserNS string
	// Foreign: that is not the one the caller is in. Set by the caller.
	Foreign bool
	Tries   []try
}

// try is one TAP that was opened, or was not.
type try struct {
	Name string
	Got  bool   // it was opened, and is what was asked for
	Is   string // what it is, if it was opened
	Why  string // why it is not more, or was not opened
}

// defaultTry is what tap.Open makes of the zero Config.
const defaultTry = "default"

// tries are the TAPs to open, and how to see that they are what was asked for.
var tries = []struct {
	name string
	cfg  tap.Config
	has  func(tap.Description) bool
}{
	{defaultTry, tap.Config{}, func(tap.Description) bool { return true }},
	{"virtio-net header", only(tap.Offloads{}), func(d tap.Description) bool { return d.Driver == "offload" }},
	{"csum", only(tap.Offloads{Csum: true}), func(d tap.Description) bool { return d.Offloads.Csum }},
	{"tso4", only(tap.Offloads{Csum: true, TSO4: true}), func(d tap.Description) bool { return d.Offloads.TSO4 }},
	{"tso6", only(tap.Offloads{Csum: true, TSO6: true}), func(d tap.Description) bool { return d.Offloads.TSO6 }},
	{"ecn", only(tap.Offloads{Csum: true, TSO4: true, TSO6: true, ECN: true}), func(d tap.Description) bool { return d.Offloads.ECN }},
	{"uso", only(tap.Offloads{Csum: true, USO: true}), func(d tap.Description) bool { return d.Offloads.USO }},
	{"multi-queue", tap.Config{Queues: 2}, func(d tap.Description) bool { return d.Queues == 2 }},
	{"plain driver", tap.Config{Plain: true}, func(d tap.Description) bool { return d.Driver == "plain" }},
}

// only is the configuration with these offloads and no others.
func only(o tap.Offloads) tap.Config {
	return tap.Config{Without: tap.Offloads{Csum: !o.Csum, TSO4: !o.TSO4, TSO6: !o.TSO6, USO: !o.USO, ECN: !o.ECN}}
}

// lookPrivately makes a private namespace, itself or by a helper, and tries
// TAPs in it.
func lookPrivately(ctx context.Context, cfg Config) *private {
	p := &private{}
	err := netns.Run(func() error { p.tryAll(); return nil })
	if err == nil {
		return p
	}
	p.refuse(err)
	if cfg.Helper == nil {
		return p
	}
	q, err := ask(ctx, cfg)
	if err != nil {
		// The first refusal was about privilege; the helper's failing is what
		// stands in the way now.
		p.Refused = "the helper process failed: " + err.Error()
		return p
	}
	own, _ := userNamespace()
	q.Foreign = q.UserNS != own
	return q
}

// ask runs the helper.
func ask(ctx context.Context, cfg Config) (*private, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := cfg.Helper(ctx)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w %s", err, firstLine(complaint.String()))
	}
	var p private
	if err := json.Unmarshal(out, &p); err != nil {
		return nil, fmt.Errorf("what it wrote: %w", err)
	}
	return &p, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Helper moves the process into namespaces of its own (see netns.Enter, which
// executes the program again), looks at what can be had there and writes that
// to w, for the Run that started it.
func Helper(w io.Writer) error {
	p := &private{}
	if err := netns.Enter(); err != nil {
		p.refuse(err)
	} else {
		p.UserNS, _ = userNamespace()
		p.tryAll()
	}
	return json.NewEncoder(w).Encode(p)
}

// userNamespace names the one this process is in.
func userNamespace() (string, error) { return os.Readlink("/proc/self/ns/user") }

// refuse records why there is no namespace.
func (p *private) refuse(err error) {
	var u *netns.UnavailableError
	if errors.As(err, &u) {
		p.Refused, p.Remedy = u.Op+": "+u.Err.Error(), u.Remedy
		return
	}
	p.Refused = err.Error()
}

// tryAll opens each TAP in the calling thread's namespace, and closes it.
func (p *private) tryAll() {
	for _, t := range tries {
		p.Tries = append(p.Tries, open(t.name, t.cfg, t.has))
	}
}

func open(name string, cfg tap.Config, has func(tap.Description) bool) try {
	dev, err := tap.Open(&cfg)
	if err != nil {
		return try{Name: name, Why: err.Error()}
	}
	defer dev.Close()
	d := tap.Describe(dev)
	return try{Name: name, Got: has(d), Is: describe(d), Why: d.Note}
}

// describe is a device in a few words.
func describe(d tap.Description) string {
	s := d.Driver
	if on := d.Offloads.String(); on != "none" {
		s += ": " + on
	}
	if d.Queues > 1 {
		s += fmt.Sprintf(", %d queues", d.Queues)
	}
	return s
}

// find is the try of that name, a failed one if there was none.
func (p *private) find(name string) try {
	for _, t := range p.Tries {
		if t.Name == name {
			return t
		}
	}
	return try{Name: name, Why: "it was not tried"}
}
