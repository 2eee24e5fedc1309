package script

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// icmpNames has the names of ICMP's types and of their codes.
type icmpNames struct {
	types map[string]uint8
	codes map[string]map[string]uint8 // by the type's name
}

// RFC 792, 950, 1256, 1122, 1812 and IANA's registry.
var icmp4 = icmpNames{
	types: map[string]uint8{
		"echo_reply": 0, "unreachable": 3, "source_quench": 4, "redirect": 5, "echo_request": 8,
		"router_advertisement": 9, "router_solicitation": 10, "time_exceeded": 11, "parameter_problem": 12,
		"timestamp_request": 13, "timestamp_reply": 14, "information_request": 15, "information_reply": 16,
		"address_mask_request": 17, "address_mask_reply": 18,
	},
	codes: map[string]map[string]uint8{
		"unreachable": {
			"net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3,
			"frag_needed": 4, "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7,
			"source_host_isolated": 8, "net_prohibited": 9, "host_prohibited": 10,
			"net_unreachable_for_tos": 11, "host_unreachable_for_tos": 12, "packet_filtered": 13,
			"precedence_violation": 14, "precedence_cutoff": 15,
		},
		"redirect": {
			"redirect_net": 0, "redirect_host": 1, "redirect_tos_net": 2, "redirect_tos_host": 3,
		},
		"time_exceeded":     {"ttl_exceeded_in_transit": 0, "frag_reass_exceeded": 1},
		"parameter_problem": {"pointer": 0, "required_option_missing": 1, "bad_length": 2},
	},
}

// RFC 4443 and IANA's registry.
var icmp6 = icmpNames{
	types: map[string]uint8{
		"unreachable": 1, "packet_too_big": 2, "time_exceeded": 3, "parameter_problem": 4,
		"echo_request": 128, "echo_reply": 129, "router_solicitation": 133, "router_advertisement": 134,
		"neighbor_solicitation": 135, "neighbor_advertisement": 136, "redirect": 137,
	},
	codes: map[string]map[string]uint8{
		"unreachable": {
			"no_route": 0, "admin_prohibited": 1, "not_neighbour": 2, "address_unreachable": 3,
			"port_unreachable": 4, "source_policy": 5, "reject_route": 6,
		},
		"time_exceeded":     {"exceeded_hop_limit": 0, "exceeded_frag_time": 1},
		"parameter_problem": {"header_field": 0, "unknown_next_header": 1, "unknown_option": 2},
	},
}

// icmpCodes lists the names of a type's codes in both versions, for messages.
func icmpCodes(typ string) string {
	names := append(slices.Collect(maps.Keys(icmp4.codes[typ])), slices.Collect(maps.Keys(icmp6.codes[typ]))...)
	slices.Sort(names)
	return strings.Join(append(slices.Compact(names), "code_N"), ", ")
}

// isICMPType reports whether either version has a type of that name.
func isICMPType(name string) bool {
	_, in4 := icmp4.types[name]
	_, in6 := icmp6.types[name]
	_, number := numbered(name, "type_")
	return in4 || in6 || number
}

// isICMPCode reports whether either version has such a code of a type.
func isICMPCode(typ, name string) bool {
	_, in4 := icmp4.codes[typ][name]
	_, in6 := icmp6.codes[typ][name]
	_, number := numbered(name, "code_")
	return in4 || in6 || number
}

// numbered takes "type_3" and "code_3" apart.
func numbered(name, prefix string) (uint8, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	n, err := strconv.ParseUint(digits, 10, 8)
	return uint8(n), ok && err == nil
}

// Number returns the type and code in the header of ICMPv6 (v6) or ICMPv4. No
// code written is 0. It reports false where the version has no such type or
// code: source_quench in IPv6.
func (m *ICMP) Number(v6 bool) (typ, code uint8, ok bool) {
	names := &icmp4
	if v6 {
		names = &icmp6
	}
	if typ, ok = numbered(m.Type, "type_"); !ok {
		if typ, ok = names.types[m.Type]; !ok {
			return 0, 0, false
		}
	}
	if m.Code == "" {
		return typ, 0, true
	}
	if code, ok = numbered(m.Code, "code_"); !ok {
		code, ok = names.codes[m.Type][m.Code]
	}
	return typ, code, ok
}
