// Package privilege makes a process that has set itself up as root into one
// that can do little harm. It is not a jail for other programs: it takes from
// this one what this one does not need.
//
//	Drop:  capability bounding set -> groups, gid, uid -> capabilities
//	       -> no_new_privs -> Landlock -> seccomp -> every thread looked at
//
// Open first what needs privilege: TAPs, listeners, the control socket, files
// to write. What is open stays usable. [Drop] then says in a [Report] what is
// in force, as the kernel shows it for each thread, and what is not and why.
// What asks for more later gets a [*NeedsPrivilege], which says what to do.
//
// There is no way back, and no goroutine. Linux only: elsewhere Drop changes
// nothing and says so in an error that is errors.ErrUnsupported.
//
// To see what is refused: Landlock and seccomp write to the audit log
// (journalctl -k -g 'SECCOMP|LANDLOCK').
package privilege
