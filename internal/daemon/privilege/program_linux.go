package privilege

import (
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The filter is a program in classic BPF that the kernel runs at every system
// call, on struct seccomp_data:
//
//	another machine's calls (32 bits on 64) -> EPERM (x32's have other numbers)
//	each call of the list, in order: not it -> the next
//	    without conditions                  -> allowed
//	    with: one alternative holds         -> allowed, otherwise EPERM
//	not there                               -> ENOSYS
//	anything else                           -> EPERM
//
// Since Linux 5.11 the kernel finds out once which calls are allowed whatever
// their arguments, and does not run the program for those.
//
// It is put together here, and the library asked for the numbers only: as of
// v1.6.0 its own programs go on, after a condition that does not hold, comparing
// the argument with the numbers of further calls, and so let some pass.

// A condition is on one argument.
type condition struct {
	arg   uint32
	equal bool   // all 64 bits are v; otherwise bits below
	v     uint64 // with equal
	any   uint32 // with !equal: at least one of these, unless 0
	none  uint32 // with !equal: none of these
}

// A conditional call is allowed if all conditions of one alternative hold.
type conditional struct {
	name         string
	alternatives [][]condition
}

func when(name string, alternatives ...[]condition) conditional {
	return conditional{name, alternatives}
}

func all(conditions ...condition) []condition { return conditions }

func equal(arg uint32, v uint64) condition { return condition{arg: arg, equal: true, v: v} }

// set and notSet look at an argument's lower 32 bits, where all of the kernel's
// flags are.
func set(arg, bits uint32) condition    { return condition{arg: arg, any: bits} }
func notSet(arg, bits uint32) condition { return condition{arg: arg, none: bits} }

// Where things are in struct seccomp_data; arguments have 64 bits. Our
// machines are little-endian.
const offNumber, offMachine, offArgs = 0, 4, 16

var (
	retAllow   = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	retRefuse  = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	retLog     = bpf.RetConstant{Val: unix.SECCOMP_RET_LOG}
	retUnknown = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// program is the list as this machine has it, and the list's length: newer
// machines lack what others have for old times' sake (poll).
func program(info *arch.Info, groups []group) (code []bpf.Instruction, calls int) {
	code = append(code,
		bpf.LoadAbsolute{Off: offMachine, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		retRefuse,
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	)
	add := func(name string, then []bpf.Instruction) {
		nr, ok := info.SyscallNames[name]
		if !ok {
			return
		}
		calls++
		code = append(code, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(nr), SkipTrue: uint8(len(then))})
		code = append(code, then...)
	}
	for _, g := range groups {
		for _, name := range g.calls {
			add(name, []bpf.Instruction{retAllow})
		}
		for _, c := range g.conditional {
			add(c.name, c.code())
		}
	}
	listed := calls
	for _, name := range notThere {
		add(name, []bpf.Instruction{retUnknown})
	}
	return append(code, retRefuse), listed
}

// code decides about one call, for good.
func (c conditional) code() (code []bpf.Instruction) {
	for _, alternative := range c.alternatives {
		code = append(code, check(alternative)...)
	}
	return append(code, retRefuse)
}

// check allows, or goes on behind itself. It is made from its end: a condition
// that does not hold skips all that has been made so far.
func check(conditions []condition) []bpf.Instruction {
	code := []bpf.Instruction{retAllow}
	test := func(off uint32, jump bpf.JumpTest, v uint32) {
		code = append([]bpf.Instruction{
			bpf.LoadAbsolute{Off: off, Size: 4},
			bpf.JumpIf{Cond: jump, Val: v, SkipFalse: uint8(len(code))},
		}, code...)
	}
	for _, c := range conditions {
		low := offArgs + 8*c.arg
		switch {
		case c.equal:
			test(low+4, bpf.JumpEqual, uint32(c.v>>32))
			test(low, bpf.JumpEqual, uint32(c.v))
		default:
			if c.any != 0 {
				test(low, bpf.JumpBitsSet, c.any)
			}
			if c.none != 0 {
				test(low, bpf.JumpBitsNotSet, c.none)
			}
		}
	}
	return code
}
