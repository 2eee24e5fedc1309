package doctor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPrivileges(t *testing.T) {
	why := errors.New("because")
	for _, c := range []struct {
		name  string
		make  func(*privilegeFacts)
		worse string
		says  []string
	}{
		{"all", func(*privilegeFacts) {}, "[]", []string{"tapstack", "ABI 7", "available"}},
		{"nobody", func(p *privilegeFacts) { p.become = "nobody" }, "[note unprivileged user]", []string{"useradd --system"}},
		{"root for good", func(p *privilegeFacts) { p.become, p.whyNot = "", why }, "[note unprivileged user]", []string{"none", "because"}},
		{"ordinary user", func(p *privilegeFacts) { p.become, p.whyNot, p.root = "", why, false }, "[]", []string{"not needed", "because"}},
		{"no Landlock", func(p *privilegeFacts) { p.landlockABI, p.landlock = 0, why }, "[note Landlock]", []string{"because", "lsm="}},
		{"old Landlock", func(p *privilegeFacts) { p.landlockABI = 3 }, "[note Landlock]", []string{"ABI 3", "6.12"}},
		{"no seccomp", func(p *privilegeFacts) { p.seccomp = why }, "[note seccomp]", []string{"because", "CONFIG_SECCOMP_FILTER"}},
		{"no no_new_privs", func(p *privilegeFacts) { p.noNewPrivs = why }, "[problem no_new_privs]", []string{"does not start", "3.5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.make(&f.privileges)
			r := &Report{Findings: judgePrivileges(f)}
			if got := fmt.Sprint(worse(r)); got != c.worse {
				t.Errorf("%s, want %s", got, c.worse)
			}
			var text strings.Builder
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.says {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in\n%s", want, &text)
				}
			}
		})
	}
}
