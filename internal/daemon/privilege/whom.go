package privilege

// Users are those that [Unprivileged] looks for: one made for this program,
// and the one that every system has, whom other programs may be, too.
var Users = []string{"tapstack", "nobody"}
