package script

// Expr is an expression: an argument or result of a call, a part of an
// assertion, or a value computed in a packet ("${N * 1000}"). It is one of
// [*Number], [*String], [*Name], [*Ellipsis], [*Any], [*Unary], [*Binary],
// [*Compare], [*Range], [*Apply], [*Select], [*List] or [*Struct].
//
// Calls and packets use arithmetic alone; comparisons, "and", "or" and "not"
// occur in assertions. There names and operators mean what they mean in
// Python: "/" divides exactly, "//" and "%" round down, "and" and "or" return
// an operand, a string "%" values formats.
type Expr interface {
	Node
	expr()
}

func (*Number) expr()   {}
func (*String) expr()   {}
func (*Name) expr()     {}
func (*Ellipsis) expr() {}
func (*Any) expr()      {}
func (*Unary) expr()    {}
func (*Binary) expr()   {}
func (*Compare) expr()  {}
func (*Range) expr()    {}
func (*Apply) expr()    {}
func (*Select) expr()   {}
func (*List) expr()     {}
func (*Struct) expr()   {}

// Number is a literal. A minus sign before one is part of it.
type Number struct {
	Pos
	// Int is the value unless IsFloat. Unsigned literals beyond 63 bits are
	// in it as their 64 bits, with Unsigned set.
	Int      int64
	Float    float64
	IsFloat  bool
	Unsigned bool
	Base     uint8 // 2, 8, 10 or 16, as written
}

// String is a literal, unescaped.
type String struct {
	Pos
	Value string
	// More is set by "text"...: the rest is up to whoever reads or fills it.
	More bool
}

// Name is a word: a constant (SOL_SOCKET), a field (tcpi_rtt), a parameter.
type Name struct {
	Pos
	Name string
}

// Ellipsis is "...": whatever the interpreter supplies, or anything at all.
type Ellipsis struct {
	Pos
}

// Any is "*": matches every value.
type Any struct {
	Pos
}

// Unary is Op X: "-", "~" or "not".
type Unary struct {
	Pos
	Op string
	X  Expr
}

// Binary is X Op Y. From loose to tight: "or", "and", "|", "^", "&",
// "<<" ">>", "+" "-", "*" "/" "//" "%". All associate to the left.
type Binary struct {
	Pos // of the operator
	Op  string
	X   Expr
	Y   Expr
}

// Compare is a chain: "1 <= x < 9" has two Ops and three Operands, and holds
// if each pair does.
type Compare struct {
	Pos
	Ops      []string // "==", "!=", "<", "<=", ">", ">=", "in", "not in"
	Operands []Expr
}

// Range is "a~b": matches every value from From to To.
type Range struct {
	Pos
	From, To Expr
}

// Apply is "htons(8080)" or "rcvbuf_queued(4)".
type Apply struct {
	Pos
	Func Expr // [*Name] or [*Select]
	Args []Expr
}

// Select is "client.tcpi_rtt".
type Select struct {
	Pos
	X    Expr
	Name string
}

// List is "[1, 2]" or, with Tuple, "(1, 2)".
type List struct {
	Pos
	Elems []Expr
	Tuple bool
}

// Struct is "{..., 1000}" or "{fd=4, events=POLLIN}".
type Struct struct {
	Pos
	Fields []*Field
}

// Field returns the value of a named field, or nil.
func (s *Struct) Field(name string) Expr {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// Field is a value in a [Struct], or "name=value", or "name(len)=value".
type Field struct {
	Pos
	Name  string // "" where none is written
	Len   Expr   // in parentheses after the name, or nil
	Value Expr
}
