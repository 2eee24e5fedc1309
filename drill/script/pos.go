package script

import "strconv"

// Pos is a place in a script: line and column, both from 1. The column counts
// bytes, as compilers do. A node made by a macro stands where the macro's
// name was written. The zero Pos is no place.
type Pos struct {
	Line, Col int32
}

// At returns p: it makes every node, all of which embed a Pos, a [Node].
func (p Pos) At() Pos { return p }

// String returns "line:column".
func (p Pos) String() string {
	return strconv.Itoa(int(p.Line)) + ":" + strconv.Itoa(int(p.Col))
}

// Node is anything in a script that has a place.
type Node interface {
	At() Pos
}
