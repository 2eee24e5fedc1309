package daemon

import (
	"slices"
	"strings"
)

// The keys there are. Below "nic", "forward", "hosts" and "users" stand names
// that the operator chooses.
var (
	rootKeys       = []string{"nic", "services", "forward", sectionSOCKS5, sectionHTTPProxy, "dns", "hosts", "tcp", "control", "process", "log", "metrics"}
	nicKeys        = []string{"address", "host", "mtu", "routes", "adopt", "queues", "plain", "spin"}
	serviceKeys    = []string{"echo", "discard", "chargen", "daytime", "http"}
	allServiceKeys = append(slices.Clip(serviceKeys), "http-root", "http-list", "rcvbuf", "sndbuf", "accounting")
	commonKeys     = []string{"listen", "accept-proxy-protocol", "rcvbuf", "sndbuf", "max-connections", "dial-timeout", "idle-timeout"}
	forwardKeys    = append([]string{"from", "protocol", "to", "proxy-protocol", "max-clients"}, commonKeys...)
	httpKeys       = append([]string{"users", "open"}, commonKeys...)
	socksKeys      = append([]string{"proxy-protocol", "max-clients"}, httpKeys...)
	dnsKeys        = []string{"servers"}
	controlKeys    = []string{"path", "mode", "group", "readonly-for-others"}
)

// sectionKeys are those of the sections that hold keys alone.
var sectionKeys = map[string][]string{
	"services":       allServiceKeys,
	sectionSOCKS5:    socksKeys,
	sectionHTTPProxy: httpKeys,
	"dns":            dnsKeys,
	"tcp":            sysctlNames(),
	"control":        controlKeys,
	"process":        settingKeys("process"),
	"log":            settingKeys("log"),
	"metrics":        settingKeys("metrics"),
}

// namedKeys are those of the sections whose names the operator chooses.
var namedKeys = map[string][]string{"nic": nicKeys, "forward": forwardKeys}

// keysOf are the keys that may stand where k does, and which section that is;
// no keys are any.
func keysOf(k []string) (known []string, section string) {
	switch {
	case len(k) == 1:
		return rootKeys, ""
	case len(k) == 2:
		return sectionKeys[k[0]], " in [" + k[0] + "]"
	case len(k) == 3:
		return namedKeys[k[0]], " in [" + k[0] + "." + k[1] + "]"
	}
	return nil, ""
}

// checkKeys refuses the first key, in the file's order, that there is not.
func (f *tomlFile) checkKeys() error {
	for _, k := range f.md.Keys() {
		if k[0] == "tcp" && len(k) > 2 {
			return configErrorf(f.where(k...), "unknown key %q in [tcp]: write the whole name in quotes, such as \"net.ipv4.tcp_rmem\"", k[1])
		}
		if k[0] == "hosts" && len(k) > 2 {
			return configErrorf(f.where(k...), "%q has dots: write the whole name in quotes, such as \"db.example\"", strings.Join(k[1:], "."))
		}
		// What stands above a dotted key is no key of its own.
		for n := 1; n <= len(k); n++ {
			known, section := keysOf(k[:n])
			name := k[n-1]
			if known == nil || slices.Contains(known, name) {
				continue
			}
			hint := "known are " + strings.Join(known, ", ")
			if n := nearest(name, known); n != "" {
				hint = "did you mean \"" + n + "\"?"
			}
			return configErrorf(f.where(k...), "unknown key %q%s: %s", name, section, hint)
		}
	}
	return nil
}
